"""A workbench over arrays instead of a loaded model, and the comparison of whole measurements."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.measures.oracles import Rows
from vsa_checks.models import Basis, Model, ModelInfo
from vsa_checks.workbench.access import Workbench

WIDTH = 49
"""Dimensions: 6/sqrt(d) is 6/7, so that cosines can be artifacts."""


class Weight:
    """Stands for a torch tensor of which only the numbers are asked."""

    def __init__(self, array: Rows) -> None:
        self._array = np.asarray(array, np.float32)

    def numpy(self) -> Rows:
        return self._array


def info(**fields: Any) -> ModelInfo:
    """A model's description, of which the sections look at few fields."""
    texts = ("name", "source", "location", "architecture", "dtype", "licence", "notes", "text_reason")
    numbers = ("n_layers", "n_heads", "n_kv_heads", "d_head", "d_mlp", "d_vocab")
    flags = ("is_paper_model", "gated", "causal", "text")
    return ModelInfo(
        **{
            **dict.fromkeys(texts, ""),
            **dict.fromkeys(numbers, 0),
            **dict.fromkeys(flags, False),
            **dict.fromkeys(("sha256", "revision", "quantization")),
            "norm": "layer_norm",
            "d_model": WIDTH,
            **fields,
        }
    )


class StandIn(dict[str, Weight]):
    """What the sections need of a loaded model: weights by name, its description, and names of tokens."""

    def __init__(self, weights: dict[str, Rows], basis: Basis, names: tuple[str, ...], fields: dict[str, Any]) -> None:
        super().__init__({name: Weight(array) for name, array in weights.items()})
        self.basis, self.info, self.names = basis, info(**fields), names

    def token_name(self, token: int) -> str:
        return self.names[token]


class Bench(Workbench):
    """A workbench that takes down what it was asked to tell the progress of."""

    labels: list[str]


def bench_of(
    weights: dict[str, Rows] | None = None,
    *,
    processed: dict[str, Rows] | None = None,
    names: tuple[str, ...] = (),
    seed: int = 3,
    **fields: Any,
) -> Bench:
    """A workbench of these weights in the raw basis, and of others, or the same, in the processed one."""
    labels: list[str] = []

    def tracker(label: str) -> Callable[[int, int], None]:
        labels.append(label)
        return lambda done, total: None

    bench = Bench("a stand-in", seed=seed, tracker=tracker)
    models: dict[Basis, Any] = {
        "raw": StandIn(weights or {}, "raw", names, fields),
        "processed": StandIn(processed or weights or {}, "processed", names, fields),
    }
    loaded: dict[Basis, Model] = models
    bench._models.update(loaded)
    bench.labels = labels
    return bench


def assert_same(found: Any, expected: Any, where: str = "", atol: float = 1e-6) -> None:
    """Equality of nested records; floats up to rounding."""
    if dataclasses.is_dataclass(expected) and not isinstance(expected, type):
        assert type(found) is type(expected), where
        for field in dataclasses.fields(expected):
            assert_same(getattr(found, field.name), getattr(expected, field.name), f"{where}.{field.name}", atol)
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key, value in expected.items():
            assert_same(found[key], value, f"{where}[{key!r}]", atol)
    elif isinstance(expected, list | tuple):
        assert type(found) is type(expected) and len(found) == len(expected), where
        for place, value in enumerate(expected):
            assert_same(found[place], value, f"{where}[{place}]", atol)
    elif isinstance(expected, float):
        assert type(found) is float, f"{where} is a {type(found).__name__}"
        assert abs(found - expected) <= atol, f"{where}: {found} is not {expected}"
    else:
        assert type(found) is type(expected) and found == expected, f"{where}: {found!r} is not {expected!r}"
