"""Near-orthogonality, artifacts and more-than-random of a few vectors, every figure from its pairs one by one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from tests.measures import oracles
from tests.measures.oracles import Rows
from tests.sections.stand_in import WIDTH, assert_same, bench_of
from vsa_checks import nulls, theory
from vsa_checks.errors import NotChecked
from vsa_checks.judging.measurement import Measurement, NullMeasurement, Reference
from vsa_checks.judging.subjects import Subject
from vsa_checks.orthogonality import PairwiseCosines, pairwise_cosines
from vsa_checks.sections import pairs
from vsa_checks.statistics import Interval, bootstrap_pairs, stream

SUBJECT = Subject("a-claim", "raw", 2, "W_Q")
CUT = 6 / 7
GROUPS = np.tile([3, 0, 7, 1], 5)


def vectors(seed: int = 0) -> Rows:
    """Twenty random vectors of which some are close, and a dead one."""
    rows = np.random.default_rng(seed).standard_normal((21, WIDTH)).astype(np.float32)
    rows[3:6] = rows[2] + 0.2 * rows[3:6]
    rows[9] = -rows[8] + 0.1 * rows[9]
    rows[20] = 0
    return rows


def measured(rows: Rows, cut: float = CUT) -> PairwiseCosines:
    return pairwise_cosines(rows, (cut,))


def own_pairs(rows: Rows) -> list[list[float]]:
    """The cosines of each live vector with all the others."""
    cosines = oracles.pair_cosines(rows)
    return [[c for pair, c in cosines.items() if i in pair] for i in range(len(rows)) if rows[i].any()]


def resampled(by_vector: Rows, unit: str, groups: Rows | None) -> Interval:
    return bootstrap_pairs(by_vector, unit, stream(3, "bootstrap", "a-claim/raw/L2/W_Q"), groups)


@pytest.mark.parametrize("groups", [None, GROUPS])
def test_near_orthogonality(groups: Rows | None) -> None:
    rows = vectors()
    cosines = np.array(list(oracles.pair_cosines(rows).values()))
    squares = resampled(np.array([np.mean(np.square(row)) for row in own_pairs(rows)]), "heads", groups)
    assert squares.low > 0
    expected = Measurement(
        value=float(np.sqrt(np.mean(cosines**2))),
        interval=Interval(float(np.sqrt(squares.low)), float(np.sqrt(squares.high)), "heads"),
        n_examined=20,
        n_excluded=1,
        reference=Reference("random directions, 1/sqrt(d)", 1 / 7),
        details={
            "n_pairs": 190,
            "mean": float(cosines.mean()),
            "max_abs": float(np.abs(cosines).max()),
            "more": [1, 2],
        },
    )
    found = pairs.near_orthogonal(bench_of(), SUBJECT, measured(rows), "heads", groups, {"more": [1, 2]})
    assert_same(found, expected)
    plain = pairs.near_orthogonal(bench_of(), SUBJECT, measured(rows), "heads", groups)
    assert plain.details.keys() == {"n_pairs", "mean", "max_abs"}


@pytest.mark.parametrize("groups", [None, GROUPS])
@pytest.mark.parametrize(("d", "cut"), [(WIDTH, CUT), (1600, 0.15)])
def test_artifacts(d: int, cut: float, groups: Rows | None) -> None:
    rows = vectors(1)
    sizes = np.abs(list(oracles.pair_cosines(rows).values()))
    by_vector = np.array([np.mean(np.abs(row) > cut) for row in own_pairs(rows)])
    drawn = resampled(by_vector, "tokens", groups)
    assert 0 < np.mean(sizes > cut) < 1 and drawn.high < 1
    expected = Measurement(
        value=float(np.mean(sizes > cut)),
        interval=Interval(max(drawn.low, 0.0), drawn.high, "tokens"),
        n_examined=20,
        n_excluded=1,
        reference=Reference("random directions, Beta law", theory.cosine_tail(d, cut)),
        details={"n_pairs": 190, "cut": cut, "max_abs": float(sizes.max()), "more": 1},
    )
    found = pairs.artifacts(bench_of(d_model=d), SUBJECT, measured(rows, cut), "tokens", groups, {"more": 1})
    assert_same(found, expected)
    plain = pairs.artifacts(bench_of(d_model=d), SUBJECT, measured(rows, cut), "tokens", groups)
    assert plain.details.keys() == {"n_pairs", "cut", "max_abs"}


def test_intervals_end_where_the_figures_do() -> None:
    """Of three vectors one is like both others, or two are alike: a first-order interval would leave [0, 1]."""
    axes = np.eye(WIDTH, dtype=np.float32)
    cut = pairs.artifact_cut(400)
    hub = np.stack([axes[0], 0.5 * axes[0] + np.sqrt(0.75) * axes[1], 0.5 * axes[0] + np.sqrt(0.75) * axes[2]])
    found = pairs.artifacts(bench_of(d_model=400), SUBJECT, measured(hub, cut), "tokens")
    assert found.value == pytest.approx(2 / 3)
    assert found.interval.high == 1.0 and found.interval.low == pytest.approx(1 / 3)
    twins = axes[[0, 0, 1]]
    found = pairs.artifacts(bench_of(d_model=400), SUBJECT, measured(twins, cut), "tokens")
    assert found.interval.low == 0.0 and found.interval.high == pytest.approx(2 / 3)
    found = pairs.near_orthogonal(bench_of(), SUBJECT, measured(twins), "tokens")
    assert found.interval.low == 0.0 and found.interval.high == pytest.approx(np.sqrt(2 / 3))


def test_where_no_cosine_exceeds_the_cut_nothing_is_said() -> None:
    assert pairs.artifact_cut(64) == 0.75
    rows = measured(vectors(), pairs.artifact_cut(36))
    for measure in (pairs.artifacts,):
        with pytest.raises(NotChecked, match=r"in 36 dimensions 6/sqrt\(d\) is 1\.00"):
            measure(bench_of(d_model=36), SUBJECT, rows, "tokens")
    below = measured(vectors(), pairs.artifact_cut(37))
    assert pairs.artifacts(bench_of(d_model=37), SUBJECT, below, "tokens").details["cut"] < 1


@pytest.mark.parametrize("groups", [None, GROUPS])
def test_beyond_random(groups: Rows | None) -> None:
    rows = vectors(2)
    drawn = nulls.gaussian_rms_cosines(20, WIDTH, 199, stream(3, "gaussian rms", 20, WIDTH))
    median = float(np.median(drawn))
    rms = float(np.sqrt(np.mean(np.square(list(oracles.pair_cosines(rows).values())))))
    squares = resampled(np.array([np.mean(np.square(row)) for row in own_pairs(rows)]), "neurons", groups)
    at_most, at_least = int((drawn <= rms).sum()), int((drawn >= rms).sum())
    expected = Measurement(
        value=rms / median,
        interval=Interval(float(np.sqrt(squares.low)) / median, float(np.sqrt(squares.high)) / median, "neurons"),
        n_examined=20,
        n_excluded=1,
        nulls=(
            NullMeasurement(
                "Gaussian matrices",
                1.0,
                float(np.std(drawn / median, ddof=1)),
                199,
                (at_most + 1) / 200,
                (at_least + 1) / 200,
            ),
        ),
        details={"rms": rms, "median_of_gaussians": median},
    )
    assert_same(pairs.beyond_random(bench_of(), SUBJECT, measured(rows), "neurons", groups), expected, atol=1e-5)


def test_gaussian_matrices_are_drawn_once_for_each_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[int, int, int]] = []
    real: Callable[..., Rows] = nulls.gaussian_rms_cosines

    def counted(n: int, d: int, draws: int, rng: np.random.Generator) -> Rows:
        drawn.append((n, d, draws))
        return real(n, d, draws, rng)

    monkeypatch.setattr(nulls, "gaussian_rms_cosines", counted)
    bench = bench_of()
    first = pairs.beyond_random(bench, SUBJECT, measured(vectors()), "neurons")
    again = pairs.beyond_random(bench, SUBJECT, measured(vectors()), "neurons")
    other = pairs.beyond_random(bench, SUBJECT, measured(vectors()[:10]), "neurons")
    assert drawn == [(20, WIDTH, 199), (10, WIDTH, 199)]
    assert first == again and first.nulls != other.nulls


def test_vectors_between_the_gaussians_have_the_p_of_their_rank() -> None:
    rows = nulls.random_directions(12, WIDTH, np.random.default_rng(5))
    (null,) = pairs.beyond_random(bench_of(), SUBJECT, measured(rows), "neurons").nulls
    assert 0.05 < null.p_value < 0.95
    assert null.p_value + null.p_opposite == pytest.approx(1 + 1 / 200)


def test_histogram_of_cosines() -> None:
    rows = vectors(3)
    cosines = np.array(list(oracles.pair_cosines(rows).values()))
    found = pairs.cosine_histogram(measured(rows), WIDTH)["histogram"]
    assert found.keys() == {"edges", "x_label", "counts", "reference"}
    assert found["x_label"] == "cosine"
    np.testing.assert_allclose(found["edges"], np.arange(-50, 51) / 50, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(found["counts"], np.histogram(cosines, np.arange(-50, 51) / 50)[0])
    # The law of the cosine by its density, (1 - c^2)^((d - 3)/2), bin by bin.
    middles = (np.arange(-50, 50) + 0.5) / 50
    density = np.exp(stats.beta.logpdf((1 + middles) / 2, (WIDTH - 1) / 2, (WIDTH - 1) / 2)) / 2
    assert sum(found["reference"]) == pytest.approx(190)
    np.testing.assert_allclose(found["reference"], 190 * density * 0.02, rtol=0, atol=0.06)
    assert all(type(count) is int for count in found["counts"])
    assert all(type(number) is float for number in found["edges"] + found["reference"])
