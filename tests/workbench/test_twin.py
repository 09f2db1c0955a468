"""The untrained twin: what transformers initialises, read as any other model, with the trained model's tokenizer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.models import tiny, tiny_gguf
from vsa_checks.models import describe
from vsa_checks.workbench import twin as module
from vsa_checks.workbench.access import Workbench
from vsa_checks.workbench.resources import Plan
from vsa_checks.workbench.twin import NoTwin, TwinBench, shape_digest


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three layers of width 64, every weight random and none as a GPT-2 begins."""
    return tiny.write_hf(tmp_path_factory.mktemp("models") / "gpt2", "gpt2", n_embd=64, n_layer=3, n_inner=256)


def twin_of(path: Path, seed: int = 0, plan: Plan | None = None) -> TwinBench:
    return TwinBench(Workbench(str(path), seed=seed, plan=plan), describe(str(path)))


def untrained_gpt2(path: Path, seed: int) -> dict[str, np.ndarray[Any, Any]]:
    """The tensors of a GPT-2 that transformers makes of the configuration beside the weights."""
    import torch
    import transformers

    torch.manual_seed(seed)
    made = transformers.GPT2LMHeadModel(transformers.GPT2Config.from_pretrained(path))
    return {name: tensor.detach().numpy() for name, tensor in made.named_parameters()}


def test_it_is_what_transformers_initialises(gpt2: Path) -> None:
    bench = twin_of(gpt2, seed=3)
    stored = untrained_gpt2(gpt2, 3)
    assert np.array_equal(bench.embedding("raw"), stored["transformer.wte.weight"])
    for layer in range(3):
        block = f"transformer.h.{layer}"
        assert np.array_equal(bench.weight("raw", layer, "W_in"), stored[f"{block}.mlp.c_fc.weight"])
        assert np.array_equal(bench.weight("raw", layer, "W_out"), stored[f"{block}.mlp.c_proj.weight"])
        written = bench.weight("raw", layer, "W_O").reshape(64, 64)
        assert np.array_equal(written, stored[f"{block}.attn.c_proj.weight"])
    bench.close()


def test_its_weights_obey_gpt2s_own_law(gpt2: Path) -> None:
    """Normal of .02, and of .02 / sqrt(2 layers) what is written to the stream; biases are zero and gains one."""
    bench = twin_of(gpt2)
    reading, writing = bench.weight("raw", 1, "W_in"), bench.weight("raw", 1, "W_out")
    assert reading.std() == pytest.approx(0.02, rel=0.03)
    assert writing.std() == pytest.approx(0.02 / np.sqrt(6), rel=0.03)
    bias = bench.bias("raw", 1, "mlp.b_in")
    assert bias is not None and not bias.any()
    assert all(norm is None or norm.all() for norm in bench.model("raw").qk_gains(0))
    bench.close()


def test_nothing_of_the_training_is_in_it(gpt2: Path, tmp_path: Path) -> None:
    other = tiny.write_hf(tmp_path / "other", "gpt2", seed=1, n_embd=64, n_layer=3, n_inner=256)
    one, same, reseeded = twin_of(gpt2), twin_of(other), twin_of(gpt2, seed=1)
    weights = [bench.weight("processed", 2, "W_in") for bench in (one, same, reseeded)]
    assert np.array_equal(weights[0], weights[1]) and not np.array_equal(weights[0], weights[2])
    trained = Workbench(str(gpt2)).weight("processed", 2, "W_in")
    assert trained.shape == weights[0].shape and not np.array_equal(trained, weights[0])
    for bench in (one, same, reseeded):
        bench.close()


def test_other_random_numbers_are_left_as_they_were(gpt2: Path) -> None:
    import torch

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    bench = twin_of(gpt2)
    bench.model("raw")
    assert torch.equal(torch.rand(3), expected)
    bench.close()


def test_it_reads_text_with_the_trained_models_tokenizer(gpt2: Path) -> None:
    trained = Workbench(str(gpt2))
    bench = TwinBench(trained, describe(str(gpt2)))
    model = bench.model("raw")
    assert model.token_name(70) == trained.model("raw").token_name(70) != "70"
    assert model.tokenizer is trained.model("raw").tokenizer
    _, cache = model.run_with_cache("abcd", names_filter="hook_embed")
    tokens = model.tokenizer.encode("abcd")
    assert np.allclose(cache["hook_embed"][0].numpy(), bench.embedding("raw")[tokens], atol=1e-6)
    bench.close()


@pytest.mark.parametrize("kind", ["llama", "gpt2", "bert"])
def test_a_gguf_file_or_an_encoder_has_one_of_the_same_shapes(kind: str, tmp_path: Path) -> None:
    if kind == "bert":
        path = tiny.write_hf(tmp_path / "bert", "bert")
    else:
        path = tiny_gguf.write_gguf(tmp_path / "model.gguf", kind)
    trained = Workbench(str(path))
    bench = TwinBench(trained, describe(str(path)))
    made, real = bench.model("raw"), trained.model("raw")
    # A file may lack what is zero in the twin, such as the bias of the unembedding.
    assert {name for name in real if ".W_" in name} <= set(made)
    assert all(made.array(name).shape == real.array(name).shape for name in real)
    assert made.info.text == real.info.text and made.info.quantization is None
    bench.close()


def test_its_folder_is_removed(gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    bench = twin_of(gpt2)
    bench.model("raw")
    assert len(list(tmp_path.iterdir())) == 1
    bench.model("processed")
    assert len(list(tmp_path.iterdir())) == 1
    bench.close()
    assert not list(tmp_path.iterdir())
    bench.close()


# --- where there is none --------------------------------------------------------------------------------------


def refused(bench: TwinBench) -> str:
    with pytest.raises(NoTwin) as caught:
        bench.model("raw")
    return str(caught.value)


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_why_it_cannot_be_made_is_told_and_nothing_is_left(
    gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    plan = Plan(10**9, 10**9, 10**8, 10**8, 10**8, no_twin="it is too large")
    assert refused(twin_of(gpt2, plan=plan)) == "it is too large"
    with monkeypatch.context() as patch:
        patch.setattr(module.shutil, "disk_usage", lambda _: Usage(10**6, 10**6, 0))
        assert "0 MB are free" in refused(twin_of(gpt2))
    with monkeypatch.context() as patch:
        patch.setattr("transformers.GPT2LMHeadModel.save_pretrained", lambda *_, **__: 1 / 0)
        assert refused(twin_of(gpt2)) == (
            "transformers cannot build GPT2LMHeadModel untrained (ZeroDivisionError: division by zero)"
        )
    assert not list(tmp_path.iterdir())


# --- what tells one twin from another -------------------------------------------------------------------------


def test_the_shape_is_that_of_the_configuration_and_the_tokenizer(gpt2: Path, tmp_path: Path) -> None:
    same = tiny.write_hf(tmp_path / "same", "gpt2", seed=9, n_embd=64, n_layer=3, n_inner=256)
    deeper = tiny.write_hf(tmp_path / "deeper", "gpt2", n_embd=64, n_layer=4, n_inner=256)
    assert shape_digest(str(same)) == shape_digest(str(gpt2)) != shape_digest(str(deeper))
    config = json.loads((same / "config.json").read_text())
    (same / "config.json").write_text(json.dumps(config | {"transformers_version": "0", "dtype": "bfloat16"}))
    assert shape_digest(str(same)) == shape_digest(str(gpt2))
    (same / "config.json").write_text(json.dumps(config | {"initializer_range": 0.5}))
    assert shape_digest(str(same)) != shape_digest(str(gpt2))
    (same / "config.json").write_text(json.dumps(config))
    (same / "tokenizer.json").write_text((same / "tokenizer.json").read_text() + "\n")
    assert shape_digest(str(same)) != shape_digest(str(gpt2))


def test_the_shape_of_a_gguf_file_is_in_its_header(tmp_path: Path) -> None:
    one, other = (tiny_gguf.write_gguf(tmp_path / f"{seed}.gguf", "llama", seed=seed) for seed in (0, 1))
    deeper = tiny_gguf.write_gguf(tmp_path / "deeper.gguf", "llama", num_hidden_layers=4)
    assert shape_digest(str(one)) == shape_digest(str(other)) != shape_digest(str(deeper))


def test_no_more_of_its_weights_is_kept_than_planned(gpt2: Path) -> None:
    plan = Plan(10**12, 10**9, 10**8, 10**11, 10**8)
    bench = twin_of(gpt2, plan=plan)
    assert bench.plan is not None and bench.plan.kept_bytes < 10**7
    assert bench.plan == replace(plan, kept_bytes=bench.plan.kept_bytes)
