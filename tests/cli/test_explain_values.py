"""Explanations of neurons whose right answer is planted: norms, parallel blocks, padding, sizes, experts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.models import tiny
from vsa_checks.cli.main import main
from vsa_checks.cli.neuron import Explanation, explain
from vsa_checks.errors import UsageError
from vsa_checks.models import Basis, Model, ModelInfo, load
from vsa_checks.sections.pursued import PURSUIT_TOKENS, token_bundles
from vsa_checks.workbench.access import Workbench

D, V, M = 64, 300, 40


class StandIn(Model):
    """A model of arrays in memory, with the gains of norms that follow W_out, by layer."""

    def __init__(self, arrays: dict[str, Any], gains: dict[int, Any] | None = None, **fields: Any) -> None:
        sizes = {"n_layers": 2, "d_model": D, "n_heads": 4, "n_kv_heads": 4, "d_head": 16, "d_mlp": M, "d_vocab": V}
        words = dict.fromkeys(("source", "location", "licence", "notes", "text_reason"), "")
        kinds = {"architecture": "any", "dtype": "float32", "norm": "layer_norm"}
        ways = {"gated": False, "causal": True, "text": False}
        nothing = {"sha256": None, "revision": None, "quantization": None, "is_paper_model": False}
        whole: dict[str, Any] = {"name": "in memory", **sizes, **words, **kinds, **ways, **nothing, **fields}
        self.info = ModelInfo(**whole)
        self.basis: Basis = "raw"
        self.arrays = {name: np.asarray(array, np.float32) for name, array in arrays.items()}
        self.gains = gains or {}

    def array(self, name: str) -> Any:
        return self.arrays[name]

    def __contains__(self, name: object) -> bool:
        return name in self.arrays

    def token_name(self, token: int) -> str:
        return f"t{token}"

    def token_vectors(self) -> Any:
        return self.arrays["embed.W_E"]

    def written(self, layer: int, matrix: str, expert: int | None = None) -> Any:
        part = "attn" if matrix == "W_O" else "mlp" if expert is None else f"mlp.experts.{expert}"
        return self.arrays[f"blocks.{layer}.{part}.{matrix}"] * self.gains.get(layer, np.float32(1))

    def readout(self) -> Any:
        return self.arrays.get("unembed.W_U"), "a dense layer stands between"

    def why_missing(self, layer: int, matrix: str) -> str:
        return f"layer {layer} is a state-space layer without {matrix}"


def arrays_of(seed: int = 0, experts: int = 0) -> dict[str, np.ndarray]:
    """Gaussian weights of two layers; each MLP a mixture where there are experts."""
    rng = np.random.default_rng(seed)
    found = {"embed.W_E": rng.standard_normal((V, D)), "unembed.W_U": rng.standard_normal((D, V))}
    for layer in range(2):
        found |= {f"blocks.{layer}.attn.W_V": rng.standard_normal((4, D, 16))}
        found |= {f"blocks.{layer}.attn.W_O": rng.standard_normal((4, 16, D))}
        for part in [f"mlp.experts.{expert}" for expert in range(experts)] or ["mlp"]:
            found |= {f"blocks.{layer}.{part}.W_in": rng.standard_normal((D, M))}
            found |= {f"blocks.{layer}.{part}.W_out": rng.standard_normal((M, D))}
    return {name: array.astype(np.float32) for name, array in found.items()}


# --- what is written, with the norms that stand between -------------------------------------------------------


@pytest.mark.parametrize("basis", ["processed", "raw"])
@pytest.mark.parametrize("model_type", ["gemma2", "gemma3_text", "olmo2"])
def test_what_a_neuron_writes_passes_the_norm_after_the_mlp(model_type: str, basis: Basis, tmp_path: Path) -> None:
    """W_out holds token 7's unembedding; the gain of the norm that follows makes token 42's of it."""
    directory = tiny.write_hf(tmp_path, model_type, tie_word_embeddings=False)
    rng = np.random.default_rng(0)
    gain = torch.tensor(np.exp(rng.uniform(-3, 3, 24)), dtype=torch.float32)
    unembedding = torch.tensor(rng.standard_normal((tiny.D_VOCAB, 24)), dtype=torch.float32)
    unembedding[42] = unembedding[7] * gain
    offset = 1.0 if model_type.startswith("gemma") else 0.0
    down = torch.tensor(rng.standard_normal((24, 40)), dtype=torch.float32)
    down[:, 5] = unembedding[7]
    tiny.edit_weights(
        directory,
        lm_head__weight=unembedding,
        model__norm__weight=torch.full((24,), 1.0 - offset),
        model__layers__1__post_feedforward_layernorm__weight=gain - offset,
        model__layers__1__mlp__down_proj__weight=down,
    )
    found = explain(load(directory, basis), 1, 5, max_tokens=1)
    name = load(directory, basis).token_name(42)
    assert found.promotes[0][0] == name and found.promotes[0][1] > 0.99


def test_earlier_neurons_are_compared_as_they_are_written() -> None:
    arrays, gain = arrays_of(), np.exp(np.random.default_rng(1).uniform(-3, 3, D)).astype(np.float32)
    arrays["blocks.0.mlp.W_out"][9] = arrays["blocks.1.mlp.W_in"][:, 3] / gain
    first = explain(StandIn(arrays, {0: gain}), 1, 3, max_tokens=1).sources[0]
    assert (first.layer, first.neuron) == (0, 9) and first.cosine == pytest.approx(1, abs=1e-6)


def test_an_encoder_whose_head_is_not_linear_names_no_written_tokens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tiny.write_hf(tmp_path, "bert")
    found = explain(load(directory, "raw"), 1, 1, max_tokens=2)
    assert len(found.steps) == 2 and len(found.heads) == 6
    assert found.promotes == found.suppresses == () and found.writes_note
    assert main(["explain", str(directory), "1", "1", "--basis", "raw"]) == 0
    assert found.writes_note in capsys.readouterr().out


# --- what feeds the neuron ------------------------------------------------------------------------------------


@pytest.mark.parametrize("parallel", [False, True])
def test_heads_of_the_same_layer_feed_it_only_where_the_mlp_comes_after_them(parallel: bool, tmp_path: Path) -> None:
    directory = tiny.write_hf(tmp_path, "gpt_neox", use_parallel_residual=parallel)
    model = load(directory, "raw")
    first, second = (explain(model, layer, 0, max_tokens=1, top=99) for layer in (0, 1))
    assert {head.layer for head in second.heads} == ({0} if parallel else {0, 1})
    assert {head.layer for head in first.heads} == (set() if parallel else {0})
    assert ("no head comes before layer 0" in first.heads_note) is parallel and not second.heads_note


def test_a_heads_strength_and_bound_tokens_are_those_of_its_whole_map() -> None:
    """Against W_V W_O multiplied out, in float64; heads of one key-value head share its W_V."""
    arrays = arrays_of()
    arrays["blocks.0.attn.W_V"] = arrays["blocks.0.attn.W_V"][:2]
    arrays["blocks.0.attn.W_O"][3, 8:] = 0
    found = explain(StandIn(arrays), 0, 5, max_tokens=1, top=4)
    target = arrays["blocks.0.mlp.W_in"][:, 5].astype(float)
    words = arrays["embed.W_E"].astype(float) - arrays["embed.W_E"].astype(float).mean(axis=0)
    for one in found.heads:
        whole = arrays["blocks.0.attn.W_V"][one.head // 2].astype(float) @ arrays["blocks.0.attn.W_O"][one.head]
        reads = np.linalg.norm(whole @ target) / np.linalg.norm(target)
        assert one.strength == pytest.approx(reads * np.sqrt(D) / np.linalg.norm(whole), rel=1e-5)
        cosines = words @ whole @ target / np.linalg.norm(words @ whole, axis=1) / np.linalg.norm(target)
        best = np.argsort(-cosines)[:3]
        assert [name for name, _ in one.tokens] == [f"t{token}" for token in best]
        assert [cosine for _, cosine in one.tokens] == pytest.approx(cosines[best].tolist(), abs=1e-5)
    assert [one.strength for one in found.heads] == sorted((one.strength for one in found.heads), reverse=True)


def test_a_layer_without_attention_feeds_nothing_and_one_without_mlp_has_no_neurons() -> None:
    arrays = {name: array for name, array in arrays_of().items() if not name.startswith("blocks.0.")}
    found = explain(StandIn(arrays), 1, 0, max_tokens=1, top=99)
    assert {head.layer for head in found.heads} == {1} and found.sources == ()
    with pytest.raises(UsageError, match="no neurons to explain there: layer 0 is a state-space layer without W_in"):
        explain(StandIn(arrays), 0, 0)
    arrays = {name: array for name, array in arrays.items() if ".attn." not in name}
    found = explain(StandIn(arrays), 1, 0, max_tokens=1)
    assert found.heads == () and found.heads_note == "layer 1 is a state-space layer without W_O"


# --- the tokens -----------------------------------------------------------------------------------------------


def padded(directory: Path) -> Path:
    """A model whose last rows are no tokens: 20 that the tokenizer lacks, then 16 of zeros."""
    directory = tiny.write_hf(directory, "gpt2", tokenizer=False)
    tiny.write_tokenizer(directory, tiny.D_VOCAB - 36)
    embedding = torch.randn(tiny.D_VOCAB, 24, generator=torch.Generator().manual_seed(1))
    embedding[-16:] = 0
    return tiny.edit_weights(directory, transformer__wte__weight=embedding)


@pytest.mark.parametrize("basis", ["processed", "raw"])
def test_the_bundle_is_the_one_of_the_claims_with_padding_left_out(basis: Basis, tmp_path: Path) -> None:
    directory = padded(tmp_path)
    bench = Workbench(str(directory))
    known = token_bundles(bench, basis, 1, "W_in")
    for neuron in (0, 17, 39):
        found = explain(load(directory, basis), 1, neuron, max_tokens=PURSUIT_TOKENS)
        assert found.n_tokens == tiny.D_VOCAB - 36
        assert [step.token for step in found.steps] == known.tokens(neuron).tolist()
        assert [step.cosine for step in found.steps] == pytest.approx(known.path(neuron).tolist(), abs=1e-6)
        names = {name for name, _ in (*found.promotes, *found.suppresses)}
        assert not names & {str(token) for token in range(tiny.D_VOCAB - 36, tiny.D_VOCAB)}


# --- sizes ----------------------------------------------------------------------------------------------------


def at_size(arrays: dict[str, np.ndarray], power: int, *matrices: str) -> dict[str, np.ndarray]:
    return {
        name: np.ldexp(array, power) if name.rsplit(".", 1)[1] in matrices else array for name, array in arrays.items()
    }


@pytest.mark.parametrize("matrix", ["W_in", "W_out", "W_V", "W_O", "W_U", "W_E"])
@pytest.mark.parametrize("power", [-73, -83, -110, 100])
def test_tiny_and_huge_weights_are_explained_as_at_size_one(matrix: str, power: int) -> None:
    """2^-73 is 1e-22, 2^-83 1e-25; powers of two change no digit."""
    arrays = arrays_of()
    known = explain(StandIn(arrays), 1, 7, max_tokens=4)
    assert explain(StandIn(at_size(arrays, power, matrix)), 1, 7, max_tokens=4) == known


# --- experts --------------------------------------------------------------------------------------------------


def of_expert(arrays: dict[str, np.ndarray], expert: int) -> Explanation:
    return explain(StandIn(arrays, n_experts=3), 1, 7, expert=expert, max_tokens=3)


def test_an_experts_neuron_is_explained_as_the_same_neuron_of_a_dense_model() -> None:
    arrays = arrays_of(experts=3)
    dense = {name.replace("experts.2.", ""): array for name, array in arrays.items()}
    dense.pop("blocks.0.mlp.W_out")
    found, known = of_expert(arrays, 2), explain(StandIn(dense), 1, 7, max_tokens=3)
    assert found.expert == 2
    assert (found.steps, found.heads, found.promotes) == (known.steps, known.heads, known.promotes)


def test_neurons_of_all_earlier_experts_may_be_its_sources() -> None:
    arrays = arrays_of(experts=3)
    arrays["blocks.0.mlp.experts.1.W_out"][9] = arrays["blocks.1.mlp.experts.2.W_in"][:, 7]
    first = of_expert(arrays, 2).sources[0]
    assert (first.layer, first.expert, first.neuron) == (0, 1, 9) and first.cosine == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("expert", "words"), [(None, "mixture of 3 experts.* --expert, 0 to 2"), (3, "no expert 3")])
def test_which_expert_has_to_be_said(expert: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        of_expert(arrays_of(experts=3), expert)


# --- weights from which nothing can be said -------------------------------------------------------------------


def changed(directory: Path, name: str, value: torch.Tensor) -> Path:
    return tiny.edit_weights(tiny.write_hf(directory, "gpt2"), **{name: value})


NAN = torch.full((24, 40), torch.nan)
UNUSABLE = {
    "all embeddings zero": ("transformer__wte__weight", torch.zeros(tiny.D_VOCAB, 24)),
    "all embeddings equal": ("transformer__wte__weight", (torch.arange(24) / 7 - 1).repeat(tiny.D_VOCAB, 1)),
    "a neuron with nan": ("transformer__h__0__mlp__c_fc__weight", NAN),
    "outputs with nan": ("transformer__h__0__mlp__c_proj__weight", NAN.T),
    "embeddings with nan": ("transformer__wte__weight", torch.full((tiny.D_VOCAB, 24), torch.nan)),
}


@pytest.mark.parametrize("basis", ["processed", "raw"])
@pytest.mark.parametrize("json_too", [False, True])
@pytest.mark.parametrize("case", UNUSABLE)
def test_unusable_weights_are_said_in_one_paragraph(
    case: str, json_too: bool, basis: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, value = UNUSABLE[case]
    directory = changed(tmp_path, name, value.contiguous())
    code = main(["explain", str(directory), "0", "1", "--basis", basis, *(["--json"] if json_too else [])])
    said = capsys.readouterr()
    assert (code, said.out) == (2, "")
    assert said.err.count("\n") == 1 and "Traceback" not in said.err


def test_a_neuron_that_writes_nothing_is_still_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = changed(tmp_path, "transformer__h__0__mlp__c_proj__weight", torch.zeros(40, 24))
    assert main(["explain", str(directory), "0", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["steps"] and found["promotes"] == [] and found["writes_note"] == "its weights in W_out are all zero"


def test_a_layer_of_one_live_neuron_has_no_null() -> None:
    arrays = arrays_of()
    arrays["blocks.0.mlp.W_in"][:, 1:] = 0
    with pytest.raises(UsageError, match="the only live one in layer 0"):
        explain(StandIn(arrays), 0, 0)
