"""The untrained twin: the model's own architecture with its own initialisation, before any training.

Claims that it meets are given by the shape of the network. The twin is built by transformers, written as safetensors
into a temporary folder, and read from there like any other model. Its tokenizer is the trained model's.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from vsa_checks.errors import ModelError, first_line
from vsa_checks.models import Basis, Model, ModelInfo
from vsa_checks.models.architectures import ARCHITECTURES
from vsa_checks.models.files import read_config
from vsa_checks.models.gguf_description import all_tensors
from vsa_checks.models.gguf_parts import read_parts
from vsa_checks.models.shapes import effective_config, row_for
from vsa_checks.models.sources import Located, locate
from vsa_checks.models.vocabulary import TOKENIZER_FILES
from vsa_checks.workbench.access import Workbench
from vsa_checks.workbench.resources import Plan, Sizes
from vsa_checks.writing import locked, sweep_folders

if TYPE_CHECKING:
    from vsa_checks.models.architecture import Architecture
    from vsa_checks.models.vocabulary import Vocabulary

NAME = "untrained twin"
PREFIX = "vsa-twin-"
"""Prefix of the temporary folders for twins."""
_NO_SHAPE = (
    *("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", "use_cache"),
    *("id2label", "label2id", "task_specific_params", "return_dict", "output_attentions", "output_hidden_states"),
)
"""Fields of config.json that neither shape nor initialise a network."""
_TOKENIZER = (*TOKENIZER_FILES, "added_tokens.json", "merges.txt", "special_tokens_map.json", "tokenizer_config.json")


class NoTwin(Exception):
    """The twin of a model cannot be built; the reason is worded as the end of a sentence."""


def shape_digest(name: str) -> str:
    """Hex sha256 of the configuration that defines an architecture, and of the tokenizer.

    Raises ModelError, and OSError for a file that cannot be read.
    """
    found = locate(name)
    assert found.path is not None
    digest = hashlib.sha256()
    if found.is_gguf:
        headers = read_parts(found.path, name)
        header = headers[0]
        # llama.cpp's name of the architecture begins all fields that shape it.
        own = (f"{header.architecture}.", "tokenizer.")
        fields = {key: value for key, value in header.fields.items() if key.startswith(own)}
        shapes = {tensor: entry.shape for tensor, entry in all_tensors(headers).items()}
        digest.update(json.dumps([header.architecture, fields, shapes], sort_keys=True, default=str).encode())
        for array in ("tokens", "token_type", "merges"):
            digest.update(json.dumps(header.array(f"tokenizer.ggml.{array}")).encode())
    else:
        config = {key: value for key, value in read_config(found.path, name).items() if key not in _NO_SHAPE}
        digest.update(json.dumps(config, sort_keys=True).encode())
        for file in (found.path / one for one in _TOKENIZER):
            digest.update(file.read_bytes() if file.is_file() else b"")
    return digest.hexdigest()


def write_twin(name: str, info: ModelInfo, seed: int, folder: Path) -> None:
    """Write the untrained twin of a model into a folder, as float32.

    Parameters
    ----------
    name : str
        Name or path of the trained model.
    info : ModelInfo
        Its description.
    seed : int
        Seed of the initialisation.
    folder : Path

    Raises
    ------
    NoTwin
        If transformers cannot build the network, or the disk is too full.
    """
    import torch
    import transformers

    from vsa_checks.models.quiet import quiet

    size, free = Sizes.of(info).whole, shutil.disk_usage(folder).free
    if 1.1 * size > free:
        raise NoTwin(f"it takes {size / 1e6:,.0f} MB in {folder}, where {free / 1e6:,.0f} MB are free")
    with quiet(), torch.random.fork_rng(devices=[]):
        config, row = _configuration(locate(name), name)
        torch.manual_seed(seed)
        try:
            module = getattr(transformers, row.hf_class)(config)
            module.to(torch.float32).save_pretrained(folder, max_shard_size="1TB")
        except Exception as problem:  # transformers may raise anything
            raise NoTwin(f"transformers cannot build {row.hf_class} untrained ({first_line(problem)})") from problem


def _configuration(found: Located, name: str) -> tuple[Any, Architecture]:
    """The transformers configuration of a model's language model, and its entry in the table of architectures."""
    from vsa_checks.models.forward import read_class_config
    from vsa_checks.models.gguf_config import gguf_config

    assert found.path is not None
    try:
        if found.is_gguf:
            config = gguf_config(read_parts(found.path, name), name)
            row = ARCHITECTURES[config.model_type]
        else:
            row = row_for(effective_config(read_config(found.path, name)), name)
            config = read_class_config(found.path, name).get_text_config() if row.hf_class else None
    except ModelError as problem:  # CannotRun too
        raise NoTwin(f"its configuration cannot be used ({first_line(problem)})") from problem
    if not row.hf_class or not row.layout.embed:
        raise NoTwin("transformers has no class for its architecture")
    return config, row


class UntrainedModel(Model):
    """The twin in one basis of its weights, with the tokenizer of the trained model."""

    _trained: Model

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The trained model's."""
        return self._trained.vocabulary

    @property
    def tokenizer(self) -> Any:
        """The trained model's."""
        return self._trained.tokenizer

    @property
    def text_reason(self) -> str:
        """The trained model's."""
        return self._trained.text_reason


class TwinBench(Workbench):
    """The twin under measurement, next to the bench of its trained model. `close` removes its folder."""

    def __init__(self, trained: Workbench, info: ModelInfo) -> None:
        """Nothing is built before it is needed.

        Parameters
        ----------
        trained : Workbench
            The model's own bench, which provides seed, device, text, plan and tokenizer.
        info : ModelInfo
            The model's description.
        """
        plan = None if trained.plan is None else _plan(trained.plan, info)
        super().__init__(
            trained.name,
            seed=trained.seed,
            device=trained.device,
            tracker=lambda label: trained.progress(f"{NAME}: {label}"),
            text=trained._text,
            plan=plan,
        )
        self._trained, self._info = trained, info
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._lock: IO[bytes]

    def model(self, basis: Basis) -> Model:
        """The twin in one basis of its weights. Raises NoTwin."""
        if basis not in self._models:
            self._models[basis] = self._open(basis)
        return self._models[basis]

    def close(self) -> None:
        """Remove the twin's files."""
        self._models.clear()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None
            self._lock.close()

    def _open(self, basis: Basis) -> Model:
        from vsa_checks.models.opening import open_directory

        if self.plan is not None and self.plan.no_twin:
            raise NoTwin(self.plan.no_twin)
        if self._folder is None:
            sweep_folders(Path(tempfile.gettempdir()), PREFIX)
            folder = tempfile.TemporaryDirectory(prefix=PREFIX)
            try:
                self._lock = locked(Path(folder.name))
                write_twin(self.name, self._info, self.seed, Path(folder.name))
            except BaseException:
                folder.cleanup()
                raise
            self._folder = folder
        found = Located(NAME, "path", NAME, Path(self._folder.name), None, None)
        info = replace(self._info, name=NAME, dtype="float32", quantization=None, sha256=None, revision=None, notes="")
        plan = self.plan
        try:
            opened = open_directory(found, info)
            model = UntrainedModel(
                opened,
                basis,
                found,
                self.device,
                Sizes.of(info).whole if plan is None else plan.kept_bytes,
                "" if plan is None else plan.no_run,
            )
        except ModelError as problem:
            raise NoTwin(f"what transformers writes of it cannot be read ({first_line(problem)})") from problem
        model._trained = self._trained.model(basis)
        return model


def _plan(plan: Plan, info: ModelInfo) -> Plan:
    """The trained model's plan; few layers of the twin are measured."""
    size = Sizes.of(info)
    return replace(plan, kept_bytes=min(plan.kept_bytes, 2 * size.embedding + 3 * size.layer))
