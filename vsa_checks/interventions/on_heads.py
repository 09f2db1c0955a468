"""W_V W_O and W_Q W_K^T of all heads, moved by degrees to the nearest multiple of a partial isometry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vsa_checks.errors import NotChecked
from vsa_checks.interventions.changes import at_same_cosine
from vsa_checks.interventions.products import Product, asking, even_keys, product, writing
from vsa_checks.interventions.running import Kind, Running, moved_bias, unfolded
from vsa_checks.interventions.trials import RANDOM, Away, Trial
from vsa_checks.models.parts import Part
from vsa_checks.statistics import stream

Matrix = NDArray[np.float64]
DEGREES = (0.25, 0.5, 1.0)
OV, QK = "heads/W_V W_O", "heads/W_Q W_K^T"
NORMED = "queries and keys have a norm of their own, so that W_Q W_K^T is not what compares them"
WITH_TASKS = 1.0


def trials(running: Running, seed: int) -> tuple[Iterator[Trial], dict[str, Away]]:
    """The trials on heads, and what takes each part away. Raises NotChecked for a model without such heads."""
    layers = [layer for layer in range(running.model.info.n_layers) if running.raw.has_attention(layer)]
    if not layers:
        raise NotChecked(running.model.why_missing(0, "W_Q"))
    parts = [OV] if running.part("attn", layers[0]).q_norm is not None else [OV, QK]
    away: dict[str, Away] = {OV: partial(_heads_away, running, layers)}
    if QK in parts:
        away[QK] = partial(_evenly_attending, running, layers)
    return _trials(running, layers, parts, seed), away


def _trials(running: Running, layers: list[int], parts: list[str], seed: int) -> Iterator[Trial]:
    for part in parts:
        for degree in DEGREES:
            distance, cosine = _how_far(running, layers, part, degree)
            yield Trial(
                id=f"{part}/degree={degree:g}",
                part=part,
                aim="idealise",
                dose={"degree": degree},
                change=partial(_evened, running, layers, part, degree, None),
                nulls={RANDOM: partial(_evened, running, layers, part, degree, seed)},
                distance=distance,
                cosine=cosine,
                in_tasks=degree == WITH_TASKS,
            )


def _products(running: Running, layer: int, part: str) -> list[Product]:
    """The product of each head, as it reads what the norm gives and as it writes."""
    weights = {name: running.model.array(f"blocks.{layer}.attn.{name}").astype(np.float64) for name in _names(part)}
    if part == OV:
        W_V, W_O = weights["W_V"], weights["W_O"]
        share = len(W_O) // len(W_V)
        return [product(W_V[head // share], W_O[head]) for head in range(len(W_O))]
    W_Q, W_K = weights["W_Q"], weights["W_K"]
    share = len(W_Q) // len(W_K)
    return [product(W_Q[head], W_K[head // share].T) for head in range(len(W_Q))]


def _names(part: str) -> tuple[str, str]:
    return ("W_V", "W_O") if part == OV else ("W_Q", "W_K")


def _how_far(running: Running, layers: list[int], part: str, degree: float) -> tuple[float, float]:
    """The change of all products over their norm, and the mean cosine of a product with what it becomes."""
    change, size, cosines = 0.0, 0.0, []
    for layer in layers:
        for found in _products(running, layer, part):
            after = np.diag(found.evened(degree))
            change += float(((after - found.s) ** 2).sum())
            size += float((found.s**2).sum())
            cosines += [float(after @ found.s / (found.s @ found.s))] if len(found.s) else []
    return float(np.sqrt(change / size)) if size else 0.0, float(np.mean(cosines)) if cosines else 1.0


def _core(found: Product, degree: float, rng: np.random.Generator | None) -> Matrix:
    """The core of a product at a degree, or with rng a random one that is as far from what it was."""
    even = found.evened(degree)
    if rng is None or not len(found.s):
        return even
    rank = len(found.s)
    turned = at_same_cosine(np.diag(found.s).reshape(1, -1), even.reshape(1, -1), rng.standard_normal((1, rank * rank)))
    return turned.reshape(rank, rank)


def _evened(
    running: Running, layers: list[int], part: str, degree: float, seed: int | None
) -> AbstractContextManager[None]:
    """Run with the products of all heads evened, or with a seed changed as much in a random direction."""
    changed: dict[tuple[Kind, int], Part] = {}
    for layer in layers:
        rng = None if seed is None else stream(seed, "intervene", part, layer)
        cores = [(one, _core(one, degree, rng)) for one in _products(running, layer, part)]
        changed["attn", layer] = (
            _written(running, layer, cores) if part == OV else _asked(running, layer, cores, degree)
        )
    return running.changed(changed)


def _written(running: Running, layer: int, cores: list[tuple[Product, Matrix]]) -> Part:
    """Attention whose W_O makes the products have these cores; W_V stays, which several heads may share."""
    part = running.part("attn", layer)
    W_V = running.model.array(f"blocks.{layer}.attn.W_V").astype(np.float64)
    share = len(cores) // len(W_V)
    W_O = np.stack([writing(W_V[head // share], *core) for head, core in enumerate(cores)])
    weights = dict(part.weights)
    if "b_O" in weights:
        # Attention sums to one: what the values' biases write is written whatever is attended to, and stays.
        norm = part.reads_through
        bias = weights.get("b_V", np.zeros(W_V.shape[::2], np.float32)).astype(np.float64)
        if norm is not None and norm.bias is not None:
            bias = bias + np.einsum("d,hdr->hr", norm.bias.astype(np.float64), weights["W_V"])
        lost = np.einsum("hr,hrd->d", np.repeat(bias, share, axis=0), weights["W_O"].astype(np.float64) - W_O)
        weights["b_O"] = (weights["b_O"] + lost).astype(np.float32)
    return replace(part, weights=weights | {"W_O": W_O.astype(np.float32)})


def _asked(running: Running, layer: int, cores: list[tuple[Product, Matrix]], degree: float) -> Part:
    """Attention whose W_Q and W_K make the products have these cores, with even keys, which several heads may share."""
    part, norm = running.part("attn", layer), running.part("attn", layer).reads_through
    own = running.model.array(f"blocks.{layer}.attn.W_K").astype(np.float64)
    share = len(cores) // len(own)
    W_K = np.stack([even_keys(keys, degree) for keys in own])
    W_Q = np.stack([asking(W_K[head // share], *core) for head, core in enumerate(cores)])
    weights = dict(part.weights)
    for letter, W in (("Q", W_Q), ("K", W_K)):
        stored = unfolded(W, norm)
        moved = moved_bias(weights.get(f"b_{letter}"), weights[f"W_{letter}"], stored, norm)
        weights[f"W_{letter}"] = stored.astype(np.float32)
        if moved is not None:
            weights[f"b_{letter}"] = moved
    return replace(part, weights=weights)


def _heads_away(running: Running, layers: list[int], run: Callable[[], object]) -> AbstractContextManager[None]:
    """Run with what every head gives held at its mean."""
    return running.held_at_mean({(layer, "o"): slice(None) for layer in layers}, run)


def _evenly_attending(running: Running, layers: list[int], run: Callable[[], object]) -> AbstractContextManager[None]:
    """Run with queries of zero: every position attends evenly to all that it sees."""
    parts: dict[tuple[Kind, int], Part] = {}
    for layer in layers:
        part = running.part("attn", layer)
        zero = {name: np.zeros_like(part.weights[name]) for name in ("W_Q", "b_Q") if name in part.weights}
        parts["attn", layer] = replace(part, weights=part.weights | zero)
    return running.changed(parts)
