"""Stored tensors of a model, read one at a time: safetensors files, whole or in parts, and .bin files."""

from __future__ import annotations

from collections.abc import Collection
from math import prod
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vsa_checks.errors import ModelError
from vsa_checks.models.files import WeightFiles
from vsa_checks.models.pickled import all_held, one_tensor
from vsa_checks.models.safetensors_files import FLOAT_NAMES, Entry, all_entries

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
        self._entries: dict[str, tuple[Path, int, Entry]] = all_entries(files, model)

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
        self._held, self._model = all_held(files, model), model

    @property
    def names(self) -> Collection[str]:
        """Names of all tensors."""
        return self._held.keys()

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of one tensor."""
        return self._held[name].shape

    def read(self, name: str, index: int | None = None) -> Array:
        """One tensor as float32, or its part `index` along the first axis."""
        held = self._held[name]
        if held.dtype not in FLOAT_NAMES.values():
            raise ModelError(
                f"The model {self._model} cannot be loaded: {name} is stored as torch.{held.dtype}, which means "
                "nothing without the scales that were taken out of it. Give the model in float32, bfloat16 or float16."
            )
        values: Array = one_tensor(held, self._model, index).float().contiguous().numpy()
        return values if values.base is None else values.copy()


def open_weights(weights: WeightFiles, model: str) -> Stored:
    """The stored tensors of a directory's weight files. Raises ModelError for a damaged one."""
    return Pickled(weights.files, model) if weights.pickle else Safetensors(weights.files, model)
