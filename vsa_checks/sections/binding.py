"""Section 2.2: heads bind tokens by nearly orthogonal matrices, which keep similarities and can be undone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vsa_checks.binding import Bound, gaussian_maps, gram_square, head_maps, measure_maps
from vsa_checks.errors import NotChecked
from vsa_checks.judging.measurement import Measurement, Reference
from vsa_checks.judging.subjects import Subject
from vsa_checks.sections.tokens import token_dictionary, token_directions
from vsa_checks.statistics import bootstrap
from vsa_checks.workbench.access import Workbench

QUERIES = 512
"""Tokens that are bound and looked for among all: their recovery is a mean over them, of standard error below .022."""
GAUSSIAN_HEADS = 20
GAUSSIAN = "Gaussian matrices of the same shape"
CERTAIN, HOPELESS = 0.99, 0.05
"""Beyond these, what random matrices recover leaves nothing to be told: all, where tokens are few, or nothing."""


@dataclass(frozen=True)
class Beside:
    """What the heads of a layer do, which of them do anything, and what Gaussian matrices do with the same tokens."""

    heads: Bound
    live: NDArray[np.bool_]
    gaussian: Bound


def similarity_kept(bench: Workbench, subject: Subject) -> Measurement:
    """Layer median over heads of the rms change of cosines of centered embeddings, beside Gaussian matrices'."""
    beside = _bound(bench, subject)
    return _median(
        bench,
        subject,
        beside,
        beside.heads.similarity_change,
        float(np.median(beside.gaussian.similarity_change)),
        -1.0,
    )


def tokens_recovered(bench: Workbench, subject: Subject) -> Measurement:
    """Layer median over heads of the share of tokens that unbinding and cleanup bring back, beside Gaussians'.

    Raises NotChecked where Gaussian matrices recover next to nothing, or, of fewer tokens than dimensions, all.
    """
    beside = _bound(bench, subject)
    n, d = token_directions(bench, subject.basis).unit.shape
    chance = float(np.median(beside.gaussian.recovered.mean(axis=1)))
    if chance < HOPELESS:
        raise NotChecked(f"Gaussian matrices recover {chance:.3f} of the tokens: too few to be told from")
    if chance > CERTAIN and n < d:
        raise NotChecked(f"{n} tokens in {d} dimensions: any matrix recovers them (Gaussian ones {chance:.3f})")
    return _median(bench, subject, beside, beside.heads.recovered.mean(axis=1), chance, 1.0)


def _median(
    bench: Workbench, subject: Subject, beside: Beside, figures: NDArray[np.float64], chance: float, better: float
) -> Measurement:
    live = figures[beside.live]
    return Measurement(
        value=float(np.median(live)),
        interval=bootstrap(live, "heads", bench.rng("bootstrap", subject.id), np.median),
        n_examined=len(live),
        n_excluded=int((~beside.live).sum()),
        reference=Reference(GAUSSIAN, chance),
        details={
            "by_head": [{"head": int(head), "value": float(figures[head])} for head in np.flatnonzero(beside.live)],
            "worst_head": int(np.flatnonzero(beside.live)[np.argmin(better * live)]),
            "n_tokens": len(token_directions(bench, subject.basis).unit),
            "n_queries": beside.heads.recovered.shape[1],
        },
    )


def _bound(bench: Workbench, subject: Subject) -> Beside:
    """Both figures of a layer's heads, measured once for the two claims. Raises NotChecked if there is no pair."""
    assert subject.layer is not None and subject.matrix is not None
    basis, layer, matrix = subject.basis, subject.layer, subject.matrix
    unit = token_directions(bench, basis).unit
    if len(unit) < 2:
        raise NotChecked("fewer than two word embeddings have a direction once centered")

    def measure() -> Beside:
        asked, shape, words = _queries(bench, len(unit)), _shape(bench, subject), id(token_dictionary(bench, basis))
        before = bench.once(("gram square", words), lambda: gram_square(unit))
        heads = measure_maps(unit, _maps(bench, subject), asked, before)

        def draw() -> Bound:
            drawn = gaussian_maps(GAUSSIAN_HEADS, *shape[:2], bench.rng("gaussian binding", *shape), shape[2])
            return measure_maps(unit, drawn, asked, before)

        gaussian = bench.once(("gaussian binding", words, shape), draw)
        return Beside(heads, np.isfinite(heads.similarity_change), gaussian)

    beside = bench.once(("binding", basis, layer, matrix), measure)
    if not beside.live.any():
        raise NotChecked(f"no head of the layer maps tokens to anything by {matrix}")
    return beside


def _queries(bench: Workbench, n: int) -> NDArray[np.int64]:
    return np.sort(bench.rng("binding queries").choice(n, min(n, QUERIES), replace=False))


def _maps(bench: Workbench, subject: Subject) -> NDArray[np.float32]:
    """The layer's maps by head. W_V of a grouped-query model serves several heads, each with a W_O of its own."""
    assert subject.layer is not None and subject.matrix is not None
    if subject.matrix != "OV":
        return head_maps(bench.weight(subject.basis, subject.layer, subject.matrix))
    reads = bench.weight(subject.basis, subject.layer, "W_V")
    writes = bench.weight(subject.basis, subject.layer, "W_O")
    return head_maps(np.repeat(reads, len(writes) // len(reads), axis=0), writes)


def _shape(bench: Workbench, subject: Subject) -> tuple[int, int, int | None]:
    assert subject.layer is not None and subject.matrix is not None
    if subject.matrix != "OV":
        _, d, rank = bench.weight(subject.basis, subject.layer, subject.matrix).shape
        return d, rank, None
    _, rank, d_out = bench.weight(subject.basis, subject.layer, "W_O").shape
    return bench.weight(subject.basis, subject.layer, "W_V").shape[1], rank, d_out
