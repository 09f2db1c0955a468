"""The claims on attention and MLP outputs, every figure from vectors taken out of the weights one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.measures import oracles
from tests.measures.oracles import Rows
from tests.sections.stand_in import WIDTH, Bench, assert_same, bench_of
from vsa_checks import isometry as isometries
from vsa_checks.errors import NotChecked
from vsa_checks.judging.measurement import Measurement, Reference
from vsa_checks.judging.subjects import Subject
from vsa_checks.orthogonality import pairwise_cosines
from vsa_checks.sections import attention, mlp, pairs
from vsa_checks.statistics import bootstrap, stream

HEADS, RANK = 12, 5
CUT = 6 / 7
SHAPES = {
    "W_Q": (HEADS, WIDTH, RANK),
    "W_K": (6, WIDTH, RANK),
    "W_V": (6, WIDTH, RANK),
    "W_O": (HEADS, RANK, WIDTH),
}
Measure = Callable[..., Measurement]


def layer(seed: int = 0, shapes: dict[str, tuple[int, ...]] | None = None) -> dict[str, Rows]:
    """Weights of one layer: heads that differ, some vectors that are alike, within a head and between heads."""
    rng = np.random.default_rng(seed)
    weights = {name: rng.standard_normal(shape) for name, shape in (shapes or SHAPES).items()}
    for name, weight in weights.items():
        # The vectors of a head stand along the axis that is not the model's.
        vectors = weight if name == "W_O" else weight.transpose(0, 2, 1)
        vectors[0, 1] = vectors[0, 0] + 0.2 * vectors[0, 1]
        vectors[0, 4] = vectors[0, 0] + 0.3 * vectors[0, 4]
        vectors[1, 3] = vectors[1, 2] * -2 + 0.2 * vectors[1, 3]
        vectors[1, 4] = vectors[0, 2] + 0.2 * vectors[1, 4]
        vectors[0, 3] = 0
    return weights


def bench(weights: dict[str, Rows], number: int = 2, **others: Any) -> Bench:
    part = {name: "attn" if name in SHAPES else "mlp" for name in weights}
    return bench_of({f"blocks.{number}.{part[name]}.{name}": weight for name, weight in weights.items()}, **others)


def subject(matrix: str | None = None, number: int = 2) -> Subject:
    return Subject("a-claim", "raw", number, matrix)


def vectors_of(matrix: str, weight: Rows) -> list[list[Rows]]:
    """For each head its vectors, one per head dimension."""
    by_head = []
    for head in weight:
        rank = head.shape[0] if matrix == "W_O" else head.shape[1]
        by_head.append([head[r] if matrix == "W_O" else head[:, r] for r in range(rank)])
    return by_head


# --- vectors of one attention matrix --------------------------------------------------------------------------

FIGURES: list[tuple[Measure, Measure, Callable[[Rows], float]]] = [
    (attention.heads_near_orthogonal, pairs.near_orthogonal, lambda cosines: float(np.sqrt(np.mean(cosines**2)))),
    (attention.heads_artifacts, pairs.artifacts, lambda cosines: float(np.mean(np.abs(cosines) > CUT))),
]


@pytest.mark.parametrize("matrix", SHAPES)
@pytest.mark.parametrize(("measure", "plain", "figure"), FIGURES)
def test_vectors_of_an_attention_matrix(
    measure: Measure, plain: Measure, figure: Callable[[Rows], float], matrix: str
) -> None:
    weights = layer()
    by_head = vectors_of(matrix, weights[matrix].astype(np.float32))
    rows = np.array([vector for head in by_head for vector in head])
    heads = np.array([place for place, head in enumerate(by_head) for vector in head if vector.any()])
    own = [figure(np.array(list(oracles.pair_cosines(np.array(head)).values()))) for head in by_head]
    within = {
        "within_heads_median": float(np.median(own)),
        "worst_head": int(np.argmax(own)),
        "by_head": [{"head": head, "value": value} for head, value in enumerate(own)],
    }
    one = bench(weights)
    expected = plain(one, subject(matrix), pairwise_cosines(rows, (CUT,)), "heads", heads, within)
    assert expected.n_excluded == 1
    found = measure(one, subject(matrix))
    assert_same(found, expected)
    assert found.value == pytest.approx(figure(np.array(list(oracles.pair_cosines(rows).values()))), abs=1e-6)


@pytest.mark.parametrize("matrix", SHAPES)
def test_vectors_of_an_attention_matrix_beside_gaussians(matrix: str) -> None:
    weights = layer(1)
    by_head = vectors_of(matrix, weights[matrix].astype(np.float32))
    rows = np.array([vector for head in by_head for vector in head])
    heads = np.array([place for place, head in enumerate(by_head) for vector in head if vector.any()])
    one = bench(weights)
    expected = pairs.beyond_random(one, subject(matrix), pairwise_cosines(rows, (CUT,)), "heads", heads)
    assert_same(attention.heads_beyond_random(one, subject(matrix)), expected)


@pytest.mark.parametrize("measure", [attention.heads_near_orthogonal, attention.heads_artifacts])
def test_a_single_head_has_its_dimensions_resampled(measure: Measure) -> None:
    weights = layer(2)
    found = measure(bench({"W_K": weights["W_K"][:1]}), subject("W_K"))
    assert found.interval.unit == "head dimensions"
    assert found.interval.low < found.interval.high
    assert found.details["within_heads_median"] == pytest.approx(found.value)
    assert attention.heads_beyond_random(bench({"W_K": weights["W_K"][:1]}), subject("W_K")).interval.unit == (
        "head dimensions"
    )
    assert measure(bench(weights), subject("W_K")).interval.unit == "heads"
    assert attention.heads_beyond_random(bench(weights), subject("W_K")).interval.unit == "heads"


def test_heads_without_a_pair_have_no_figure_of_their_own() -> None:
    weight = layer(3)["W_Q"][:4]
    weight[1, :, 1:] = 0
    weight[2] = 0
    weight[3, :, 2:] = 0
    found = attention.heads_near_orthogonal(bench({"W_Q": weight}), subject("W_Q"))
    assert [one["head"] for one in found.details["by_head"]] == [0, 3]
    assert found.n_examined == 4 + 1 + 2
    single = np.zeros((3, WIDTH, 2))
    single[:, :3, 0] = np.eye(3)
    found = attention.heads_near_orthogonal(bench({"W_Q": single}), subject("W_Q"))
    assert found.details.keys() == {"n_pairs", "mean", "max_abs"}


def test_fewer_than_two_vectors_are_not_checked() -> None:
    weight = np.zeros((2, WIDTH, 3))
    weight[1, :, 2] = 1
    for measure in (attention.heads_near_orthogonal, attention.heads_artifacts, attention.heads_beyond_random):
        with pytest.raises(NotChecked, match="fewer than two vectors of W_Q have a direction"):
            measure(bench({"W_Q": weight}), subject("W_Q"))
    weight[0, :, 0] = 1
    assert attention.heads_near_orthogonal(bench({"W_Q": weight}), subject("W_Q")).value == pytest.approx(1)


def test_each_matrix_of_each_layer_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def counted(vectors: Rows, thresholds: tuple[float, ...], device: None) -> Any:
        seen.append(len(vectors))
        return pairwise_cosines(vectors, thresholds, device=device)

    one = bench_of(
        {f"blocks.{number}.attn.{name}": weight for number in (0, 1) for name, weight in layer(number).items()}
    )
    monkeypatch.setattr(attention, "pairwise_cosines", counted)
    values = set()
    for number in (0, 1):
        for matrix in ("W_K", "W_V"):
            found = [
                measure(one, subject(matrix, number))
                for measure in (attention.heads_beyond_random, attention.heads_beyond_random)
            ]
            assert found[0] == found[1]
            values.add(found[0].value)
    assert len(values) == 4 and len(seen) == 4


# --- how evenly heads stretch ---------------------------------------------------------------------------------


def even(product: Rows) -> float:
    squares = np.linalg.svd(product, compute_uv=False)[:RANK] ** 2
    return float(squares.sum() ** 2 / (RANK * (squares**2).sum()))


def uneven(seed: int = 5) -> dict[str, Rows]:
    """Grouped queries: two heads share each key and value matrix. Heads stretch the more unevenly, the later."""
    rng = np.random.default_rng(seed)
    weights = {name: rng.standard_normal(shape) for name, shape in SHAPES.items()}
    for head in range(HEADS):
        weights["W_Q"][head, :, 0] *= 1 + head
        weights["W_O"][head, 0] *= 1 + head
    return weights


CIRCUITS: list[tuple[Measure, Callable[[dict[str, Rows], int], Rows]]] = [
    (attention.ov_isometry, lambda weights, head: weights["W_V"][head // 2] @ weights["W_O"][head]),
    (attention.qk_isometry, lambda weights, head: weights["W_Q"][head] @ weights["W_K"][head // 2].T),
]


@pytest.mark.parametrize(("measure", "product"), CIRCUITS)
def test_isometry_of_the_heads_of_a_layer(measure: Measure, product: Callable[[dict[str, Rows], int], Rows]) -> None:
    weights = uneven()
    by_head = [even(product(weights, head)) for head in range(HEADS)]
    drawn = isometries.gaussian_isometry(WIDTH, RANK, 100, stream(3, "gaussian isometry", WIDTH, RANK, WIDTH), WIDTH)
    expected = Measurement(
        value=float(np.median(by_head)),
        interval=bootstrap(by_head, "heads", stream(3, "bootstrap", "a-claim/raw/L2"), np.median),
        n_examined=HEADS,
        reference=Reference("product of Gaussians", float(np.median(drawn))),
        details={
            "by_head": [{"head": head, "value": value} for head, value in enumerate(by_head)],
            "worst_head": int(np.argmin(by_head)),
        },
    )
    assert_same(measure(bench(weights), subject()), expected)


@pytest.mark.parametrize(("measure", "matrix"), [(attention.ov_isometry, "W_O"), (attention.qk_isometry, "W_Q")])
def test_heads_that_do_nothing_are_left_out(measure: Measure, matrix: str) -> None:
    weights = uneven()
    whole = measure(bench(weights), subject())
    weights[matrix][[0, 2, 4, 5, 6, 8, 9, 10, 11]] = 0
    found = measure(bench(weights), subject())
    assert (found.n_examined, found.n_excluded) == (3, 9)
    kept = [whole.details["by_head"][head] for head in (1, 3, 7)]
    assert_same(found.details["by_head"], kept)
    assert found.value == pytest.approx(np.median([one["value"] for one in kept]))
    assert found.details["worst_head"] == 7
    weights[matrix][:] = 0
    with pytest.raises(NotChecked, match="every head of the layer has a product of zero"):
        measure(bench(weights), subject())


def test_gaussian_products_are_drawn_once_for_each_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads may write into another width than they read, and then have another reference."""
    drawn: list[tuple[int, int, int, int | None]] = []
    real = isometries.gaussian_isometry

    def counted(d: int, rank: int, draws: int, rng: np.random.Generator, d_out: int | None = None) -> Rows:
        drawn.append((d, rank, draws, d_out))
        return real(d, rank, draws, rng, d_out)

    monkeypatch.setattr(isometries, "gaussian_isometry", counted)
    weights, narrow = uneven(), uneven()
    narrow["W_O"] = narrow["W_O"][:, :, :20]
    one = bench_of(
        {
            f"blocks.{number}.attn.{name}": weight
            for number, whole in ((2, weights), (3, narrow))
            for name, weight in whole.items()
        }
    )
    assert attention.ov_isometry(one, subject()) == attention.ov_isometry(one, subject())
    attention.qk_isometry(one, subject())
    wide, thin = attention.ov_isometry(one, subject()), attention.ov_isometry(one, subject(number=3))
    assert drawn == [(WIDTH, RANK, 100, WIDTH), (WIDTH, RANK, 100, 20)]
    assert wide.reference != thin.reference


@pytest.mark.parametrize("measure", [attention.ov_isometry, attention.qk_isometry, attention.heads_artifacts])
def test_a_layer_without_the_matrix_is_not_checked(measure: Measure) -> None:
    with pytest.raises(NotChecked, match=r"layer 7 of this model has no W_[QV]"):
        measure(bench(layer()), subject("W_Q", 7))


# --- what neurons write ---------------------------------------------------------------------------------------


def outputs(seed: int = 0) -> Rows:
    """Thirty neurons, two of which write alike, and a dead one."""
    rows = np.random.default_rng(seed).standard_normal((31, WIDTH))
    rows[5] = rows[4] + 0.2 * rows[5]
    rows[12] = 0
    return rows


WRITTEN: list[tuple[Measure, Measure]] = [
    (mlp.outputs_near_orthogonal, pairs.near_orthogonal),
    (mlp.outputs_artifacts, pairs.artifacts),
    (mlp.outputs_beyond_random, pairs.beyond_random),
]


@pytest.mark.parametrize(("measure", "plain"), WRITTEN)
def test_vectors_that_neurons_write(measure: Measure, plain: Measure) -> None:
    one = bench({"W_out": outputs()})
    expected = plain(one, subject(), pairwise_cosines(outputs().astype(np.float32), (CUT,)), "neurons")
    assert expected.n_examined == 30
    assert_same(measure(one, subject()), expected)


@pytest.mark.parametrize(("measure", "plain"), WRITTEN)
def test_layers_are_measured_by_themselves_and_once(measure: Measure, plain: Measure) -> None:
    one = bench_of(
        {f"blocks.{number}.mlp.W_out": outputs(number) for number in (0, 1)},
        processed={f"blocks.{number}.mlp.W_out": outputs(number + 2) for number in (0, 1)},
    )
    values = {
        mlp.outputs_near_orthogonal(one, Subject("a-claim", basis, number)).value
        for basis in ("raw", "processed")
        for number in (0, 1)
    }
    assert len(values) == 4
    assert measure(one, subject(number=0)) == measure(one, subject(number=0))


@pytest.mark.parametrize(("measure", "plain"), WRITTEN)
def test_fewer_than_two_neurons_that_write_are_not_checked(measure: Measure, plain: Measure) -> None:
    rows = np.zeros((3, WIDTH))
    rows[1] = 1
    with pytest.raises(NotChecked, match="fewer than two rows of W_out have a direction"):
        measure(bench({"W_out": rows}), subject())
    rows[0] = 1
    assert measure(bench({"W_out": rows}), subject()).n_examined == 2
