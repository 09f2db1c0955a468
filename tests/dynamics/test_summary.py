"""What trainings have in common: onsets, intervals, and variants beside one another on the page."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from scipy import stats

from dynamics.page import render
from dynamics.summary import ALWAYS, LOST, NEVER, Over, claim_onsets, difference, onset
from vsa_checks.paths import DOCS

STEPS = [0, 16, 32, 64]


@pytest.mark.parametrize(
    ("so", "expected"),
    [
        ([False, False, True, True], 32),
        ([True, False, False, True], 64),
        ([True, True, True, True], ALWAYS),
        ([False, False, False, False], NEVER),
        ([False, True, True, False], LOST),
        ([True, True, True, False], LOST),
    ],
)
def test_from_which_step_a_thing_is_so_to_the_end(so: list[bool], expected: int | str) -> None:
    assert onset(STEPS, so) == expected


def test_intervals_over_seeds() -> None:
    values, others = (1.0, 2.0, 4.0), (2.0, 5.0, 5.5, 9.0)
    low, high = Over(values).interval() or (0.0, 0.0)
    half = 4.3027 * np.std(values, ddof=1) / np.sqrt(3)  # Student's t with two degrees of freedom, from a table
    assert (low, high) == pytest.approx((7 / 3 - half, 7 / 3 + half), abs=1e-3)
    assert Over((1.0,)).interval() is None and difference(Over((1.0,)), Over(values)) is None
    assert difference(Over((1.0, 1.0)), Over((2.0, 2.0))) is None
    one, other = difference(Over(values), Over(others)) or (0.0, 0.0)
    p = stats.ttest_ind(np.array(values) - one, others, equal_var=False).pvalue
    assert p == pytest.approx(0.05) and one < 0 < other


def test_variants_stand_beside_that_which_they_differ_from_in_one_thing() -> None:
    document = json.loads((DOCS / "dynamics.json").read_text())
    plain = [one for one in document["runs"] if one["variant"] == "plain" and one["language"] == "grammar"]
    claim = "attention-near-orthogonal"
    assert all(isinstance(one, str) and one == LOST for one in claim_onsets(plain, claim))
    other = copy.deepcopy(plain)
    for run in other:
        run["variant"] = "untied"
        run["loss"] = [one + 1 for one in run["loss"]]
        run["claims"][claim]["holds"][-1] = run["claims"][claim]["of"]
    page = render(document | {"runs": [*plain, *other]})
    (row,) = [line for line in page.splitlines() if line.startswith("| loss | untied |")]
    low, high = difference(*(Over(tuple(run["loss"][-1] for run in some)) for some in (other, plain))) or (0.0, 0.0)
    assert row.endswith(f"| **{low:.3f} to {high:.3f}** |") and low < 1 < high
    assert f"in no seed of the other: `{claim}` (untied, not plain)." in page
    assert "Not trained yet: wide, rotary, rmsnorm, gated on the grammar's language; plain on English" in page
