"""Section 2.2: heads bind tokens with nearly orthogonal matrices, which keep similarities and can be undone.

What is bound are the centered token vectors, what the stream begins with. The matrices are taken as the model uses
them: W_Q and W_K with the gains of norms of queries and keys, W_O with the gain of a norm that follows it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vsa_checks.binding import HeadBinding, gaussian_maps, gram_square, head_maps, measure_binding
from vsa_checks.engine.scale import near_one
from vsa_checks.errors import NotChecked
from vsa_checks.judging.measurement import Measurement, Reference
from vsa_checks.judging.subjects import Subject
from vsa_checks.sections.isometry import compared, per_query_head
from vsa_checks.sections.tokens import excluded, token_dictionary, token_directions
from vsa_checks.statistics import bootstrap
from vsa_checks.workbench.access import Workbench

QUERIES = 512
"""Tokens that are bound and looked for among all. The mean over them has a standard error below .022."""
GAUSSIAN_HEADS = 20
GAUSSIAN = "Gaussian matrices of the same shape"
CERTAIN, HOPELESS = 0.99, 0.05
"""Above and below these shares, random matrices recover all or nothing, and the claim cannot be told from chance."""


@dataclass(frozen=True)
class LayerBinding:
    """How the heads of a layer bind tokens, which heads map any, and how Gaussian matrices bind the same tokens."""

    heads: HeadBinding
    live: NDArray[np.bool_]
    gaussian: HeadBinding


def similarity_kept(bench: Workbench, subject: Subject) -> Measurement:
    """Layer median over heads of the rms change of cosines of centered embeddings, beside Gaussian matrices'."""
    bound = _bound(bench, subject)
    chance = float(np.median(bound.gaussian.similarity_change))
    return _median(bench, subject, bound, bound.heads.similarity_change, chance, -1.0)


def tokens_recovered(bench: Workbench, subject: Subject) -> Measurement:
    """Layer median over heads of the share of tokens that unbinding and cleanup recover, beside Gaussian matrices'.

    Raises NotChecked if Gaussian matrices recover next to nothing, or if they recover all of fewer tokens than
    dimensions.
    """
    bound = _bound(bench, subject)
    n, d = token_directions(bench, subject.basis).unit.shape
    chance = float(np.median(bound.gaussian.recovered.mean(axis=1)))
    if chance < HOPELESS:
        raise NotChecked(f"Gaussian matrices recover {chance:.3f} of the tokens: too few to be told from")
    if chance > CERTAIN and n < d:
        raise NotChecked(f"{n} tokens in {d} dimensions: any matrix recovers them (Gaussian ones {chance:.3f})")
    return _median(bench, subject, bound, bound.heads.recovered.mean(axis=1), chance, 1.0)


def _median(
    bench: Workbench, subject: Subject, bound: LayerBinding, by_head: NDArray[np.float64], chance: float, better: float
) -> Measurement:
    """The layer median over live heads; `better` is 1 if larger values are better, else -1."""
    live = by_head[bound.live]
    return Measurement(
        value=float(np.median(live)),
        interval=bootstrap(live, "heads", bench.rng("bootstrap", subject.id), np.median),
        n_examined=len(live),
        n_excluded=int((~bound.live).sum()),
        reference=Reference(GAUSSIAN, chance),
        details={
            "by_head": [{"head": int(head), "value": float(by_head[head])} for head in np.flatnonzero(bound.live)],
            "worst_head": int(np.flatnonzero(bound.live)[np.argmin(better * live)]),
            "n_tokens": len(token_directions(bench, subject.basis).unit),
            "n_queries": bound.heads.recovered.shape[1],
        }
        | excluded(bench, subject.basis),
    )


def _bound(bench: Workbench, subject: Subject) -> LayerBinding:
    """How a layer's heads bind tokens, measured once for both claims. Raises NotChecked with fewer than two tokens."""
    assert subject.layer is not None and subject.matrix is not None
    basis, layer, matrix = subject.basis, subject.layer, subject.matrix
    unit = token_directions(bench, basis).unit
    if len(unit) < 2:
        raise NotChecked("fewer than two word embeddings have a direction once centered")

    def measure() -> LayerBinding:
        asked, shape, words = _queries(bench, len(unit)), _shape(bench, subject), id(token_dictionary(bench, basis))
        before = bench.once(("gram square", words), lambda: gram_square(unit))
        heads = measure_binding(unit, _maps(bench, subject), asked, before)

        def draw() -> HeadBinding:
            drawn = gaussian_maps(GAUSSIAN_HEADS, *shape[:2], bench.rng("gaussian binding", *shape), shape[2])
            return measure_binding(unit, drawn, asked, before)

        gaussian = bench.once(("gaussian binding", words, shape), draw)
        return LayerBinding(heads, np.isfinite(heads.similarity_change), gaussian)

    bound = bench.once(("binding", basis, layer, matrix), measure)
    if not bound.live.any():
        raise NotChecked(f"no head of the layer maps tokens to anything by {matrix}")
    return bound


def _queries(bench: Workbench, n: int) -> NDArray[np.int64]:
    return np.sort(bench.rng("binding queries").choice(n, min(n, QUERIES), replace=False))


def _maps(bench: Workbench, subject: Subject) -> NDArray[np.float32]:
    """The layer's maps by head (n_heads, ...): W_Q, W_K, or for OV the product W_V W_O."""
    assert subject.layer is not None and subject.matrix is not None
    if subject.matrix != "OV":
        return head_maps(compared(bench, subject.basis, subject.layer, subject.matrix))
    reads = near_one(bench.weight(subject.basis, subject.layer, "W_V"), (1, 2))
    writes = near_one(bench.written(subject.basis, subject.layer, "W_O"), (1, 2))
    return head_maps(per_query_head(reads, len(writes)), writes)


def _shape(bench: Workbench, subject: Subject) -> tuple[int, int, int | None]:
    """Dimension read, rank and, for OV, dimension written of the layer's maps."""
    assert subject.layer is not None and subject.matrix is not None
    if subject.matrix != "OV":
        _, d, rank = bench.weight(subject.basis, subject.layer, subject.matrix).shape
        return d, rank, None
    _, rank, d_out = bench.weight(subject.basis, subject.layer, "W_O").shape
    return bench.weight(subject.basis, subject.layer, "W_V").shape[1], rank, d_out
