"""What weight files say they hold, whatever their format. No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import prod

from vsa_checks.models.files import WeightFiles
from vsa_checks.models.pickled import all_held
from vsa_checks.models.safetensors_files import FLOAT_NAMES, all_entries


def shapes_and_dtype(weights: WeightFiles, model: str) -> tuple[dict[str, tuple[int, ...]], str]:
    """Name of each stored tensor -> its shape, and the name of the type in which most numbers are stored.

    Raises ModelError for a damaged file, and for a tensor that is in two files.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    sizes: Counter[str] = Counter()
    for name, shape, dtype in _held(weights, model):
        shapes[name] = shape
        sizes[dtype] += prod(shape)
    return shapes, sizes.most_common(1)[0][0] if sizes else "float32"


def _held(weights: WeightFiles, model: str) -> Iterator[tuple[str, tuple[int, ...], str]]:
    if weights.pickle:
        for name, held in all_held(weights.files, model).items():
            yield name, held.shape, held.dtype
    else:
        for name, (_, _, entry) in all_entries(weights.files, model).items():
            yield name, tuple(entry["shape"]), FLOAT_NAMES.get(entry["dtype"], entry["dtype"])
