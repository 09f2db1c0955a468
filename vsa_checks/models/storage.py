"""Stored tensors of a model, read one at a time: safetensors files, whole or in parts, and .bin files."""

from __future__ import annotations

import pickle
from collections.abc import Collection
from math import prod
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vsa_checks.errors import ModelError, first_line
from vsa_checks.models.files import WeightFiles, refuse_pointer, safetensors_header

Array = NDArray[np.float32]
_FLOATS = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16}
# Elements converted at a time: a copy in another type must not double the memory of a large tensor.
_CHUNK = 1 << 22


class Stored(Protocol):
    """Tensors by name; each is read when it is asked for and not kept."""

    @property
    def names(self) -> Collection[str]:
        """Names of all tensors."""
        ...

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of one tensor."""
        ...

    def read(self, name: str, index: int | None = None) -> Array:
        """One tensor as float32, or its part `index` along the first axis, in memory of its own.

        Raises ModelError for a type of numbers that is not read.
        """
        ...


class Safetensors:
    """The tensors of the safetensors files of a directory."""

    def __init__(self, files: tuple[Path, ...], model: str) -> None:
        """Read the headers. Raises ModelError for a damaged file."""
        self._model = model
        self._entries: dict[str, tuple[Path, int, dict[str, Any]]] = {}
        for file in files:
            header, data_start = safetensors_header(file, model)
            self._entries |= {name: (file, data_start, entry) for name, entry in header.items()}

    @property
    def names(self) -> Collection[str]:
        """Names of all tensors."""
        return self._entries.keys()

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of one tensor."""
        return tuple(self._entries[name][2]["shape"])

    def kind(self, name: str) -> str:
        """The type in which a tensor is stored, in the format's own word."""
        return str(self._entries[name][2]["dtype"])

    def read(self, name: str, index: int | None = None) -> Array:
        """One tensor as float32, or its part `index` along the first axis."""
        file, data_start, entry = self._entries[name]
        kind, shape = entry["dtype"], tuple(entry["shape"])
        if kind not in _FLOATS:
            raise ModelError(
                f"The model {self._model} cannot be loaded: {name} in {file} is stored as {kind}, which means nothing "
                "without the scales that were taken out of it. Give the model in float32, bfloat16 or float16, or as "
                "a GGUF file."
            )
        stored = np.dtype(_FLOATS[kind])
        start = data_start + int(entry["data_offsets"][0])
        if index is not None:
            shape = shape[1:]
            start += index * prod(shape) * stored.itemsize
        values = np.empty(prod(shape), np.float32)
        with open(file, "rb") as opened:
            opened.seek(start)
            for at in range(0, len(values), _CHUNK):
                part = np.fromfile(opened, stored.newbyteorder("<"), min(_CHUNK, len(values) - at))
                if len(part) < min(_CHUNK, len(values) - at):
                    raise ModelError(
                        f"The model {self._model} cannot be loaded: {file} ends within {name}. Fetch it again."
                    )
                if kind == "BF16":
                    part = (part.astype(np.uint32) << 16).view(np.float32)
                values[at : at + len(part)] = part
        return values.reshape(shape)


class Pickled:
    """The tensors of the .bin files of a directory, read as plain tensors and nothing else."""

    def __init__(self, files: tuple[Path, ...], model: str) -> None:
        """Open the files. Raises ModelError for a pickle that is damaged or holds more than tensors."""
        import torch

        self._tensors: dict[str, torch.Tensor] = {}
        for file in files:
            refuse_pointer(file, model)
            try:
                content = _load(file)
            except pickle.UnpicklingError as problem:
                raise ModelError(
                    f"The model {model} is refused: {file.name} in {file.parent} is a pickle that asks to run code or "
                    f"is damaged ({first_line(problem)}), and only plain tensors are read. Convert it to safetensors "
                    "where you trust it."
                ) from None
            except Exception as problem:  # whatever is wrong with the file, it is the same to the person
                raise ModelError(
                    f"The model {model} cannot be loaded: {file.name} in {file.parent} cannot be read "
                    f"({first_line(problem)}). Fetch, save or convert the model again."
                ) from None
            if not isinstance(content, dict):
                raise ModelError(
                    f"The model {model} cannot be loaded: {file} holds a {type(content).__name__} where named tensors "
                    "are needed. Save the model's state_dict again."
                )
            self._tensors |= {str(name): one for name, one in content.items() if isinstance(one, torch.Tensor)}
        self._model = model

    @property
    def names(self) -> Collection[str]:
        """Names of all tensors."""
        return self._tensors.keys()

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of one tensor."""
        return tuple(self._tensors[name].shape)

    def read(self, name: str, index: int | None = None) -> Array:
        """One tensor as float32, or its part `index` along the first axis."""
        tensor = self._tensors[name] if index is None else self._tensors[name][index]
        if not tensor.is_floating_point():
            raise ModelError(
                f"The model {self._model} cannot be loaded: {name} is stored as {tensor.dtype}, which means nothing "
                "without the scales that were taken out of it. Give the model in float32, bfloat16 or float16."
            )
        values: Array = tensor.detach().float().contiguous().numpy()
        return values if values.base is None else values.copy()


def _load(file: Path) -> Any:
    import torch

    try:
        return torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, ValueError) as problem:
        if "mmap" not in str(problem):
            raise
        return torch.load(file, map_location="cpu", weights_only=True)  # the older format, which is no zip archive


def open_weights(weights: WeightFiles, model: str) -> Stored:
    """The stored tensors of a directory's weight files. Raises ModelError for a damaged one."""
    return Pickled(weights.files, model) if weights.pickle else Safetensors(weights.files, model)
