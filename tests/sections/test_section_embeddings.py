"""The claims on word embeddings: few tokens by hand, and sixty of which some are unused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests import oracles
from tests.oracles import Rows
from tests.sections.stand_in import WIDTH, Bench, bench_of
from vsa_checks import theory
from vsa_checks.errors import NotChecked
from vsa_checks.judging.measurement import Reference
from vsa_checks.judging.subjects import Subject
from vsa_checks.models import Basis
from vsa_checks.sections import embeddings

AXES = np.eye(WIDTH)
BOTH: tuple[Basis, Basis] = ("raw", "processed")


def subject(basis: Basis = "raw") -> Subject:
    return Subject("a-claim", basis)


def words(seed: int = 0, n: int = 60) -> Rows:
    """Random vectors with a common mean and norms that differ."""
    rng = np.random.default_rng(seed)
    return ((rng.standard_normal((n, WIDTH)) + 0.3) * rng.uniform(0.5, 2, (n, 1))).astype(np.float32)


def bench(raw: Rows, processed: Rows | None = None, **fields: Any) -> Bench:
    other = None if processed is None else {"embed.W_E": processed}
    return bench_of({"embed.W_E": raw}, processed=other, **fields)


# --- a mean near zero -----------------------------------------------------------------------------------------


def ratio(rows: Rows, weights: Rows) -> float:
    """|mean e|^2 / mean |e|^2 with these weights of the tokens, which sum to one."""
    mean = weights @ rows
    return float(mean @ mean / (weights @ (rows**2).sum(axis=1)))


def test_mean_zero() -> None:
    """Of three tokens each can be all that is drawn: the interval ends at those of least and most pull."""
    rows, even, small = np.stack([3 * AXES[0], 4 * AXES[1], AXES[0] + AXES[2]]), np.full(3, 1 / 3), 1e-6
    value = ratio(rows, even)
    # A token's first-order pull: what the value gains as the token's weight does.
    pulls = [(ratio(rows, (1 - small) * even + small * np.eye(3)[i]) - value) / small for i in range(3)]
    one = bench(rows)
    found = embeddings.mean_zero(one, subject())
    assert (found.value, found.n_examined, found.n_excluded) == pytest.approx((33 / 81, 3, 0))
    ends = found.interval.low, found.interval.high
    assert ends == pytest.approx((value + min(pulls), value + max(pulls)), abs=1e-5)
    assert found.interval.unit == "tokens"
    assert found.reference == Reference("independent vectors, 1/V", 1 / 3)
    assert found.details == {"norm_of_mean": pytest.approx(np.sqrt(33) / 3), "rms_norm": pytest.approx(3.0)}
    assert one.drawn_for == [("bootstrap", "a-claim/raw")]


def test_mean_zero_takes_its_sums_in_float64() -> None:
    rows = words(1, 3000) + np.float32(4096)
    found = embeddings.mean_zero(bench(rows), subject())
    assert found.value == pytest.approx(ratio(rows.astype(np.float64), np.full(3000, 1 / 3000)), abs=1e-12)


def test_component_mean() -> None:
    rows = np.stack([2 * AXES[0] + 2 * AXES[1], 0 * AXES[0], AXES[0] - AXES[1], AXES[:3].sum(axis=0)])
    one = bench(rows)
    found = embeddings.component_mean(one, subject())
    assert (found.value, found.n_examined, found.n_excluded) == pytest.approx((5 / 3 / WIDTH, 3, 1), rel=1e-6)
    assert (found.interval.low, found.interval.high) == pytest.approx((0.0, 3 / WIDTH))
    assert found.interval.unit == "tokens"
    assert found.reference == Reference("random directions, 1/d", 1 / WIDTH)
    assert one.drawn_for == [("bootstrap", "a-claim/raw")]


def test_component_mean_takes_its_sums_in_float64() -> None:
    rows = words(9, 5) - np.float32(0.3)
    unit = rows / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    expected = (unit.astype(np.float32).astype(np.float64).sum(axis=1) ** 2).mean() / WIDTH
    assert embeddings.component_mean(bench(rows), subject()).value == pytest.approx(expected, rel=1e-12)


def test_what_cannot_mean_anything_is_not_checked() -> None:
    for measure in (embeddings.mean_zero, embeddings.component_mean):
        with pytest.raises(NotChecked, match="every word embedding is zero"):
            measure(bench(np.zeros((5, WIDTH))), subject())
    with pytest.raises(NotChecked, match="no LayerNorm"):
        embeddings.component_mean(bench(words(), norm="rms_norm"), subject())
    with pytest.raises(NotChecked, match="only the raw basis"):
        embeddings.component_mean(bench(words()), subject("processed"))


# --- near-orthogonality and artifacts -------------------------------------------------------------------------


def unused() -> Rows:
    """Sixty tokens: three pairs of duplicates, and three whose centered norm is tiny."""
    rng = np.random.default_rng(4)
    rows = rng.standard_normal((60, WIDTH)) * rng.uniform(0.9, 1.1, (60, 1))
    rows[[3, 40]] = rows[[2, 41]] * 1.05
    rows[11] = rows[10] + 0.005 * rows[11]
    rows[[20, 21, 30]] *= 1e-3
    rows[0] -= rows.sum(axis=0)  # the mean is zero, and then .5
    return (rows + 0.5).astype(np.float32)


UNUSED = [2, 3, 10, 11, 20, 21, 30, 40, 41]


@pytest.mark.parametrize("center", [False, True])
def test_cosines_of_tokens(center: bool) -> None:
    """Centered or not, in either basis, on one workbench that has measured the other kinds before."""
    both = {"raw": unused(), "processed": words(5)}
    one = bench(both["raw"], both["processed"])
    for basis in BOTH:
        for other in (not center, center):
            found = embeddings.tokens_near_orthogonal(one, subject(basis), center=other)
            beyond = embeddings.tokens_artifacts(one, subject(basis), center=other)
        rows = both[basis]
        middle = rows - rows.mean(axis=0, dtype=np.float64)
        cosines = np.array(list(oracles.pair_cosines(middle if center else rows).values()))
        assert found.value == pytest.approx(np.sqrt(np.mean(cosines**2)), abs=1e-6)
        assert found.interval.unit == beyond.interval.unit == "tokens"
        assert found.details["n_pairs"] == sum(found.details["histogram"]["counts"]) == len(cosines)
        assert sum(found.details["histogram"]["reference"]) == pytest.approx(len(cosines))
        used = np.setdiff1d(np.arange(60), UNUSED if basis == "raw" else [])
        left = list(oracles.pair_cosines((middle if center else rows)[used]).values())
        n_small, n_twins = (3, 6) if basis == "raw" else (0, 0)
        rms = pytest.approx(np.sqrt(np.mean(np.square(left))), abs=1e-6)
        assert found.details["trimmed"] == {"n_unused_small_norm": n_small, "n_unused_duplicates": n_twins, "rms": rms}
        largest = found.details["largest_cosine_of_random_vectors"]
        assert largest == pytest.approx(theory.largest_cosine(60, WIDTH))
        assert beyond.value == pytest.approx(np.mean(np.abs(cosines) > 6 / 7), abs=1e-12)
        assert beyond.details["cut"] == 6 / 7
    kinds = ("", ", centered") if center else (", centered", "")
    assert one.labels == [f"cosines of all token pairs{kind} ({basis})" for basis in BOTH for kind in kinds], (
        "each once"
    )


def test_a_token_that_is_exactly_the_mean_is_unused() -> None:
    """Its centered vector is zero: no cosine tells it, its norm does, however the other norms spread."""
    axes = AXES[:8] * 2.0 ** np.arange(8)[:, None]
    rows = np.concatenate([axes, -axes, np.zeros((1, WIDTH))]) + 0.5
    found = embeddings.tokens_near_orthogonal(bench(rows), subject(), center=True).details["trimmed"]
    # Each vector and its opposite are as alike as two vectors can be.
    assert found == {"n_unused_small_norm": 1, "n_unused_duplicates": 16, "rms": None}


@pytest.mark.parametrize(("deviations", "n_small"), [(5.9, 0), (6.1, 2)])
def test_a_norm_six_deviations_below_the_median_is_small(deviations: float, n_small: int) -> None:
    """Norms whose logarithms lie at -1, 0 and 1 of the median: their robust deviation is 1.4826."""
    half = np.random.default_rng(6).standard_normal((15, WIDTH))
    logs = np.array([-1.0, 0, 1] * 5)
    logs[0] = -deviations * 1.4826
    rows = (np.exp(logs) / np.linalg.norm(half, axis=1))[:, None] * half
    one = bench(np.concatenate([rows, -rows]))  # the mean is zero
    found = embeddings.tokens_near_orthogonal(one, subject(), center=True)
    assert found.details["trimmed"]["n_unused_small_norm"] == n_small


def test_tokens_all_alike_and_tokens_too_few() -> None:
    rows = np.ones((5, WIDTH), np.float32)
    found = embeddings.tokens_near_orthogonal(bench(rows), subject(), center=False)
    assert found.value == pytest.approx(1)
    assert "trimmed" not in found.details and "histogram" in found.details
    with pytest.raises(NotChecked, match="fewer than two word embeddings have a direction once centered"):
        embeddings.tokens_near_orthogonal(bench(rows), subject(), center=True)
    with pytest.raises(NotChecked, match=r"have a direction$"):
        embeddings.tokens_near_orthogonal(bench(rows * AXES[0][:5, None]), subject(), center=False)
    # Two tokens are opposites once centered; the law of the largest cosine is for three and more.
    found = embeddings.tokens_near_orthogonal(bench(words(7, 2)), subject(), center=True)
    assert found.value == pytest.approx(1) and found.n_examined == 2
    assert found.details["trimmed"] == {"n_unused_small_norm": 0, "n_unused_duplicates": 2, "rms": None}
    assert found.details["largest_cosine_of_random_vectors"] is None
    three = embeddings.tokens_near_orthogonal(bench(words(7, 3)), subject(), center=False)
    assert three.details["largest_cosine_of_random_vectors"] == pytest.approx(theory.largest_cosine(3, WIDTH))
    assert three.details["trimmed"]["rms"] is not None


# --- near-copies ----------------------------------------------------------------------------------------------


def test_tokens_with_a_copy() -> None:
    """Among sixty tokens, a group of three and a pair of opposites; a near miss does not count."""
    rows = words(4, 60) - words(4, 60).mean(axis=0)
    rng = np.random.default_rng(5)
    rows[[10, 11]] = rows[9] + 0.1 * rng.standard_normal((2, WIDTH)) * np.linalg.norm(rows[9]) / 7
    rows[21] = -3 * rows[20]
    rows[31] = rows[30] + 0.8 * rng.standard_normal(WIDTH) * np.linalg.norm(rows[30]) / 7
    rows += 5  # centering takes it away
    one = bench(rows.astype(np.float32))
    found = embeddings.tokens_with_a_copy(one, subject())
    cosines = oracles.pair_cosines(rows - rows.mean(axis=0))
    close = [pair for pair, cosine in cosines.items() if abs(cosine) > 0.9]
    assert 0.5 < abs(cosines[30, 31]) < 0.9 and len(close) == 4
    assert found.value == len({token for pair in close for token in pair}) / 60 == 5 / 60
    assert (found.n_examined, found.n_excluded, found.interval.unit) == (60, 0, "tokens")
    assert found.reference is not None and found.reference.name == "random directions, Beta law"
    assert found.reference.value == pytest.approx(59 * theory.cosine_tail(49, 0.9))
    assert (found.details["n_pairs_closer"], found.details["most_partners"]) == (4, 2)
    assert found.details["share_with_an_artifact"] == found.value
    embeddings.tokens_near_orthogonal(one, subject(), center=True)
    assert [label for label in one.labels if "pairs" in label] == ["cosines of all token pairs, centered (raw)"], "once"


def test_where_random_directions_have_copies_a_copy_means_nothing() -> None:
    """In five dimensions a cap of cosine .9 holds about one direction in 300."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((400, 5)).astype(np.float32)
    with pytest.raises(
        NotChecked, match=r"of 400 random directions in 5 dimensions a share of 1 have another at a cosine above 0\.9"
    ):
        embeddings.tokens_with_a_copy(bench(rows, d_model=5), subject())
