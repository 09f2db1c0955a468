"""What the planted models that read are planted with is what the measures on text find, in what the model does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fixtures.cases.entry import reads
from fixtures.planted import plant
from fixtures.small_models import Sizes
from tests.meta.benches import Benches, measured
from tests.models import tiny
from vsa_checks.boolean import driven_by_members
from vsa_checks.bundles import greedy_pursuit
from vsa_checks.models import BASES, Basis
from vsa_checks.orthogonality import centered
from vsa_checks.sections.boolean import first_stream
from vsa_checks.sections.heads_on_text import head_weights
from vsa_checks.workbench.access import Workbench
from vsa_checks.workbench.activations import in_text, read, reading

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("basis", BASES)
def test_what_the_mlp_reads_times_a_neuron_is_the_neurons_preactivation(basis: Basis, benches: Benches) -> None:
    bench = benches("reader, heads on the token before", "uniform")
    hooks = ("blocks.0.mlp.hook_pre", "blocks.0.mlp.hook_in")
    seen = next(iter(read(bench, basis, hooks, "", stop_at_layer=1)))
    bias = bench.bias(basis, 0, "mlp.b_in")
    assert bias is not None
    product = seen.cache["blocks.0.mlp.hook_in"] @ bench.weight(basis, 0, "W_in") + bias
    assert product == pytest.approx(seen.cache["blocks.0.mlp.hook_pre"], abs=1e-4)
    assert first_stream(bench, basis).read[0] == pytest.approx(seen.cache["blocks.0.mlp.hook_in"], abs=1e-6)


@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("kind", ["gpt2", "starcoder2", "llama", "bert"])
def test_a_head_writes_its_sources_weighed_by_attention(kind: str, basis: Basis, tmp_path: Path) -> None:
    """What the measure takes for granted of hooks, biases and shared value heads: z - b_V = pattern (v - b_V)."""
    bench = Workbench(str(tiny.write_hf(tmp_path, kind)))
    hooks = ("*.attn.hook_in", "*.attn.hook_pattern", "*.attn.hook_v", "*.attn.hook_z")
    seen = next(iter(read(bench, basis, hooks, "")))
    for layer in range(2):
        heads = head_weights(bench, basis, layer)
        h, r, _ = heads.W_O.shape
        stream, pattern, v, z = (seen.cache[f"blocks.{layer}.{hook[2:]}"] for hook in hooks)
        bound = (stream @ heads.W_V).transpose(1, 0, 2)
        values = np.repeat(v.reshape(len(stream), -1, r), h // (v.size // len(stream) // r), axis=1)
        assert values - heads.b_V == pytest.approx(bound, abs=1e-3)
        written = np.einsum("hij,jhr->ihr", pattern, bound)
        assert z.reshape(-1, h, r) - heads.b_V == pytest.approx(written, abs=1e-3)


def test_layers_from_the_stop_on_are_not_run(benches: Benches) -> None:
    bench = benches("reader", "uniform")
    seen = next(iter(read(bench, "raw", ("hook_embed", "*.hook_resid_post"), "", stop_at_layer=2)))
    assert set(seen.cache) == {"hook_embed", "blocks.0.hook_resid_post", "blocks.1.hook_resid_post"}
    tokens = reading(bench, "raw").windows[0].tokens
    assert seen.cache["hook_embed"] == pytest.approx(bench.embedding("raw")[tokens])


def test_heads_that_write_the_next_token_bind_what_they_attend_to_and_do_not_copy_it(benches: Benches) -> None:
    found = measured("attention-rebinds", reads("succession", "reader, heads by content", 0), benches)
    assert [entry["head"] for entry in found.details["by_head"]] == [0, 1, 2, 3]
    for entry in found.details["by_head"]:
        assert entry["value"] > 0.7 and entry["cos_squared"] > 0.9
        assert entry["copies"] < 0.05, "the next token is written, not the attended one"
    assert found.details["copying_heads"] == []


def test_heads_on_the_token_before_are_traced_one_back_and_copy_it(benches: Benches) -> None:
    found = measured("attention-rebinds", reads("pairs", "reader, heads on the token before", 0), benches)
    traced = found.details["traced"]
    assert traced["positions_back"] == 1 and traced["attention"] > 0.9
    assert found.details["copying_heads"] == [0, 1, 2, 3]
    for entry in found.details["by_head"]:
        assert entry["ov_eigenvalues"] == pytest.approx(1.0, abs=0.02)
        assert entry["value_as_read"] > 0.8, "with its position, the source is all that is written"


def test_a_layer_of_nothing_planted_has_no_head_that_copies(benches: Benches) -> None:
    found = measured("attention-rebinds", reads("uniform", "reader, heads by content", 2), benches)
    assert found.details["copying_heads"] == []
    assert max(abs(entry["value"]) for entry in found.details["by_head"]) < 0.02


@pytest.mark.parametrize("basis", BASES)
def test_the_planted_or_is_driven_by_each_of_its_members_and_by_them_alone(basis: Basis, benches: Benches) -> None:
    bench = benches("reader", "uniform")
    _, truth = plant(Sizes())
    assert truth.or_neuron is not None
    neuron = np.ascontiguousarray(bench.weight(basis, 0, "W_in").T)[[truth.or_neuron.neuron]]
    stream = first_stream(bench, basis)
    size = len(truth.or_neuron.members)
    bundle = greedy_pursuit(neuron, centered(bench.embedding(basis)), size)
    assert set(bundle.tokens(0).tolist()) == set(truth.or_neuron.members)
    found = driven_by_members(stream.read, stream.tokens, stream.counted, neuron, bundle)
    assert (found.seen_alone[0], found.driving_alone[0]) == (size, size)


def test_a_stream_that_keeps_its_token_has_it_first_from_layer_to_layer(benches: Benches) -> None:
    found = measured("residual-keeps-token", reads("uniform", "reader, small outputs"), benches)
    assert (found.value, found.details["layer"]) == (1.0, 1)
    assert found.details["share_at_rank_1"] > 0.99
    assert [series["y"] for series in found.details["curve"]["series"]] == [[1.0] * 3] * 2


def test_components_are_named_and_those_that_write_nothing_left_out(benches: Benches) -> None:
    found = measured("residual-components", reads("uniform", "reader, one direction written"), benches)
    names = {entry["component"]: entry["rms_cosine"] for entry in found.details["components"]}
    assert set(names) == {"embedding", *(f"{part} {layer}" for part in ("attention", "MLP") for layer in range(3))}
    assert min(names, key=lambda name: names[name]) == "embedding"
    assert {found.details["closest_pairs"][0][end] for end in ("first", "second")} <= set(names) - {"embedding"}


def test_an_encoder_reads_text_where_no_decoder_is_needed(benches: Benches) -> None:
    assert not benches("encoder").model("raw").info.causal
    for claim, layer, matrix in (
        ("attention-rebinds", 1, None),
        ("neuron-or", 0, "W_in"),
        ("residual-keeps-token", None, None),
    ):
        case = reads("uniform", "encoder", layer, matrix, basis="raw")
        assert measured(claim, case, benches).n_examined > 0


def test_positions_that_count_hold_text_and_are_not_the_first(benches: Benches) -> None:
    for window in reading(benches("reader", "uniform"), "raw").windows:
        assert np.flatnonzero(in_text(window)).tolist() == list(range(1, len(window.tokens)))
