"""The claims on word embeddings, every figure from the tokens one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.measures import oracles
from tests.measures.oracles import Rows
from tests.sections.stand_in import WIDTH, Bench, assert_same, bench_of
from vsa_checks import theory
from vsa_checks.errors import NotChecked
from vsa_checks.judging.measurement import Measurement, Reference
from vsa_checks.judging.subjects import Subject
from vsa_checks.models import Basis
from vsa_checks.orthogonality import live_rows
from vsa_checks.sections import embeddings
from vsa_checks.statistics import bootstrap, bootstrap_pairs, stream


def subject(basis: Basis = "raw") -> Subject:
    return Subject("a-claim", basis)


def purpose(basis: Basis = "raw") -> np.random.Generator:
    return stream(3, "bootstrap", f"a-claim/{basis}")


def words(seed: int = 0, n: int = 60, mean: float = 0.3) -> Rows:
    """Random vectors with a common mean and norms that differ."""
    rng = np.random.default_rng(seed)
    rows = (rng.standard_normal((n, WIDTH)) + mean) * rng.uniform(0.5, 2, (n, 1))
    return rows.astype(np.float32)


def bench(raw: Rows, processed: Rows | None = None, **fields: Any) -> Bench:
    other = None if processed is None else {"embed.W_E": processed}
    return bench_of({"embed.W_E": raw}, processed=other, **fields)


# --- a mean near zero -----------------------------------------------------------------------------------------


def ratio(rows: Rows, weights: Rows) -> float:
    """|mean e|^2 / mean |e|^2 with these weights of the tokens, which sum to one."""
    mean = weights @ rows
    return float(mean @ mean / (weights @ (rows**2).sum(axis=1)))


def test_mean_zero() -> None:
    rows = words().astype(np.float64)
    even = np.full(60, 1 / 60)
    value = ratio(rows, even)
    # What the figure gains as a token's weight does: its first-order pull.
    small = 1e-6
    pulls = [(ratio(rows, (1 - small) * even + small * np.eye(60)[i]) - value) / small for i in range(60)]
    drawn = bootstrap(value + np.array(pulls), "tokens", purpose())
    mean = rows.mean(axis=0)
    expected = Measurement(
        value=value,
        interval=drawn,
        n_examined=60,
        reference=Reference("independent vectors, 1/V", 1 / 60),
        details={
            "norm_of_mean": float(np.sqrt(mean @ mean)),
            "rms_norm": float(np.sqrt((rows**2).sum(axis=1).mean())),
        },
    )
    assert_same(embeddings.mean_zero(bench(words()), subject()), expected, atol=1e-5)


def test_mean_zero_takes_its_sums_in_float64() -> None:
    rows = words(1, 3000) + np.float32(4096)
    found = embeddings.mean_zero(bench(rows), subject())
    assert found.value == pytest.approx(ratio(rows.astype(np.float64), np.full(3000, 1 / 3000)), abs=1e-12)


def test_embeddings_that_are_zero_have_no_mean_to_speak_of() -> None:
    nothing = bench(np.zeros((5, WIDTH)))
    with pytest.raises(NotChecked, match="every word embedding is zero"):
        embeddings.mean_zero(nothing, subject())
    with pytest.raises(NotChecked, match="every word embedding is zero"):
        embeddings.component_mean(nothing, subject())


def test_component_mean() -> None:
    rows = words(2)
    rows[7] = 0
    own = [row.sum() ** 2 / (WIDTH * (row @ row)) for row in rows.astype(np.float64) if row.any()]
    expected = Measurement(
        value=float(np.mean(own)),
        interval=bootstrap(own, "tokens", purpose()),
        n_examined=59,
        n_excluded=1,
        reference=Reference("random directions, 1/d", 1 / WIDTH),
    )
    assert_same(embeddings.component_mean(bench(rows), subject()), expected)
    many = words(9, 5, mean=0)
    unit = live_rows(many).unit.astype(np.float64)
    found = embeddings.component_mean(bench(many), subject()).value
    assert found == pytest.approx((unit.sum(axis=1) ** 2).mean() / WIDTH, rel=1e-12), "sums are taken in float64"
    ones = np.ones((1, WIDTH), np.float32)
    assert embeddings.component_mean(bench(np.repeat(ones, 4, axis=0)), subject()).value == pytest.approx(1)


def test_component_mean_is_for_layernorm_and_raw_weights() -> None:
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


def trimmed(rows: Rows, center: bool) -> dict[str, Any]:
    """Unused tokens by their definition, and the rms cosine of the others."""
    middle = rows.astype(np.float64) - rows.astype(np.float64).mean(axis=0)
    norms = np.linalg.norm(middle, axis=1)
    logs = np.log(np.maximum(norms, 1e-300))
    deviation = 1.4826 * np.median(np.abs(logs - np.median(logs)))
    small = [i for i in range(len(rows)) if logs[i] < np.median(logs) - 6 * deviation]
    close = {i for pair, cosine in oracles.pair_cosines(middle).items() if abs(cosine) > 0.99 for i in pair}
    kept = [i for i in range(len(rows)) if i not in small and i not in close]
    cosines = list(oracles.pair_cosines((middle if center else rows)[kept]).values())
    return {
        "n_unused_small_norm": len(small),
        "n_unused_duplicates": len(close),
        "rms": float(np.sqrt(np.mean(np.square(cosines)))),
    }


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("basis", ["raw", "processed"])
def test_near_orthogonality_of_tokens(basis: Basis, center: bool) -> None:
    """Centered or not, in either basis, on one workbench that has measured the other kinds before."""
    both = {"raw": unused(), "processed": words(5)}
    one = bench(both["raw"], both["processed"])
    kinds: list[tuple[Basis, bool]] = [("raw", False), ("raw", True), ("processed", False), ("processed", True)]
    for other_basis, other in kinds:
        embeddings.tokens_near_orthogonal(one, subject(other_basis), center=other)
    rows = both[basis]
    seen = rows - rows.mean(axis=0, dtype=np.float64) if center else rows
    pairs = oracles.pair_cosines(seen)
    own = [np.mean([c**2 for pair, c in pairs.items() if i in pair]) for i in range(60) if seen[i].any()]
    squares = bootstrap_pairs(own, "tokens", purpose(basis))
    found = embeddings.tokens_near_orthogonal(one, subject(basis), center=center)
    cosines = np.array(list(pairs.values()))
    assert found.value == pytest.approx(np.sqrt(np.mean(cosines**2)), abs=1e-6)
    assert (found.interval.low, found.interval.high) == pytest.approx(np.sqrt([squares.low, squares.high]), abs=1e-5)
    assert found.interval.unit == "tokens"
    assert found.n_examined + found.n_excluded == 60
    assert found.details.keys() == {
        "n_pairs", "mean", "max_abs", "histogram", "trimmed", "largest_cosine_of_random_vectors"
    }  # fmt: skip
    assert found.details["mean"] == pytest.approx(cosines.mean(), abs=1e-6)
    assert found.details["max_abs"] == pytest.approx(np.abs(cosines).max(), abs=1e-6)
    assert sum(found.details["histogram"]["counts"]) == len(cosines)
    assert sum(found.details["histogram"]["reference"]) == pytest.approx(len(cosines))
    assert_same(found.details["trimmed"], trimmed(rows, center))
    live = sum(one.any() for one in rows - rows.mean(axis=0, dtype=np.float64))
    assert found.details["largest_cosine_of_random_vectors"] == pytest.approx(theory.largest_cosine(live, WIDTH))


def test_the_example_has_all_kinds_of_unused_tokens() -> None:
    found = trimmed(unused(), True)
    assert found["n_unused_small_norm"] == 3 and found["n_unused_duplicates"] == 6


def test_a_token_that_is_exactly_the_mean_is_unused() -> None:
    """Its centered vector is zero: no cosine tells it, its norm does, however the other norms spread."""
    axes = np.eye(WIDTH, dtype=np.float32)[:8]
    rows = np.concatenate([axes, -axes, np.zeros((1, WIDTH), np.float32)])
    rows[:8] *= 2.0 ** np.arange(8, dtype=np.float32)[:, None]
    rows[8:16] *= 2.0 ** np.arange(8, dtype=np.float32)[:, None]
    found = embeddings.tokens_near_orthogonal(bench(rows), subject(), center=True).details["trimmed"]
    # Each vector and its opposite are as alike as two vectors can be.
    assert found == {"n_unused_small_norm": 1, "n_unused_duplicates": 16, "rms": None}


@pytest.mark.parametrize("deviations", [5.9, 6.1])
def test_a_norm_six_deviations_below_the_median_is_small(deviations: float) -> None:
    """Norms whose logarithms lie at -1, 0 and 1 of the median: their robust deviation is 1.4826."""
    rng = np.random.default_rng(6)
    half = rng.standard_normal((15, WIDTH))
    half /= np.linalg.norm(half, axis=1, keepdims=True)
    logs = np.array([-1.0, 0, 1] * 5)
    logs[0] = -deviations * 1.4826
    rows = np.exp(logs)[:, None] * half
    rows = np.concatenate([rows, -rows])  # the mean is zero
    found = embeddings.tokens_near_orthogonal(bench(rows), subject(), center=True).details["trimmed"]
    assert found["n_unused_small_norm"] == (2 if deviations > 6 else 0)


def test_tokens_all_alike_have_nothing_to_trim() -> None:
    rows = np.ones((5, WIDTH), np.float32)
    found = embeddings.tokens_near_orthogonal(bench(rows), subject(), center=False)
    assert found.value == pytest.approx(1)
    assert "trimmed" not in found.details and "histogram" in found.details
    with pytest.raises(NotChecked, match="fewer than two word embeddings have a direction once centered"):
        embeddings.tokens_near_orthogonal(bench(rows), subject(), center=True)
    with pytest.raises(NotChecked, match=r"have a direction$"):
        embeddings.tokens_near_orthogonal(bench(rows * np.eye(5)[0][:, None]), subject(), center=False)


def test_two_tokens_are_a_pair() -> None:
    """Centered they are opposites; the law of the largest cosine is for three and more."""
    rows = words(7, 2)
    found = embeddings.tokens_near_orthogonal(bench(rows), subject(), center=True)
    assert found.value == pytest.approx(1) and found.n_examined == 2
    assert found.details["trimmed"] == {"n_unused_small_norm": 0, "n_unused_duplicates": 2, "rms": None}
    assert found.details["largest_cosine_of_random_vectors"] is None
    three = embeddings.tokens_near_orthogonal(bench(words(7, 3)), subject(), center=False)
    assert three.details["largest_cosine_of_random_vectors"] == pytest.approx(theory.largest_cosine(3, WIDTH))
    assert three.details["trimmed"]["rms"] is not None


@pytest.mark.parametrize("center", [False, True])
def test_artifacts_of_tokens(center: bool) -> None:
    rows = unused()
    seen = rows - rows.mean(axis=0, dtype=np.float64) if center else rows
    sizes = np.abs(list(oracles.pair_cosines(seen).values()))
    found = embeddings.tokens_artifacts(bench(rows), subject(), center=center)
    assert found.value == pytest.approx(np.mean(sizes > 6 / 7), abs=1e-12)
    assert found.interval.unit == "tokens"
    assert found.details["cut"] == 6 / 7


def test_pairs_are_measured_once_for_all_claims_and_progress_is_told() -> None:
    one = bench(words(), words(1))
    for basis in ("raw", "processed"):
        for center in (False, True):
            embeddings.tokens_near_orthogonal(one, subject(basis), center=center)
            embeddings.tokens_artifacts(one, subject(basis), center=center)
    assert one.labels == [
        "cosines of all token pairs (raw)",
        "cosines of all token pairs, centered (raw)",
        "cosines of all token pairs (processed)",
        "cosines of all token pairs, centered (processed)",
    ]
