"""Builds the transformers module of a model, float32 on the CPU, from a directory or from tensors."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsa_checks.errors import ModelError
from vsa_checks.models.architectures import ARCHITECTURES, architecture
from vsa_checks.models.description import missing_tensors
from vsa_checks.models.files import find_weights, read_config

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

# Prefix of the language-model head, which some encoders are saved without: it is then random, and not used.
_HEAD = "cls."


def module_from_directory(directory: Path, model: str) -> tuple[PreTrainedModel, bool]:
    """The module of a Hugging Face directory, and whether its unembedding is the model's own.

    Raises ModelError for a damaged file, for tensors that are missing or have the wrong shape, and for pickles that
    hold more than tensors.
    """
    from transformers import AutoConfig

    model_type = str(read_config(directory, model).get("model_type"))
    architecture(model_type, model)
    weights = find_weights(directory, model)
    try:
        config = AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    except Exception as problem:  # any complaint about the configuration is the same to the person
        raise _unreadable(model, directory, "config.json", problem) from None
    files = ", ".join(file.name for file in weights.files)
    try:
        return _build(
            model,
            directory,
            config,
            pretrained_model_name_or_path=directory,
            local_files_only=True,
            use_safetensors=not weights.pickle,
            weights_only=True,
        )
    except ModelError:
        raise
    except pickle.UnpicklingError as problem:
        raise ModelError(
            f"The model {model} is refused: {files} in {directory} is a pickle that asks to run code or is "
            f"damaged ({_first_line(problem)}), and only plain tensors are read. Convert it to safetensors "
            "where you trust it."
        ) from None
    except Exception as problem:
        raise _unreadable(model, directory, files, problem) from None


def module_from_tensors(
    config: Any, tensors: dict[str, torch.Tensor], model: str, path: Path
) -> tuple[PreTrainedModel, bool]:
    """The module of a configuration with the given tensors as its weights (not copied).

    Raises ModelError for tensors that are missing or have the wrong shape.
    """
    try:
        return _build(model, path, config, pretrained_model_name_or_path=None, state_dict=tensors)
    except ModelError:
        raise
    except Exception as problem:
        raise _unreadable(model, path.parent, path.name, problem) from None


def _build(model: str, path: Path, config: Any, **source: Any) -> tuple[PreTrainedModel, bool]:
    import torch
    import transformers

    row = ARCHITECTURES[config.model_type]
    hf_class = getattr(transformers, row.hf_class)
    # What the file leaves out is drawn at random, and the same file must give the same model.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module, report = hf_class.from_pretrained(
            config=config,
            dtype=torch.float32,
            attn_implementation="eager",  # the other implementations give no attention patterns
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # reported, and refused below in our own words
            **source,
        )
    missing = sorted(report["missing_keys"])
    headless = not row.causal and bool(missing) and all(name.startswith(_HEAD) for name in missing)
    if missing and not headless:
        raise missing_tensors(model, path, missing)
    if report["mismatched_keys"]:
        name, stored, wanted = sorted(report["mismatched_keys"])[0]
        raise ModelError(
            f"The model {model} cannot be loaded: {name} in {path} has the shape {tuple(stored)}, its "
            f"configuration asks for {tuple(wanted)}. Configuration and weights do not belong together: "
            "fetch the model again."
        )
    _check_finite(module, model, path)
    module.config.architectures = [row.hf_class]
    return module.eval().requires_grad_(False), not headless


def _check_finite(module: PreTrainedModel, model: str, path: Path) -> None:
    import torch

    for name, tensor in module.named_parameters():
        # One pass without a copy: with a NaN, minimum and maximum are NaN.
        if not all(bool(torch.isfinite(edge)) for edge in torch.aminmax(tensor)):
            bad = int((~torch.isfinite(tensor)).sum())
            raise ModelError(
                f"The model {model} cannot be trusted: {name} in {path} holds {bad:,} values that are NaN or "
                f"infinite, of {tensor.numel():,}. No measurement would mean anything; fetch, save or convert the "
                "model again."
            )


def _unreadable(model: str, directory: Path, files: str, problem: BaseException) -> ModelError:
    return ModelError(
        f"The model {model} cannot be loaded: {files} in {directory} cannot be read "
        f"({type(problem).__name__}: {_first_line(problem)}). Fetch, save or convert the model again."
    )


def _first_line(problem: BaseException) -> str:
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return lines[0][:300] if lines else "no reason given"
