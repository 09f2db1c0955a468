"""The running model: a transformers module in float32, wrapped in a TransformerBridge, for claims on activations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsa_checks.errors import ModelError, first_line
from vsa_checks.models.architecture import Architecture
from vsa_checks.models.files import find_weights
from vsa_checks.models.pickled import all_held, all_tensors
from vsa_checks.models.shapes import ONE_KEY_HEAD_EACH
from vsa_checks.models.sources import Located
from vsa_checks.models.tensor_names import by_module_name

if TYPE_CHECKING:
    import torch
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import PreTrainedModel

_PROBE_TOKENS = 4
# Rounding in float32 moves logits by less than 1e-4 of the largest on all tested architectures.
_SAME_FUNCTION = 1e-3


class CannotRun(ModelError):
    """The weights of a model can be read, but the model cannot be run; says why."""


def build(found: Located, row: Architecture, unembedding: bool) -> TransformerBridge:
    """The TransformerBridge around a model, in the raw basis and without tokenizer.

    Raises CannotRun where the model cannot be run, whatever the reason, and ModelError for damaged files.
    """
    import torch
    from transformer_lens.model_bridge.sources import build_bridge_from_module

    check_runs(row)
    assert found.path is not None
    if found.is_gguf:
        from vsa_checks.models.gguf_forward import module_from_gguf

        module = module_from_gguf(found.path, found.name)
    else:
        module = module_from_directory(found.path, found.name, row, unembedding)
    length = int(getattr(module.config, "max_position_embeddings", None) or _PROBE_TOKENS)
    tokens = torch.arange(min(_PROBE_TOKENS, length)).remainder(module.config.vocab_size)[None]
    try:
        with torch.no_grad():
            before = _logits(module(tokens))
        # A neutral name: transformer_lens treats some models by their names.
        bridge = build_bridge_from_module(
            module, module.config.architectures[0], hf_config=module.config, model_name="local-model"
        )
        with torch.no_grad():
            after = _logits(bridge(tokens))
    except Exception as problem:  # transformers and transformer_lens raise whatever they like
        raise cannot_run(problem) from problem
    change = float((after - before).abs().max())
    if not change <= _SAME_FUNCTION * max(1.0, float(before.abs().max())):
        raise CannotRun(f"transformer_lens computes other logits than the model itself (by up to {change:.3g})")
    return bridge


def cannot_run(problem: Exception) -> CannotRun:
    """The error for a model that transformer_lens fails on."""
    return CannotRun(f"transformer_lens cannot run this model ({first_line(problem)})")


def check_runs(row: Architecture) -> None:
    """Raises CannotRun for an architecture that is not run here."""
    if row.not_run:
        raise CannotRun(row.not_run)
    if row.family == "encoder-decoder":
        raise CannotRun("an encoder-decoder reads two texts at a time, which no claim is about")
    from transformer_lens.factories.architecture_adapter_factory import SUPPORTED_ARCHITECTURES

    if row.hf_class not in SUPPORTED_ARCHITECTURES:
        raise CannotRun(f"transformer_lens has no bridge for {row.hf_class}")


def _logits(found: Any) -> torch.Tensor:
    logits: torch.Tensor = getattr(found, "logits", found)
    return logits.float()


def module_from_directory(directory: Path, model: str, row: Architecture, unembedding: bool) -> PreTrainedModel:
    """The module of a Hugging Face directory, float32 on the CPU.

    Raises ModelError for a damaged file, and for tensors that are missing or have the wrong shape.
    """
    config = read_class_config(directory, model)
    if config.model_type in ONE_KEY_HEAD_EACH and hasattr(config, "num_key_value_heads"):
        del config.num_key_value_heads  # the class does not look at it, and transformer_lens does
    weights = find_weights(directory, model)
    if weights.pickle:  # read here, never by a library that unpickles
        tensors = all_tensors(all_held(weights.files, model), model)
        return _build(
            model, directory, row, unembedding, config=config, pretrained_model_name_or_path=None, state_dict=tensors
        )
    return _build(
        model,
        directory,
        row,
        unembedding,
        config=config,
        pretrained_model_name_or_path=directory,
        local_files_only=True,
        use_safetensors=True,
    )


def module_from_tensors(
    config: Any, tensors: dict[str, torch.Tensor], model: str, path: Path, row: Architecture
) -> PreTrainedModel:
    """The module of a configuration with the given tensors as its weights (not copied).

    Raises ModelError for tensors that are missing or have the wrong shape.
    """
    return _build(model, path, row, True, config=config, pretrained_model_name_or_path=None, state_dict=tensors)


def read_class_config(directory: Path, model: str) -> Any:
    """The transformers configuration of a directory. Raises ModelError for one that transformers refuses."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    except Exception as problem:  # any complaint about the configuration is the same to the person
        raise ModelError(
            f"The model {model} cannot be loaded: config.json in {directory} cannot be read "
            f"({first_line(problem)}). Fetch or save the model again."
        ) from None


def class_parameters(config: Any, row: Architecture, model: str) -> set[str]:
    """Names of all tensors that the model's class has with a configuration, as its layout writes them; none is made.

    Raises ModelError for a configuration that the class refuses.
    """
    import torch
    import transformers
    from transformers.initialization import no_init_weights

    try:
        with torch.device("meta"), no_init_weights():  # numbers for weights that are not there take most of the time
            names = set(getattr(transformers, row.hf_class)(config).state_dict())
    except Exception as problem:  # any complaint about the configuration is the same to the person
        raise ModelError(
            f"The model {model} cannot be loaded: its config.json describes no {row.hf_class} that can be built "
            f"({first_line(problem)}). Fetch or save the model again."
        ) from None
    return set(by_module_name(names, row.layout))


def _build(model: str, path: Path, row: Architecture, unembedding: bool, **source: Any) -> PreTrainedModel:
    import torch
    import transformers

    hf_class = getattr(transformers, row.hf_class)
    # What the file leaves out is drawn at random, and the same file must give the same model.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            module, report = hf_class.from_pretrained(
                dtype=torch.float32,
                attn_implementation="eager",  # the other implementations give no attention patterns
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # reported, and refused below in our own words
                **source,
            )
        except Exception as problem:  # whatever is wrong with the files, it is the same to the person
            raise CannotRun(f"transformers cannot load this model ({first_line(problem)})") from problem
    heads = (row.layout.unembed.split(".")[0] + ".", "lm_head.")
    missing = sorted(name for name in report["missing_keys"] if unembedding or not name.startswith(heads))
    if missing:
        raise CannotRun(f"transformers misses {missing[0]} among the tensors in {path}")
    if report["mismatched_keys"]:
        name, stored, wanted = sorted(report["mismatched_keys"])[0]
        raise ModelError(
            f"The model {model} cannot be loaded: {name} in {path} has the shape {tuple(stored)}, its "
            f"configuration asks for {tuple(wanted)}. Configuration and weights do not match: "
            "fetch the model again."
        )
    module.config.architectures = [row.hf_class]
    return module.eval().requires_grad_(False)
