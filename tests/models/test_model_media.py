"""Language models within models of several media: their weights are read, and they are not run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.models import tiny
from vsa_checks.models import BASES, load
from vsa_checks.models.forward import CannotRun
from vsa_checks.models.quiet import quiet
from vsa_checks.models.shapes import shape_from_config

pytestmark = pytest.mark.slow

_TEXT: dict[str, Any] = {
    "vocab_size": tiny.D_VOCAB,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 40,
    "max_position_embeddings": 64,
    "head_dim": 8,
}
_IMAGES = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 20,
    "image_size": 16,
    "patch_size": 8,
}
_QWEN_IMAGES = {"depth": 1, "hidden_size": 16, "num_heads": 2, "intermediate_size": 20, "out_hidden_size": 32}
_LLAMA4 = {"num_local_experts": 2, "intermediate_size_mlp": 40, "interleave_moe_layer_step": 2}
_LLAMA4_IMAGES = {"vision_output_dim": 16, "projector_input_dim": 16, "projector_output_dim": 16}

# Class, language model's type, where the class has it, and the parts of its configuration.
MEDIA: dict[str, tuple[str, str, str, dict[str, Any], dict[str, Any]]] = {
    "gemma3": ("Gemma3ForConditionalGeneration", "gemma3_text", "model.language_model", {}, _IMAGES),
    "mistral3": ("Mistral3ForConditionalGeneration", "mistral", "model.language_model", {}, _IMAGES),
    "llava": ("LlavaForConditionalGeneration", "llama", "model.language_model", {}, _IMAGES),
    "idefics3": ("Idefics3ForConditionalGeneration", "llama", "model.text_model", {}, _IMAGES),
    "llama4": (
        *("Llama4ForConditionalGeneration", "llama4_text", "language_model.model"),
        *(_LLAMA4, {**_IMAGES, **_LLAMA4_IMAGES}),
    ),
    "qwen2_5_vl": (
        *("Qwen2_5_VLForConditionalGeneration", "qwen2_5_vl_text", "model.language_model"),
        *({}, _QWEN_IMAGES),
    ),
    "qwen3_vl": (
        *("Qwen3VLForConditionalGeneration", "qwen3_vl_text", "model.language_model"),
        *({}, {**_QWEN_IMAGES, "deepstack_visual_indexes": [0]}),
    ),
}
_IMAGE_TYPES = {"mistral3": "pixtral", "llava": "clip_vision_model"}


@pytest.mark.parametrize("name", MEDIA)
def test_weights_are_those_of_the_language_model(tmp_path: Path, name: str) -> None:
    import transformers

    hf_class, model_type, place, text, images = MEDIA[name]
    images = {**images, "model_type": _IMAGE_TYPES[name]} if name in _IMAGE_TYPES else images
    parts = {"text_config": {**_TEXT, **text, "model_type": model_type}, "vision_config": images}
    with quiet():
        module = getattr(transformers, hf_class)(transformers.AutoConfig.for_model(name, **parts))
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        module.save_pretrained(tmp_path)
    inner = module.get_submodule(place)
    layer = inner.layers[0]
    mlp = layer.feed_forward if name == "llama4" else layer.mlp
    model = load(tmp_path, "raw")
    assert model.info.architecture == model_type
    assert (model.info.n_layers, model.info.d_model, model.info.notes) == (2, 32, "")
    assert torch.equal(model.W_E, inner.embed_tokens.weight)
    assert torch.equal(model["unembed.W_U"], module.get_output_embeddings().weight.T)
    for letter, heads in (("q", 4), ("k", 2), ("v", 2)):
        rows = layer.self_attn.get_submodule(f"{letter}_proj").weight.reshape(heads, 8, 32)
        assert torch.equal(model[f"blocks.0.attn.W_{letter.upper()}"], rows.transpose(1, 2))
    for weight, module_name in (("W_in", "up_proj"), ("W_gate", "gate_proj"), ("W_out", "down_proj")):
        assert torch.equal(model[f"blocks.0.mlp.{weight}"], mlp.get_submodule(module_name).weight.T)
    for basis in BASES:
        with pytest.raises(CannotRun, match="language model of a model of several media: weights only"):
            _ = load(tmp_path, basis).bridge


def test_sizes_that_a_language_model_leaves_out_are_those_of_its_type() -> None:
    """As the first LLaVA models do."""
    text = {"model_type": "llama", "vocab_size": 32064, "max_position_embeddings": 4096}
    shape = shape_from_config({"model_type": "llava", "text_config": text, "vision_config": {}}, "x")
    assert (shape.n_layers, shape.d_model, shape.n_heads, shape.d_mlp, shape.d_vocab) == (32, 4096, 32, 11008, 32064)


def test_a_flat_configuration_of_an_older_version(tmp_path: Path) -> None:
    directory = tiny.write_hf(tmp_path, "qwen2_5_vl_text", tokenizer=False)
    config = json.loads((directory / "config.json").read_text())
    shape = shape_from_config({**config, "model_type": "qwen2_5_vl", "vision_config": {}}, "x")
    assert shape == shape_from_config(config, "x")
