"""Fixtures of the tests of records, subjects and the judge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vsa_checks.judging.claim import Claim


@pytest.fixture
def make_claim() -> Callable[..., Claim]:
    """A claim with the fields that a test does not care about filled in."""

    def make(**fields: Any) -> Claim:
        return Claim(
            **{
                "id": "a-claim",
                "version": 1,
                "section": "3.2",
                "title": "A claim",
                "statement": "Something is so.",
                "metric": "share",
                "direction": ">=",
                "threshold": 0.5,
                "threshold_unit": "1",
                "threshold_origin": "ours",
                "primary": "all",
                "subjects": "mlp-in",
                **fields,
            }
        )

    return make
