"""CHANGELOG.md gives the reason for each rise of a claim's version."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from vsa_checks.judging.claim import Claim, load_claims
from vsa_checks.paths import ROOT

REASON = re.compile(r"^- `([a-z0-9-]+)` version (\d+): \S", re.MULTILINE)


def rises(claims: Iterable[Claim]) -> set[tuple[str, str]]:
    return {(claim.id, str(version)) for claim in claims for version in range(2, claim.version + 1)}


def test_each_rise_has_a_reason_and_each_reason_a_rise() -> None:
    assert set(REASON.findall((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))) == rises(load_claims().values())


def test_a_reason_is_asked_for_each_rise() -> None:
    claim = replace(load_claims()["neurons-cos50"], version=3)
    written = "- `neurons-cos50` version 2: the threshold.\n- `neurons-cos50` version 3:\n"
    assert rises([claim]) - set(REASON.findall(written)) == {("neurons-cos50", "3")}
