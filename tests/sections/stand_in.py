"""A workbench over arrays instead of a loaded model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from fixtures.in_memory import ModelOfArrays, model_in_memory
from fixtures.small_models import Sizes, gaussian_weights
from tests.oracles import Rows
from vsa_checks.models import Basis, Model
from vsa_checks.workbench.access import Workbench

WIDTH = 49
"""Dimensions: 6/sqrt(d) is 6/7, so that cosines can be artifacts."""
ANY = model_in_memory(Sizes(), gaussian_weights(Sizes(), np.random.default_rng(0))).info
"""The description of a model, of which the sections look at few fields."""


class Named(ModelOfArrays):
    """A model whose tokens have the names that a test gives them."""

    names: tuple[str, ...] = ()

    def token_name(self, token: int) -> str:
        return self.names[token]


class Bench(Workbench):
    """A workbench that takes down what it was asked to tell the progress of, and what it drew random numbers for."""

    labels: list[str]
    drawn_for: list[tuple[object, ...]]

    def rng(self, *purpose: object) -> np.random.Generator:
        self.drawn_for.append(purpose)
        return super().rng(*purpose)


def bench_of(
    weights: dict[str, Rows] | None = None,
    *,
    processed: dict[str, Rows] | None = None,
    names: tuple[str, ...] = (),
    **fields: Any,
) -> Bench:
    """A workbench of these weights in the raw basis, and of others, or the same, in the processed one."""

    def tracker(label: str) -> Callable[[int, int], None]:
        bench.labels.append(label)
        return lambda done, total: None

    def model(basis: Basis, arrays: dict[str, Rows]) -> Model:
        info = dataclasses.replace(ANY, **{"d_model": WIDTH, "n_layers": 0, **fields})
        made = Named(info, basis, arrays)
        made.names = names
        return made

    bench = Bench("a stand-in", seed=3, tracker=tracker)
    bench.labels, bench.drawn_for = [], []
    bench._models = {"raw": model("raw", weights or {}), "processed": model("processed", processed or weights or {})}
    return bench
