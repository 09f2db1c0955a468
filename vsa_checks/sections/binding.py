"""Section 2.2: heads bind tokens with nearly orthogonal matrices, which keep similarities and can be undone.

The bound vectors are the centered token vectors with which the stream starts. The matrices are taken as the model uses
them: W_Q and W_K with the gains of query and key norms, W_O with the gain of a norm that follows it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vsa_checks.binding import HeadBinding, gaussian_maps, gram_square, head_maps, measure_binding
from vsa_checks.engine.scale import near_one
from vsa_checks.errors import NotChecked
from vsa_checks.judging.measurement import Measurement, Reference
from vsa_checks.judging.subjects import Subject
from vsa_checks.models import Basis
from vsa_checks.sections.isometry import compared, per_query_head
from vsa_checks.sections.tokens import excluded, token_dictionary, token_directions
from vsa_checks.statistics import bootstrap
from vsa_checks.workbench.access import Workbench

QUERIES = 512
"""Number of tokens that are bound and then searched for among all. Their mean has a standard error below .022."""
GAUSSIAN_HEADS = 20
GAUSSIAN = "Gaussian matrices of the same shape"
CERTAIN, HOPELESS = 0.99, 0.05
"""Above and below these shares, random matrices recover all or nothing, and the claim cannot differ from chance."""


def similarity_kept(bench: Workbench, subject: Subject) -> Measurement:
    """Layer median over heads of the rms change of cosines of centered embeddings, compared with Gaussian ones."""
    changes, gaussian = _changes(bench, subject), _gaussian(bench, subject).similarity_change
    return _median(bench, subject, changes, np.isfinite(changes), float(np.median(gaussian)), -1.0)


def tokens_recovered(bench: Workbench, subject: Subject) -> Measurement:
    """Layer median over heads of the share of tokens that unbinding and cleanup recover, beside Gaussian matrices'.

    Raises NotChecked if Gaussian matrices recover next to nothing, or if they recover all of fewer tokens than
    dimensions.
    """
    heads, gaussian = _heads(bench, subject), _gaussian(bench, subject).recovered
    n, d = token_directions(bench, subject.basis).unit.shape
    chance = float(np.median(gaussian.mean(axis=1)))
    if chance < HOPELESS:
        raise NotChecked(f"Gaussian matrices recover {chance:.3f} of the tokens: too few to be told from")
    if chance > CERTAIN and n < d:
        raise NotChecked(f"{n} tokens in {d} dimensions: any matrix recovers them (Gaussian ones {chance:.3f})")
    return _median(bench, subject, heads.recovered.mean(axis=1), np.isfinite(heads.similarity_change), chance, 1.0)


def _median(
    bench: Workbench,
    subject: Subject,
    by_head: NDArray[np.float64],
    live: NDArray[np.bool_],
    chance: float,
    better: float,
) -> Measurement:
    """The layer median over live heads; `better` is 1 if larger values are better, else -1."""
    if not live.any():
        raise NotChecked(f"no head of the layer maps tokens to anything by {subject.matrix}")
    n_words = len(token_directions(bench, subject.basis).unit)
    return Measurement(
        value=float(np.median(by_head[live])),
        interval=bootstrap(by_head[live], "heads", bench.rng("bootstrap", subject.id), np.median),
        n_examined=int(live.sum()),
        n_excluded=int((~live).sum()),
        reference=Reference(GAUSSIAN, chance),
        details={
            "by_head": [{"head": int(head), "value": float(by_head[head])} for head in np.flatnonzero(live)],
            "worst_head": int(np.flatnonzero(live)[np.argmin(better * by_head[live])]),
            "n_tokens": n_words,
            "n_queries": min(n_words, QUERIES),
        }
        | excluded(bench, subject.basis),
    )


def _heads(bench: Workbench, subject: Subject) -> HeadBinding:
    """Binding by a layer's heads, measured once for both claims. Raises NotChecked with fewer than two tokens."""
    unit = _words(bench, subject.basis)

    def measure() -> HeadBinding:
        known = _known_changes(bench)
        before, asked = _before(bench, subject.basis), _queries(bench, len(unit))
        found = measure_binding(unit, _maps(bench, subject), asked, before, known.get(_place(subject)))
        known[_place(subject)] = found.similarity_change
        return found

    return bench.once(("binding", *_place(subject)), measure)


def _changes(bench: Workbench, subject: Subject) -> NDArray[np.float64]:
    """The change of similarities by each head of a layer: the same for all seeds, which only draw queries."""
    known = _known_changes(bench)
    if _place(subject) not in known:
        _heads(bench, subject)
    return known[_place(subject)]


def _known_changes(bench: Workbench) -> dict[tuple[object, ...], NDArray[np.float64]]:
    """Results of `_changes`, by place."""
    return bench.once(("similarity changes",), dict)


def _gaussian(bench: Workbench, subject: Subject) -> HeadBinding:
    """Binding of the same tokens by Gaussian matrices of a layer's shape, measured once per shape."""
    unit, shape, words = _words(bench, subject.basis), _shape(bench, subject), token_dictionary(bench, subject.basis)

    def draw() -> HeadBinding:
        drawn = gaussian_maps(GAUSSIAN_HEADS, *shape[:2], bench.rng("gaussian binding", *shape), shape[2])
        return measure_binding(unit, drawn, _queries(bench, len(unit)), _before(bench, subject.basis))

    return bench.once(("gaussian binding", id(words), shape), draw)


def _words(bench: Workbench, basis: Basis) -> NDArray[np.float32]:
    unit = token_directions(bench, basis).unit
    if len(unit) < 2:
        raise NotChecked("fewer than two word embeddings have a direction once centered")
    return unit


def _before(bench: Workbench, basis: Basis) -> float:
    words = token_dictionary(bench, basis)
    return bench.once(("gram square", id(words)), lambda: gram_square(token_directions(bench, basis).unit))


def _place(subject: Subject) -> tuple[object, ...]:
    return subject.basis, subject.layer, subject.matrix


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
