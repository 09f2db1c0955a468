"""Names of stored tensors: those in the files against those in the model's class, and those of experts."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace

from vsa_checks.errors import ModelError
from vsa_checks.models.architecture import Shape
from vsa_checks.models.layout import Experts, Layout

_OUTSIDE = ("lm_head.", "cls.", "embed_out.", "vocab_projector.", "generator_lm_head.", "predictions.", "decoder.bias")
"""Modules beside the outermost one of the embedding, which stay as they are in a model saved without it."""
_FUSED = "gate_up_proj"
_FUSED_EXPERTS = re.compile(rf"\.\d+\.(\w+\.experts)\.{_FUSED}$")


def by_module_name(stored: Collection[str], layout: Layout) -> dict[str, str]:
    """Name in the model's class -> name in the files, which may lack or have outer modules, or use older words."""
    embed = f"{layout.embed}.weight"
    bare = embed.removeprefix(layout.prefix) if "." in layout.embed else embed
    found = [name for name in stored if name in (embed, bare) or name.endswith("." + bare)]
    ours = next((name for name in (embed, bare) if name in found), found[0] if len(found) == 1 else "")
    if not ours:
        ours = _other_embedding(stored, embed)
        if ours:
            return by_module_name(stored, replace(layout, embed=ours.removesuffix(".weight"))) | {embed: ours}
    # What stands before the layers in the files, and in the class.
    theirs = ours.removesuffix(bare) if ours else ""
    inner = layout.prefix if "." in layout.embed else ""
    names: dict[str, str] = {}
    head = f"{layout.unembed}.weight"
    for name in stored:
        plain = name
        if theirs != inner and name.startswith(theirs):
            plain = inner + name.removeprefix(theirs)
            if any(name.startswith(head) for head in _OUTSIDE) and not theirs:
                plain = name
        if layout.unembed and name.endswith("." + head) and head not in stored:
            plain = head  # within a model of several media
        if layout.unembed == "embed_out" and name == "lm_head.weight" and head not in stored:
            plain = head  # as GPT-NeoX's class now calls it, which still writes the older name unless told not to
        for old, new in ((".gamma", ".weight"), (".beta", ".bias")):
            if plain.endswith(old):
                plain = plain.removesuffix(old) + new
        names[plain] = name
    return names


def stored_layout(layout: Layout, stored: Collection[str]) -> Layout:
    """The layout with all experts of a layer in one tensor, as newer classes have them, where the files have that."""
    if layout.experts is None or layout.experts.fused == _FUSED:
        return layout
    fused = next((match for match in map(_FUSED_EXPERTS.search, stored) if match is not None), None)
    return layout if fused is None else replace(layout, experts=Experts(fused[1], fused=_FUSED))


def check_experts(
    stored: Mapping[str, tuple[int, ...]], layout: Layout, n_layers: int, n_experts: int, model: str, place: object
) -> None:
    """Raises ModelError where a mixture does not have the experts that the configuration says."""
    names = by_module_name(stored, layout)
    for layer in expert_layers(layout, names, n_layers):
        assert layout.experts is not None
        if "{}" in layout.experts.module:
            last, next_one = (expert_name(layout, layer, "down", at) in names for at in (n_experts - 1, n_experts))
            wrong = not last or next_one
        else:
            wrong = stored[names[expert_name(layout, layer, "down", 0)]][0] != n_experts
        if wrong:
            raise ModelError(
                f"The model {model} cannot be loaded: its configuration asks for {n_experts:,} experts, and layer "
                f"{layer} in {place} has another number of them. Configuration and weights do not match: "
                "fetch the model again."
            )


def _other_embedding(stored: Collection[str], embed: str) -> str:
    """An encoder-decoder's embedding where it was saved with the decoder or the encoder and not as what they share."""
    if not embed.endswith("shared.weight"):
        return ""
    root = embed.removesuffix("shared.weight")
    names = (f"{root}{part}.embed_tokens.weight" for part in ("decoder", "encoder"))
    return next((name for name in names if name in stored), "")


def check_sizes(stored: Mapping[str, tuple[int, ...]], layout: Layout, shape: Shape, model: str, place: object) -> None:
    """Compare a configuration with the shapes of the tensors, before anything is made of it.

    Raises ModelError for another number of tokens, and for layers that are not there.
    """
    names = by_module_name(stored, layout)
    embed = f"{layout.embed}.weight"
    if (names and all(name.startswith("_orig_mod.") for name in stored)) or embed not in names:
        raise missing_tensors(model, place, [embed], list(stored))
    found = stored[names[embed]]
    if not found or found[0] != shape.d_vocab:
        raise ModelError(
            f"The model {model} cannot be loaded: {names[embed]} in {place} has the shape {found}, its configuration "
            f"asks for {shape.d_vocab:,} tokens. Configuration and weights do not match: fetch the model "
            "again."
        )
    last = layout.layer.format(shape.n_layers - 1)
    if "decoder" in layout.layer and not any("decoder" in name for name in names):
        raise ModelError(
            f"The model {model} cannot be loaded: {place} holds an encoder alone, and in this architecture the decoder "
            "is looked at. Give the whole model, as its ForConditionalGeneration class saves it."
        )
    if not any(name.startswith(last) for name in names):
        held = next(at for at in range(shape.n_layers) if not any(n.startswith(layout.layer.format(at)) for n in names))
        raise ModelError(
            f"The model {model} cannot be loaded: its configuration asks for {shape.n_layers:,} layers, and {place} "
            f"has tensors of {held}. Configuration and weights do not match: fetch the model again."
        )


def expert_layers(layout: Layout, names: Collection[str], n_layers: int) -> tuple[int, ...]:
    """The layers whose MLP is a mixture of experts, by the names of a model's tensors."""
    if layout.experts is None:
        return ()
    return tuple(layer for layer in range(n_layers) if expert_name(layout, layer, "down", 0) in names)


def expert_name(layout: Layout, layer: int, role: str, expert: int) -> str:
    """The tensor of one expert's matrix, or that of all experts of the layer where one holds them."""
    experts = layout.experts
    assert experts is not None
    prefix, name = layout.layer.format(layer), getattr(experts, role)
    if not experts.module:  # a GGUF file: all experts in one tensor, each matrix by itself
        return str(prefix + name)
    if experts.fused:
        return f"{prefix}{experts.module}.{experts.fused if role != 'down' else name}"
    return f"{prefix}{experts.module.format(expert)}.{name}.weight"


def missing_tensors(model: str, place: object, names: list[str], stored: list[str]) -> ModelError:
    """The error for weights that are missing from a file or directory."""
    listed = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    verb = "is" if len(names) == 1 else "are"
    if stored and all(name.startswith("_orig_mod.") for name in stored):
        return ModelError(
            f"The model {model} cannot be loaded: all names of its tensors in {place} begin with _orig_mod., which "
            "torch.compile puts before them. Save the model again from the module that was compiled (its _orig_mod)."
        )
    return ModelError(
        f"The model {model} cannot be loaded: {listed} {verb} missing from its weights in {place}. Fetch, "
        "save or convert the model again."
    )
