"""Weights as the model uses them: what the stream begins with, gains of norms, parallel blocks, the way to tokens."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures import reading
from fixtures.claim_tests import claim_test
from fixtures.in_memory import bench_in_memory
from fixtures.planted import bound_token_weights, planted_weights
from fixtures.small_models import Sizes, Weights
from tests.oracles import Rows, cosine
from vsa_checks.errors import NotChecked
from vsa_checks.judging.measurement import Measurement
from vsa_checks.judging.subjects import Subject
from vsa_checks.sections import residual
from vsa_checks.sections.pursued import token_bundles
from vsa_checks.workbench.access import Workbench
from vsa_checks.workbench.activations import Seen, in_text, read, sinks

SMALL = Sizes(d_model=24, d_vocab=90, n_layers=3, n_heads=2, n_kv_heads=2, d_head=12, d_mlp=30)
SMALL_GATED = dataclasses.replace(SMALL, n_heads=4, d_head=6, gated=True)
BOTH = pytest.mark.parametrize("sizes", [SMALL, SMALL_GATED], ids=["like GPT-2", "like Llama"])


def gain(n: int, seed: int = 0) -> Rows:
    """Far from even, and of both signs."""
    rng = np.random.default_rng([seed, n])
    return (rng.choice([-1, 1], n) * np.exp(1.5 * rng.standard_normal(n))).astype(np.float32)


def measure(claim: str, bench: Workbench, layer: int | None = None, matrix: str | None = None) -> Measurement:
    return claim_test(claim).measure(bench, Subject(claim, "raw", layer, matrix))


def uneven(sizes: Sizes, seed: int = 0) -> Weights:
    """Planted weights whose heads are no isometries."""
    weights, rng = planted_weights(sizes, bundle=3), np.random.default_rng(seed)
    for name in ("W_Q", "W_K", "W_V", "W_O"):
        getattr(weights, name)[:] = rng.standard_normal(getattr(weights, name).shape)
    return weights


def with_gain(bench: Workbench, monkeypatch: pytest.MonkeyPatch, **matrices: Rows) -> Workbench:
    """The model writes W_O or W_out with this gain (d_model,), as before a norm that follows it."""
    model = bench.model("raw")
    stored = model.written
    monkeypatch.setattr(
        model,
        "written",
        lambda layer, matrix, *more: stored(layer, matrix, *more) * matrices.get(matrix, np.float32(1)),
    )
    return bench


def folded(weights: Weights, **matrices: Rows) -> Weights:
    """The same model without that norm's gain, and with matrices that have it in them."""
    return dataclasses.replace(weights, **{name: getattr(weights, name) * by for name, by in matrices.items()})


# --- gains of norms after attention and MLP -------------------------------------------------------------------

WRITTEN = [
    ("attention-ov-isometry", 1, None),
    ("binding-preserves-similarity", 1, "OV"),
    ("unbinding-recovers", 1, "OV"),
    ("circuits-bound-tokens", 0, "W_in"),
    ("circuits-mlp-to-mlp", None, "W_in"),
]
STORED = [
    ("attention-near-orthogonal", 1, "W_O"),
    ("attention-beyond-random", 1, "W_O"),
    ("mlp-out-near-orthogonal", 1, None),
    ("mlp-out-beyond-random", 1, None),
]


@pytest.mark.slow
@BOTH
def test_what_is_written_to_the_stream_has_the_gain_of_the_norm_that_follows(
    sizes: Sizes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gain that stands in the matrix itself is the same model; the claims on the matrices' rows are as stored."""
    weights, gains = uneven(sizes), {"W_O": gain(24), "W_out": gain(24, 1)}
    plain = bench_in_memory(sizes, weights, 0)
    other = with_gain(bench_in_memory(sizes, weights, 0), monkeypatch, **gains)
    inside = bench_in_memory(sizes, folded(weights, **gains), 0)
    for place in WRITTEN:
        found, same, without = (measure(place[0], one, *place[1:]) for one in (other, inside, plain))
        assert found.value == pytest.approx(same.value, rel=1e-4), place
        assert [one.value for one in found.nulls] == pytest.approx([one.value for one in same.nulls], rel=1e-3), place
        assert abs(found.value - without.value) > 1e-3 * abs(found.value) or place[0] == "unbinding-recovers", place
    for place in STORED:
        found, without = (measure(place[0], one, *place[1:]) for one in (other, plain))
        assert found.value == without.value, place


def test_isometry_of_what_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    weights, by = uneven(SMALL), gain(24)
    products = [weights.W_V[1, head] @ (weights.W_O[1, head] * by) for head in range(2)]
    bench = with_gain(bench_in_memory(SMALL, weights, 0), monkeypatch, W_O=by)
    squares = [np.linalg.svd(one, compute_uv=False)[:12] ** 2 for one in products]
    expected = [one.sum() ** 2 / (12 * (one**2).sum()) for one in squares]
    assert measure("attention-ov-isometry", bench, 1).value == pytest.approx(np.median(expected), rel=1e-5)


# --- gains of the norms of queries and keys -------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [SMALL, dataclasses.replace(SMALL_GATED, n_kv_heads=2)], ids=["GPT-2", "grouped"])
def test_what_is_compared_has_the_gains_of_queries_and_keys(sizes: Sizes, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = uneven(sizes)
    (h, kv, r), bench = (sizes.n_heads, sizes.n_kv_heads, sizes.d_head), bench_in_memory(sizes, weights, 0)
    gains = {"W_Q": gain(h * r, 2).reshape(h, r), "W_K": gain(kv * r, 3).reshape(kv, r)}
    monkeypatch.setattr(bench.model("raw"), "qk_gains", lambda layer: (gains["W_Q"], gains["W_K"]))
    maps = {name: getattr(weights, name)[1] * gains[name][:, None, :] for name in gains}
    squares = [
        np.linalg.svd(maps["W_Q"][head] @ maps["W_K"][head * kv // h].T, compute_uv=False)[:r] ** 2 for head in range(h)
    ]
    expected = float(np.median([one.sum() ** 2 / (r * (one**2).sum()) for one in squares]))
    found = measure("attention-qk-isometry", bench, 1).value
    assert found == pytest.approx(expected, rel=1e-5)
    assert found < 0.7 * measure("attention-qk-isometry", bench_in_memory(sizes, weights, 0), 1).value

    words = weights.W_E - weights.W_E.mean(axis=0)
    before = np.array([[cosine(one, two) for one in words] for two in words])
    pairs = ~np.eye(len(words), dtype=bool)
    for name, by_head in maps.items():
        changes, recovered = [], []
        for one in by_head:
            images = words @ one
            after = np.array([[cosine(a, b) for a in images] for b in images])
            changes.append(np.sqrt(np.mean((after - before)[pairs] ** 2)))
            unit = words / np.linalg.norm(words, axis=1, keepdims=True)
            recovered.append(np.mean(np.argmax(unit @ one @ one.T @ unit.T, axis=1) == np.arange(len(words))))
        assert measure("binding-preserves-similarity", bench, 1, name).value == pytest.approx(np.median(changes))
        assert measure("unbinding-recovers", bench, 1, name).value == pytest.approx(np.median(recovered))
        stored = measure("attention-near-orthogonal", bench, 1, name).value
        assert stored == measure("attention-near-orthogonal", bench_in_memory(sizes, weights, 0), 1, name).value


# --- what the stream begins with ------------------------------------------------------------------------------


def layer_norm(rows: Rows) -> Rows:
    middle = rows - rows.mean(axis=1, keepdims=True)
    scale = np.exp(0.3 * np.random.default_rng(7).standard_normal(rows.shape[1]))
    return np.asarray(middle / (middle.std(axis=1, keepdims=True) + 1e-5) * scale + 0.5 * scale[::-1], np.float32)


def test_a_norm_after_the_embeddings_belongs_to_the_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three normed tokens planted in a neuron are found at a cosine of one; the claims on W_E are about W_E."""
    weights, rng = uneven(Sizes()), np.random.default_rng(1)
    weights.W_E *= rng.uniform(0.2, 5, (300, 1))
    weights.W_E[-9:] = 0
    vectors = layer_norm(weights.W_E)
    words = vectors[:-9] - vectors[:-9].mean(axis=0, dtype=np.float64)
    weights.W_in[0] = np.stack([words[rng.choice(291, 3, replace=False)].sum(axis=0) for _ in range(200)], axis=1)
    normed, plain = bench_in_memory(Sizes(), weights, 0), bench_in_memory(Sizes(), weights, 0)
    monkeypatch.setattr(normed.model("raw"), "token_vectors", lambda: vectors)
    assert np.median(token_bundles(normed, "raw", 0, "W_in").cosine_at(3)) == pytest.approx(1, abs=1e-6)
    assert token_bundles(plain, "raw", 0, "W_in").cosine_at(3).max() < 0.99
    # As a model that has these vectors for embeddings: zero rows stand for those that are no tokens.
    same = bench_in_memory(Sizes(), dataclasses.replace(weights, W_E=vectors * (np.arange(300) < 291)[:, None]), 0)
    for place in [
        ("bundle-recall", None, None),
        ("binding-preserves-similarity", 1, "OV"),
        ("neurons-beyond-chance", 0, "W_in"),
        ("circuits-bound-tokens", 0, "W_in"),
    ]:
        found, expected = (measure(place[0], one, *place[1:]) for one in (normed, same))
        assert found.value == pytest.approx(expected.value, rel=1e-6), place
        assert found.details["excluded"] == {"zero": 9}
    for claim in ("embedding-mean-zero", "embedding-near-orthogonal", "embedding-artifacts-centered"):
        found, expected = (measure(claim, one) for one in (normed, plain))
        assert found.value == expected.value and found.n_excluded == 9
        assert "notes" not in expected.details
        assert found.details["notes"] == [
            "A norm follows the word embeddings before the stream begins; the figures are of the embeddings themselves."
        ]


# --- attention and MLP that read the same stream --------------------------------------------------------------


def test_heads_do_not_feed_the_neurons_of_their_own_layer_in_parallel_blocks() -> None:
    sizes = Sizes(n_layers=1)
    bench = bench_in_memory(sizes, bound_token_weights(sizes)[0], 0)
    assert measure("circuits-bound-tokens", bench, 0, "W_in").value > 0.05
    model = bench.model("raw")
    model.info = dataclasses.replace(model.info, parallel=True)
    with pytest.raises(NotChecked, match="attention and MLP of a layer read the same stream"):
        measure("circuits-bound-tokens", bench, 0, "W_in")


def test_a_missing_matrix_is_explained_by_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = bench_in_memory(SMALL, planted_weights(SMALL, bundle=3), 0)
    monkeypatch.setattr(
        bench.model("raw"), "why_missing", lambda layer, matrix: f"layer {layer} is a mixture: {matrix}"
    )
    for take in (bench.weight, bench.written):
        with pytest.raises(NotChecked, match="layer 1 is a mixture: W_none"):
            take("raw", 1, "W_none")


# --- on text --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reader() -> Workbench:
    sizes = Sizes(n_layers=2)
    weights = planted_weights(sizes)
    reading.previous_token_heads()(weights)
    return reading.bench_that_reads(sizes, weights, reading.succession_text(), 0)


def again(bench: Workbench) -> Workbench:
    """The same model and text, with nothing measured yet."""
    return Workbench(bench.name, seed=0, loaded=bench.model("raw"), text=bench.text)


def test_without_a_straight_way_to_the_tokens_nothing_is_told_of_it(
    reader: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = measure("attention-rebinds", again(reader), 0)
    assert (
        told.details["copying_heads"] is not None and {"copies", "ov_eigenvalues"} <= told.details["by_head"][0].keys()
    )
    assert {"writes", "binding_alone"} <= told.details["traced"].keys()
    monkeypatch.setattr(reader.model("raw"), "readout", lambda: (None, "a dense layer stands before the unembedding"))
    bench = again(reader)
    found = measure("attention-rebinds", bench, 0)
    assert found.value == told.value
    assert "copying_heads" not in found.details
    assert not {"copies", "ov_eigenvalues"} & found.details["by_head"][0].keys()
    assert not {"writes", "binding_alone"} & found.details["traced"].keys()
    assert "a dense layer stands before the unembedding" in found.details["notes"][1]
    with pytest.raises(NotChecked, match="a dense layer stands before the unembedding"):
        measure("attention-next-token", bench, 0)


def test_tokens_that_were_never_trained_are_left_out_of_the_text(tmp_path: Path) -> None:
    """Words 3, 4 and 5 of the succession have equal embeddings; the ranks are those among the other tokens."""
    sizes = Sizes(n_layers=2)
    weights = planted_weights(sizes)
    reading.succeeding_heads(weights)
    weights.W_E[3:6] = weights.W_E[3]
    bench = reading.bench_that_reads(sizes, weights, reading.succession_text(), 0)
    kept = [at for at in range(300) if at not in (3, 4, 5)]
    words = weights.W_E[kept] / np.linalg.norm(weights.W_E[kept], axis=1, keepdims=True)
    ranks, n_sinks, n_untrained = [], 0, 0
    hooks = ("blocks.1.hook_resid_post", "blocks.0.attn.hook_pattern", "blocks.1.attn.hook_pattern")
    for seen in read(bench, "raw", hooks, ""):
        resting = np.any([sinks(seen.cache[hook], True) for hook in hooks[1:]], axis=0)
        for at in np.flatnonzero(in_text(seen.window)):
            token = int(seen.window.tokens[at])
            n_sinks += int(resting[at])
            n_untrained += int(token in (3, 4, 5) and not resting[at])
            if not resting[at] and token in kept:
                cosines = words @ seen.cache[hooks[0]][at]
                ranks.append(1 + int(np.sum(cosines > cosines[kept.index(token)])))
    assert n_untrained > 20
    found = measure("residual-keeps-token", bench)
    assert (found.n_examined, found.n_excluded) == (len(ranks), n_sinks + n_untrained)
    assert found.value == np.median(ranks) and found.details["share_at_rank_1"] == np.mean(np.array(ranks) == 1)
    assert found.details["excluded"] == {"copies": 3}
    rebinds, after = (measure(claim, bench, 0) for claim in ("attention-rebinds", "attention-next-token"))
    assert rebinds.details["n_untrained"] == after.details["n_untrained"] > 20


def test_components_are_read_once_and_put_in_other_orders_by_each_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = Sizes(n_layers=2)
    bench = reading.bench_that_reads(sizes, planted_weights(sizes), reading.succession_text(), 0)
    reads, found = [], []

    def counted(*asked: Any) -> Iterator[Seen]:
        reads.append(asked)
        return read(*asked)

    monkeypatch.setattr(residual, "read", counted)
    for seed in (0, 1, 0):
        with bench.other_seed(seed):
            found.append(measure("residual-components", bench))
    assert len(reads) == 1
    assert found[0] == found[2] and found[0].value == found[1].value
    assert found[0].nulls[0].value != found[1].nulls[0].value


def test_a_text_of_rows_that_are_no_tokens_shows_nothing() -> None:
    sizes = Sizes(n_layers=2)
    weights = planted_weights(sizes)
    weights.W_E[: reading.SUCCESSION] = 0
    bench = reading.bench_that_reads(sizes, weights, reading.succession_text(), 0)
    for claim in ("residual-keeps-token", "residual-components"):
        with pytest.raises(NotChecked, match="at no position of the text is there a token that was trained"):
            measure(claim, bench)
    with pytest.raises(NotChecked, match="no position of the text has two sources"):
        measure("attention-rebinds", bench, 0)
    with pytest.raises(NotChecked, match="no window of the text has two positions"):
        measure("attention-next-token", bench, 0)
    weights.W_E[:] = 0
    bench = reading.bench_that_reads(sizes, weights, reading.succession_text(), 0)
    with pytest.raises(NotChecked, match="no word embedding has a direction of its own"):
        measure("residual-keeps-token", bench)
