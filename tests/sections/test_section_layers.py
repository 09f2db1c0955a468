"""The claims on attention and MLP outputs, from vectors taken out of the weights one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests import oracles
from tests.oracles import Rows
from tests.sections.stand_in import WIDTH, Bench, bench_of
from vsa_checks import isometry as isometries
from vsa_checks.errors import NotChecked
from vsa_checks.judging.measurement import Measurement, Reference
from vsa_checks.judging.subjects import Subject
from vsa_checks.models import Basis
from vsa_checks.orthogonality import pairwise_cosines
from vsa_checks.sections import attention, isometry, mlp
from vsa_checks.statistics import stream

HEADS, RANK = 4, 5
CUT = 6 / 7
# Grouped queries: two heads share each key and value matrix.
SHAPES = {
    "W_Q": (HEADS, WIDTH, RANK),
    "W_K": (HEADS // 2, WIDTH, RANK),
    "W_V": (HEADS // 2, WIDTH, RANK),
    "W_O": (HEADS, RANK, WIDTH),
}
Measure = Callable[..., Measurement]


def layer(seed: int = 0) -> dict[str, Rows]:
    """Weights of one layer: heads that differ, some vectors that are alike, within a head and between heads."""
    rng = np.random.default_rng(seed)
    weights = {name: rng.standard_normal(shape) for name, shape in SHAPES.items()}
    for name, weight in weights.items():
        # The vectors of a head stand along the axis that is not the model's.
        vectors = weight if name == "W_O" else weight.transpose(0, 2, 1)
        vectors[0, 1] = vectors[0, 0] + 0.2 * vectors[0, 1]
        vectors[0, 4] = vectors[0, 0] + 0.3 * vectors[0, 4]
        vectors[1, 3] = vectors[1, 2] * -2 + 0.2 * vectors[1, 3]
        vectors[1, 4] = vectors[0, 2] + 0.2 * vectors[1, 4]
        vectors[0, 3] = 0
    return weights


def bench(weights: dict[str, Rows], number: int = 2) -> Bench:
    part = {name: "attn" if name in SHAPES else "mlp" for name in weights}
    return bench_of({f"blocks.{number}.{part[name]}.{name}": weight for name, weight in weights.items()})


def subject(matrix: str | None = None, number: int = 2, basis: Basis = "raw") -> Subject:
    return Subject("a-claim", basis, number, matrix)


def rms(rows: Any) -> float:
    return float(np.sqrt(np.mean(np.square(list(oracles.pair_cosines(np.array(rows)).values())))))


def share(rows: Any) -> float:
    return float(np.mean(np.abs(list(oracles.pair_cosines(np.array(rows)).values())) > CUT))


# --- vectors of one attention matrix --------------------------------------------------------------------------


@pytest.mark.parametrize("matrix", SHAPES)
def test_vectors_of_an_attention_matrix(matrix: str) -> None:
    weights = layer()
    by_head = [[head[r] if matrix == "W_O" else head[:, r] for r in range(RANK)] for head in weights[matrix]]
    rows = [vector for head in by_head for vector in head]
    one = bench(weights)
    for measure, number in ((attention.heads_near_orthogonal, rms), (attention.heads_artifacts, share)):
        found = measure(one, subject(matrix))
        assert found.value == pytest.approx(number(rows), abs=1e-6)
        assert (found.n_examined, found.n_excluded, found.interval.unit) == (len(rows) - 1, 1, "heads")
        own = [number(head) for head in by_head]
        assert found.details["by_head"] == [
            {"head": head, "value": pytest.approx(value, abs=1e-6)} for head, value in enumerate(own)
        ]
        assert found.details["within_heads_median"] == pytest.approx(np.median(own), abs=1e-6)
        assert found.details["worst_head"] == np.argmax(own)
    beyond = attention.heads_beyond_random(one, subject(matrix))
    assert beyond.details["rms"] == pytest.approx(rms(rows), abs=1e-6) and beyond.interval.unit == "heads"


@pytest.mark.parametrize("matrix", ["W_K", "W_V"])
def test_whole_heads_are_resampled(matrix: str) -> None:
    """Of two heads each can be all that is drawn: a head's mean square moves the mean by twice its distance."""
    rows = [vector for head in layer()[matrix] for vector in head.T]
    cosines = oracles.pair_cosines(np.array(rows))
    own = {i: np.mean([c**2 for pair, c in cosines.items() if i in pair]) for i in range(10) if i != 3}
    center = np.mean(list(own.values()))
    heads = [np.mean([own[i] for i in own if i // RANK == head]) for head in (0, 1)]
    found = attention.heads_near_orthogonal(bench(layer()), subject(matrix)).interval
    assert (found.low, found.high) == pytest.approx(tuple(np.sqrt(sorted(2 * head - center for head in heads))))


def test_a_single_head_has_its_dimensions_resampled() -> None:
    one = bench({"W_K": layer(2)["W_K"][:1]})
    for measure in (attention.heads_near_orthogonal, attention.heads_artifacts, attention.heads_beyond_random):
        found = measure(one, subject("W_K"))
        assert found.interval.unit == "head dimensions" and found.interval.low < found.interval.high


def test_heads_without_a_pair_have_no_number_of_their_own() -> None:
    weight = layer(3)["W_Q"]
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


# --- how evenly heads stretch ---------------------------------------------------------------------------------


def uneven(size: int = WIDTH) -> dict[str, Rows]:
    """Heads that stretch the more unevenly, the later; they write into so many dimensions."""
    weights = layer(5)
    for head in range(HEADS):
        weights["W_Q"][head, :, 0] *= 1 + head
        weights["W_O"][head, 0] *= 1 + head
    return weights | {"W_O": weights["W_O"][:, :, :size]}


def even(product: Rows) -> float:
    squares = np.linalg.svd(product, compute_uv=False)[:RANK] ** 2
    return float(squares.sum() ** 2 / (RANK * (squares**2).sum()))


@pytest.mark.parametrize("circuit", ["ov", "qk"])
def test_isometry_of_the_heads_of_a_layer(circuit: str) -> None:
    weights, measure = uneven(), {"ov": isometry.ov_isometry, "qk": isometry.qk_isometry}[circuit]
    q, k, v, o = weights.values()
    by_head = [even(v[head // 2] @ o[head] if circuit == "ov" else q[head] @ k[head // 2].T) for head in range(HEADS)]
    one = bench(weights)
    found = measure(one, subject())
    assert (found.value, found.n_examined, found.n_excluded) == pytest.approx((np.median(by_head), HEADS, 0))
    assert found.details["by_head"] == [{"head": head, "value": pytest.approx(x)} for head, x in enumerate(by_head)]
    assert found.details["worst_head"] == np.argmin(by_head)
    # of four heads the least even and the most even can be the median of all that is drawn
    assert (found.interval.low, found.interval.high) == pytest.approx((min(by_head), max(by_head)))
    assert found.interval.unit == "heads"
    assert one.drawn_for == [("gaussian layers", WIDTH, WIDTH, HEADS // 2, HEADS, RANK), ("bootstrap", subject().id)]
    # heads that do nothing are left out
    weights[f"W_{circuit[0].upper() if circuit == 'qk' else 'O'}"][[0, 2]] = 0
    found = measure(bench(weights), subject())
    assert (found.n_examined, found.n_excluded) == (2, 2)
    assert found.details["by_head"] == [{"head": head, "value": pytest.approx(by_head[head])} for head in (1, 3)]
    assert found.value == pytest.approx((by_head[1] + by_head[3]) / 2)
    assert found.details["worst_head"] == (1 if by_head[1] < by_head[3] else 3)
    for matrix in ("W_Q", "W_O"):
        weights[matrix][:] = 0
    with pytest.raises(NotChecked, match="every head of the layer has a product of zero"):
        measure(bench(weights), subject())


def test_gaussian_layers_are_drawn_once_for_each_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads may write into another width than they read, and then have another reference."""
    drawn: list[Any] = []

    def counted(
        shapes: tuple[int, int], heads: tuple[int, int], rank: int, draws: int, rng: np.random.Generator
    ) -> Rows:
        drawn.append((shapes, heads, rank, draws))
        return np.array([0.1, 0.2, 0.7]) * len(drawn)

    monkeypatch.setattr(isometries, "gaussian_layers", counted)
    layers = {2: uneven(), 3: uneven(20)}
    one = bench_of({f"blocks.{at}.attn.{name}": one for at, layer in layers.items() for name, one in layer.items()})
    found = [isometry.ov_isometry(one, subject(number=at)) for at in (2, 2, 3)] + [isometry.qk_isometry(one, subject())]
    beside = isometry.ov_beside_random(one, subject(number=3))
    assert drawn == [((WIDTH, WIDTH), (2, 4), RANK, 400), ((20, WIDTH), (4, 2), RANK, 400)]
    references = [(measured.reference.name, measured.reference.value) for measured in found if measured.reference]
    assert references == [("product of Gaussians", value) for value in (0.2, 0.2, 0.4, 0.2)]
    assert (beside.details["gaussian_mean"], beside.details["gaussian_deviation"]) == pytest.approx((2 / 3, 0.6429101))


@pytest.mark.parametrize("circuit", ["ov", "qk"])
def test_a_layer_set_beside_layers_of_gaussian_heads(circuit: str) -> None:
    plain, beside = {
        "ov": (isometry.ov_isometry, isometry.ov_beside_random),
        "qk": (isometry.qk_isometry, isometry.qk_beside_random),
    }[circuit]
    one = bench(uneven())
    value, found = plain(one, subject()), beside(one, subject())
    drawn = isometries.gaussian_layers(
        (WIDTH, WIDTH), (2, 4), RANK, 400, stream(3, "gaussian layers", WIDTH, WIDTH, 2, 4, RANK)
    )
    heads = [(entry["value"] - drawn.mean()) / drawn.std(ddof=1) for entry in value.details["by_head"]]
    assert found.value == pytest.approx(np.median(heads))
    assert (found.interval.low, found.interval.high) == pytest.approx((min(heads), max(heads)))
    assert (found.n_examined, found.n_excluded, found.interval.unit) == (HEADS, 0, "heads")
    assert found.reference == Reference("mean of layers of Gaussian heads", 0.0)
    assert found.details["isometry"] == value.value
    above, below = np.sum(drawn >= value.value), np.sum(drawn <= value.value)
    for (null,) in (found.nulls, value.nulls):
        assert (null.name, null.n) == ("layers of Gaussian heads", 400)
        assert (null.p_value, null.p_opposite) == pytest.approx(((above + 1) / 401, (below + 1) / 401))
    assert (found.nulls[0].value, found.nulls[0].spread) == pytest.approx((0, 1), abs=1e-9)


def test_layers_of_gaussian_heads_lie_below_the_first_percentile_once_in_a_hundred() -> None:
    """What a layer must not fall below is what it says, with heads that share values."""
    rng, below = np.random.default_rng(0), 0
    one = bench(layer())
    for _ in range(500):
        values = rng.standard_normal((2, WIDTH, RANK)), rng.standard_normal((4, RANK, WIDTH))
        weights = {"W_Q": layer()["W_Q"], "W_K": layer()["W_K"], "W_V": values[0], "W_O": values[1]}
        one._models = bench(weights)._models
        below += isometry.ov_beside_random(one, subject()).value < -2.33
    assert 0 < below <= 13, "of 500; 5 are expected"


def test_heads_of_one_dimension_stretch_evenly_whatever_they_hold() -> None:
    weights = {name: weight[:, :, :1] if name != "W_O" else weight[:, :1] for name, weight in layer().items()}
    for measure in (isometry.ov_beside_random, isometry.qk_beside_random):
        with pytest.raises(NotChecked, match="a head of one dimension"):
            measure(bench(weights), subject())
    weights = layer()
    weights["W_O"][[0, 2]] = 0
    found = isometry.ov_beside_random(bench(weights), subject())
    assert (found.n_examined, found.n_excluded) == (2, 2)


@pytest.mark.parametrize("measure", [isometry.ov_isometry, isometry.qk_isometry, attention.heads_artifacts])
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


def test_vectors_that_neurons_write() -> None:
    one, rows = bench({"W_out": outputs()}), outputs()
    near = mlp.outputs_near_orthogonal(one, subject())
    beyond, tails = mlp.outputs_beyond_random(one, subject()), mlp.outputs_artifacts(one, subject())
    assert (near.value, beyond.details["rms"], tails.value) == pytest.approx((rms(rows), rms(rows), share(rows)))
    for found in (near, tails, beyond):
        assert (found.n_examined, found.n_excluded, found.interval.unit) == (30, 1, "neurons")


def test_fewer_than_two_neurons_that_write_are_not_checked() -> None:
    rows = np.zeros((3, WIDTH))
    rows[1] = 1
    for measure in (mlp.outputs_near_orthogonal, mlp.outputs_artifacts, mlp.outputs_beyond_random):
        with pytest.raises(NotChecked, match="fewer than two rows of W_out have a direction"):
            measure(bench({"W_out": rows}), subject())
    rows[0] = 1
    assert mlp.outputs_artifacts(bench({"W_out": rows}), subject()).n_examined == 2


def test_each_matrix_of_each_layer_and_basis_is_measured_by_itself_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def counted(vectors: Rows, *more: Any, **options: Any) -> Any:
        seen.append(len(vectors))
        return pairwise_cosines(vectors, *more, **options)

    for module in (attention, mlp):
        monkeypatch.setattr(module, "pairwise_cosines", counted)
    both = [
        {f"blocks.{at}.attn.{name}": one for at in (0, 1) for name, one in layer(seed + at).items()}
        | {f"blocks.{at}.mlp.W_out": outputs(seed + at) for at in (0, 1)}
        for seed in (0, 2)
    ]
    one = bench_of(both[0], processed=both[1])
    bases: tuple[Basis, Basis] = ("raw", "processed")
    asked = [subject(matrix, at, basis) for basis in bases for at in (0, 1) for matrix in ("W_K", "W_V", None)] * 2
    values = [
        (attention.heads_beyond_random if one_of.matrix else mlp.outputs_beyond_random)(one, one_of).value
        for one_of in asked
    ]
    assert len(set(values)) == len(seen) == 12 and values[:12] == values[12:]
