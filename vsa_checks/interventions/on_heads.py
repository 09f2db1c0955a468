"""Move W_V W_O and W_Q W_K^T of all heads by degrees to the nearest multiple of a partial isometry."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from vsa_checks.engine.threads import threads
from vsa_checks.errors import NotChecked
from vsa_checks.interventions.changes import at_same_cosine
from vsa_checks.interventions.comparing import Distances, Pair, Target, random_queries
from vsa_checks.interventions.judging import DRAWS
from vsa_checks.interventions.products import Product, Writer, asking, basis, even_keys, product
from vsa_checks.interventions.rotary import turns
from vsa_checks.interventions.running import Kind, Running, moved_bias, unfolded
from vsa_checks.interventions.trials import RANDOM, Away, Plan, Setting, Trial
from vsa_checks.models.parts import Part
from vsa_checks.statistics import stream

Matrix = NDArray[np.float64]
DEGREES = (0.5, 1.0)
OV, QK = "heads/W_V W_O", "heads/W_Q W_K^T"
NORMED = "queries and keys have a norm of their own, so that W_Q W_K^T is not what compares them"
WITH_TASKS = 1.0


class Heads:
    """The heads of all layers in the processed basis, as they read what the norm gives, and what becomes of them.

    Their matrices are small: threads that share one product out would wait for each other most of the time.
    """

    def __init__(self, setting: Setting, layers: list[int]) -> None:
        self.running, self.lengths, self.layers = setting.running, setting.lengths, layers
        self.seed = setting.bench.seed
        self._writers: dict[int, list[Writer]] = {}
        self._kept: tuple[float, dict[int, list[tuple[Pair, Target, Matrix, Matrix]]]] = (-1.0, {})

    @cached_property
    def distances(self) -> dict[int, Distances]:
        """By layer, the distances between positions that occur. Raises NotChecked where they cannot be read off."""
        found = turns(self.running, self.layers, max(self.lengths))
        return {layer: Distances.of(turn, self.lengths) for layer, turn in found.items()}

    def matrices(self, layer: int, name: str) -> Matrix:
        """W_Q, W_K, W_V or W_O of a layer (heads, ...); keys and values may be fewer."""
        return self.running.model.array(f"blocks.{layer}.attn.{name}").astype(np.float64)

    @threads()
    def writers(self, layer: int) -> list[Writer]:
        """W_V W_O of each head, found once."""
        if layer not in self._writers:
            W_V, W_O = self.matrices(layer, "W_V"), self.matrices(layer, "W_O")
            share = len(W_O) // len(W_V)
            self._writers[layer] = [Writer.of(W_V[head // share], W_O[head]) for head in range(len(W_O))]
        return self._writers[layer]

    def pairs(self, layer: int) -> list[Pair]:
        """W_Q and W_K of each head."""
        W_Q, W_K = self.matrices(layer, "W_Q"), self.matrices(layer, "W_K")
        share = len(W_Q) // len(W_K)
        return [Pair(W_Q[head], W_K[head // share]) for head in range(len(W_Q))]

    @threads()
    def evened(self, layer: int, degree: float) -> list[Pair]:
        """Each head's queries and keys with an even product, and even keys, which several heads may share."""
        even = [even_keys(keys, degree) for keys in self.matrices(layer, "W_K")]
        pairs = self.pairs(layer)
        share = len(pairs) // len(even)
        found = []
        for head, pair in enumerate(pairs):
            whole = product(pair.queries, pair.keys.T)
            keys = even[head // share]
            found.append(Pair(asking(keys, whole, whole.evened(degree)), keys))
        return found

    @threads()
    def _prepared(self, layer: int, degree: float) -> list[tuple[Pair, Target, Matrix, Matrix]]:
        """By head what `evened` gives, what it makes of the product, and what queries and keys read; kept a while."""
        if self._kept[0] != degree:
            self._kept = degree, {}
        made = self._kept[1]
        if layer not in made:
            over, pairs = self.distances[layer], self.pairs(layer)
            made[layer] = [
                (changed, Target.of(own, changed, over), basis(own.queries), basis(own.keys))
                for own, changed in zip(pairs, self.evened(layer, degree), strict=True)
            ]
        return made[layer]

    @threads()
    def at_random(self, layer: int, degree: float, draw: int) -> list[Pair]:
        """Each head's queries and keys moved at random, their product as much as `evened` changes it."""
        rng = stream(self.seed, "intervene", QK, layer, draw)
        heads = self._prepared(layer, degree)
        share = len(heads) // len(self.matrices(layer, "W_K"))
        found: list[Pair] = []
        for head, (changed, target, reads, keyed) in enumerate(heads):
            rank = reads.shape[1]
            keys = found[-1].keys if head % share else _moved(target.own.keys, changed.keys, keyed, rng)
            queries = random_queries(target, keys, reads @ rng.standard_normal((rank, rank)))
            found.append(Pair(queries, keys))
        return found

    def how_far_written(self, degree: float) -> tuple[float, float]:
        """The change of all W_V W_O over their norm, and the mean cosine of one with what it becomes."""
        sizes = []
        for layer in self.layers:
            for found in (one.product for one in self.writers(layer)):
                after = np.diag(found.evened(degree))
                sizes.append((float(found.s @ found.s), float(after @ found.s), float(after @ after)))
        return _how_far(sizes)

    def how_far_compared(self, degree: float) -> tuple[float, float]:
        """The same of W_Q W_K^T, over the distances between positions."""
        targets = [target for layer in self.layers for _, target, *_ in self._prepared(layer, degree)]
        return _how_far([(one.over.inner(one.own, one.own), one.inner, one.norm) for one in targets])


def _how_far(sizes: list[tuple[float, float, float]]) -> tuple[float, float]:
    own, both, other = np.array(sizes).T
    live = (own > 0) & (other > 0)
    if not live.any():
        return 0.0, 1.0
    cosines = both[live] / np.sqrt(own[live] * other[live])
    return float(np.sqrt(max((own - 2 * both + other).sum(), 0.0) / own.sum())), float(cosines.mean())


def _moved(own: Matrix, changed: Matrix, reads: Matrix, rng: np.random.Generator) -> Matrix:
    """A matrix (d, r) as far as `changed` is from it, in a random direction of those that it reads."""
    directions = reads @ rng.standard_normal((own.shape[1],) * 2)
    return at_same_cosine(own.reshape(1, -1), changed.reshape(1, -1), directions.reshape(1, -1)).reshape(own.shape)


def plans(setting: Setting) -> tuple[list[Plan], dict[str, Away]]:
    """The trials on heads, and what takes each part away. Raises NotChecked for a model without such heads."""
    running = setting.running
    layers = [layer for layer in range(running.model.info.n_layers) if running.raw.has_attention(layer)]
    if not layers:
        raise NotChecked(running.model.why_missing(0, "W_Q"))
    parts = [OV] if running.part("attn", layers[0]).q_norm is not None else [OV, QK]
    away: dict[str, Away] = {OV: partial(_heads_away, running, layers)}
    if QK in parts:
        away[QK] = partial(_evenly_attending, running, layers)
    heads = Heads(setting, layers)
    return [
        Plan(f"{part}/degree={degree:g}", part, partial(_trial, part, heads, degree))
        for part in parts
        for degree in DEGREES
    ], away


def _trial(part: str, heads: Heads, degree: float) -> Trial:
    how_far, change = {OV: (heads.how_far_written, written), QK: (heads.how_far_compared, compared)}[part]
    distance, cosine = how_far(degree)
    return Trial(
        id=f"{part}/degree={degree:g}",
        part=part,
        aim="idealise",
        dose={"degree": degree},
        change=(partial(change, heads, degree, None),),
        nulls={RANDOM: tuple(partial(change, heads, degree, draw) for draw in range(DRAWS))},
        distance=distance,
        cosine=cosine,
        in_tasks=degree == WITH_TASKS,
    )


@threads()
def written(heads: Heads, degree: float, draw: int | None) -> AbstractContextManager[None]:
    """Run with the W_V W_O of all heads evened, or as a draw changed as much in a random direction."""
    changed: dict[tuple[Kind, int], Part] = {}
    for layer in heads.layers:
        rng = None if draw is None else stream(heads.seed, "intervene", OV, layer, draw)
        W_O = np.stack([one.writing(_core(one.product, degree, rng)) for one in heads.writers(layer)])
        changed["attn", layer] = written_part(heads.running, layer, W_O)
    return heads.running.changed(changed)


def _core(found: Product, degree: float, rng: np.random.Generator | None) -> Matrix:
    """The core of a product at a degree, or with rng a random one that is as far from what it was."""
    even = found.evened(degree)
    if rng is None or not len(found.s):
        return even
    rank = len(found.s)
    turned = at_same_cosine(np.diag(found.s).reshape(1, -1), even.reshape(1, -1), rng.standard_normal((1, rank * rank)))
    return turned.reshape(rank, rank)


def written_part(running: Running, layer: int, W_O: Matrix) -> Part:
    """Attention with another W_O (heads, r, d_out); W_V stays, which several heads may share."""
    part = running.part("attn", layer)
    share = len(W_O) // len(part.weights["W_V"])
    weights = part.weights | {"W_O": W_O.astype(np.float32)}
    # Attention sums to one: what the values' biases write is written whatever is attended to, and stays.
    norm = part.reads_through
    bias = part.weights.get("b_V", np.zeros(part.weights["W_V"].shape[::2], np.float32)).astype(np.float64)
    if norm is not None and norm.bias is not None:
        bias = bias + np.einsum("d,hdr->hr", norm.bias.astype(np.float64), part.weights["W_V"])
    if bias.any():
        lost = np.einsum("hr,hrd->d", np.repeat(bias, share, axis=0), part.weights["W_O"].astype(np.float64) - W_O)
        weights["b_O"] = (part.weights.get("b_O", 0.0) + lost).astype(np.float32)
    return replace(part, weights=weights)


@threads()
def compared(heads: Heads, degree: float, draw: int | None) -> AbstractContextManager[None]:
    """Run with the W_Q W_K^T of all heads evened, or as a draw changed as much in random directions."""
    changed: dict[tuple[Kind, int], Part] = {}
    for layer in heads.layers:
        pairs = heads.evened(layer, degree) if draw is None else heads.at_random(layer, degree, draw)
        changed["attn", layer] = _asked(heads.running, layer, pairs)
    return heads.running.changed(changed)


def _asked(running: Running, layer: int, pairs: list[Pair]) -> Part:
    """Attention with these W_Q and W_K; heads that share keys have the same ones."""
    part, norm = running.part("attn", layer), running.part("attn", layer).reads_through
    share = len(pairs) // len(part.weights["W_K"])
    W_Q = np.stack([pair.queries for pair in pairs])
    W_K = np.stack([pair.keys for pair in pairs[::share]])
    weights = dict(part.weights)
    for letter, W in (("Q", W_Q), ("K", W_K)):
        stored = unfolded(W, norm)
        moved = moved_bias(weights.get(f"b_{letter}"), weights[f"W_{letter}"], stored, norm)
        weights[f"W_{letter}"] = stored.astype(np.float32)
        if moved is not None:
            weights[f"b_{letter}"] = moved
    return replace(part, weights=weights)


def _heads_away(running: Running, layers: list[int], run: Callable[[], object]) -> AbstractContextManager[None]:
    """Run with every head's output held at its mean."""
    return running.held_at_mean({(layer, "o"): slice(None) for layer in layers}, run)


def _evenly_attending(running: Running, layers: list[int], run: Callable[[], object]) -> AbstractContextManager[None]:
    """Run with zero queries: every position attends uniformly to all visible positions."""
    parts: dict[tuple[Kind, int], Part] = {}
    for layer in layers:
        part = running.part("attn", layer)
        zero = {name: np.zeros_like(part.weights[name]) for name in ("W_Q", "b_Q") if name in part.weights}
        parts["attn", layer] = replace(part, weights=part.weights | zero)
    return running.changed(parts)
