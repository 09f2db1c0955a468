"""Sections 2.1 and 3.1, word embeddings: a mean near zero, near-orthogonality, minimal artifacts.

These claims are about W_E itself, even if its own norm follows it; details then say so. Rows of W_E that are not tokens
(`Workbench.tokens`) are left out and counted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsa_checks import theory
from vsa_checks.engine.scale import row_norms
from vsa_checks.errors import NotChecked
from vsa_checks.figures import grams, kept
from vsa_checks.figures.token_sample import sample
from vsa_checks.judging.measurement import Measurement, Reference
from vsa_checks.judging.subjects import Subject
from vsa_checks.models import Basis
from vsa_checks.models.architecture import LAYER_NORM, UNKNOWN_NORM
from vsa_checks.orthogonality import PairwiseCosines, centered, live_rows, pairwise_cosines, rms_cosine
from vsa_checks.sections.pairs import artifact_cut, artifacts, cosine_histogram, near_orthogonal, picture_histogram
from vsa_checks.sections.tokens import about_embeddings, word_embeddings
from vsa_checks.statistics import bootstrap
from vsa_checks.workbench.access import Workbench

DUPLICATE_COSINE = 0.99
"""Two centered tokens closer than this were most likely never distinguished in training."""
MOST_BY_CHANCE = 0.001
"""If a larger share of random directions has a copy, having one means nothing."""
COPY_COSINE = 0.9
"""Two centered tokens this close are mistaken for each other in one of twenty sums of ten, at d about 550.

A sum of k unit vectors separates a member from its copy by 1 - c, with noise of deviation sqrt(2 (1 - c) k / d).
"""
SMALL_NORM_DEVIATIONS = 6.0
"""A centered norm this many robust standard deviations below the median marks a token as unused."""


def mean_zero(bench: Workbench, subject: Subject) -> Measurement:
    """|mean e|^2 / mean |e|^2 over all tokens; the interval resamples a linear approximation over tokens."""
    embedding = word_embeddings(bench, subject.basis).astype(np.float64)
    if not embedding.any():
        raise NotChecked("every word embedding is zero")
    squares = np.einsum("ij,ij->i", embedding, embedding)
    mean, size = embedding.mean(axis=0), squares.mean()
    value = mean @ mean / size
    # The change of the ratio by each token, to first order.
    pull = 2.0 * ((embedding - mean) @ mean) / size - value * (squares - size) / size
    return Measurement(
        value=float(value),
        interval=bootstrap(value + pull, "tokens", bench.rng("bootstrap", subject.id)),
        n_examined=len(embedding),
        n_excluded=bench.tokens(subject.basis).n_excluded,
        reference=Reference("independent vectors, 1/V", 1.0 / len(embedding)),
        details={"norm_of_mean": float(np.sqrt(mean @ mean)), "rms_norm": float(np.sqrt(size))}
        | about_embeddings(bench, subject.basis),
    )


def component_mean(bench: Workbench, subject: Subject) -> Measurement:
    """Mean over tokens of (1.e)^2 / (d |e|^2), the component along (1, ..., 1).

    Raises NotChecked if centering makes it zero, and for models whose norms ignore it.
    """
    norm = bench.model(subject.basis).info.norm
    if norm == UNKNOWN_NORM:
        raise NotChecked(
            "which norms the model has is not known: they may or may not take the mean over components away"
        )
    if norm != LAYER_NORM:
        raise NotChecked("the model has no LayerNorm: nothing in it takes the mean over components away")
    if subject.basis != "raw":
        raise NotChecked(
            "only the raw basis can tell: centering the writing weights sets the figure to 0 by construction"
        )
    live = live_rows(word_embeddings(bench, subject.basis))
    if not len(live.rows):
        raise NotChecked("every word embedding is zero")
    d = live.unit.shape[1]
    along = live.unit.sum(axis=1, dtype=np.float64) ** 2 / d
    return Measurement(
        value=float(along.mean()),
        interval=bootstrap(along, "tokens", bench.rng("bootstrap", subject.id)),
        n_examined=len(along),
        n_excluded=bench.tokens(subject.basis).n_excluded,
        reference=Reference("random directions, 1/d", 1.0 / d),
        details=about_embeddings(bench, subject.basis),
    )


def tokens_near_orthogonal(bench: Workbench, subject: Subject, *, center: bool) -> Measurement:
    """Root mean square cosine over all pairs of tokens; details also have it without unused tokens."""
    cosines = _cosines(bench, subject.basis, center)
    bench.picture(kept.of(kept.GRAM, subject.basis, None, _name(center)), lambda: _blocks(bench, subject.basis, center))
    details = cosine_histogram(cosines, bench.model(subject.basis).info.d_model)
    details |= _trimmed(bench, subject.basis, center) | about_embeddings(bench, subject.basis)
    return near_orthogonal(bench, subject, cosines, "tokens", details=details)


def tokens_artifacts(bench: Workbench, subject: Subject, *, center: bool) -> Measurement:
    """Share of all pairs of tokens with |cos| above 6/sqrt(d)."""
    cosines = _cosines(bench, subject.basis, center)
    picture_histogram(bench, subject, cosines, _name(center))
    return artifacts(bench, subject, cosines, "tokens", details=about_embeddings(bench, subject.basis))


def tokens_with_a_copy(bench: Workbench, subject: Subject) -> Measurement:
    """Share of centered tokens that have a cosine above .9 with some other token, over all pairs.

    Raises NotChecked if too many random directions have a neighbour that close.
    """
    cosines, d = _cosines(bench, subject.basis, True), bench.model(subject.basis).info.d_model
    by_chance = -float(np.expm1((cosines.n_vectors - 1) * np.log1p(-theory.cosine_tail(d, COPY_COSINE))))
    if by_chance > MOST_BY_CHANCE:
        raise NotChecked(
            f"of {cosines.n_vectors} random directions in {d} dimensions a share of {by_chance:.2g} have another at a"
            f" cosine above {COPY_COSINE}"
        )
    partners = cosines.above_by_row[COPY_COSINE]
    return Measurement(
        value=float((partners > 0).mean()),
        interval=bootstrap(partners > 0, "tokens", bench.rng("bootstrap", subject.id)),
        n_examined=cosines.n_vectors,
        n_excluded=cosines.n_excluded,
        reference=Reference("random directions, Beta law", by_chance),
        details={
            "n_pairs_closer": int(partners.sum()) // 2,
            "most_partners": int(partners.max()),
            "share_above_0.99": float((cosines.above_by_row[DUPLICATE_COSINE] > 0).mean()),
            "share_with_an_artifact": float((cosines.above_by_row[artifact_cut(d)] > 0).mean()),
        }
        | about_embeddings(bench, subject.basis),
    )


def _name(center: bool) -> str:
    return "W_E-centered" if center else "W_E"


def _blocks(bench: Workbench, basis: Basis, center: bool) -> grams.Arrays:
    """For a picture: cosines among some tokens, frequent words first, and which tokens they are."""
    model, ids = bench.model(basis), bench.tokens(basis).ids
    rows, names = sample(ids, model.vocabulary if model.info.text else None, model.token_name)
    found = grams.matrix_blocks(_vectors(bench, basis, center), grams.room(1), rows=rows)
    taken = np.asarray(found["rows"], np.int64)
    return found | {"rows": np.where(taken < 0, -1, ids[taken]).astype(np.int32), "names": names}


def _vectors(bench: Workbench, basis: Basis, center: bool) -> NDArray[np.float32]:
    embedding = word_embeddings(bench, basis)
    return centered(embedding) if center and len(embedding) else embedding


def _cosines(bench: Workbench, basis: Basis, center: bool) -> PairwiseCosines:
    """All pairs of tokens, measured once for all claims about them. Raises NotChecked if there is no pair."""

    def measure() -> PairwiseCosines:
        vectors = _vectors(bench, basis, center)
        if np.count_nonzero(vectors.any(axis=1)) < 2:
            raise NotChecked(f"fewer than two word embeddings have a direction{' once centered' if center else ''}")
        cut = artifact_cut(bench.model(basis).info.d_model)
        label = f"cosines of all token pairs{', centered' if center else ''} ({basis})"
        levels = (cut, COPY_COSINE, DUPLICATE_COSINE)
        found = pairwise_cosines(vectors, levels, device=bench.torch_device, progress=bench.progress(label))
        return replace(found, n_excluded=found.n_excluded + bench.tokens(basis).n_excluded)

    return bench.once(("token pairs", basis, center), measure)


def _trimmed(bench: Workbench, basis: Basis, center: bool) -> dict[str, Any]:
    """The rms cosine without unused tokens: those with a centered norm far below the rest, and near-duplicates."""
    vectors = _vectors(bench, basis, True)
    norms = row_norms(vectors)
    if np.count_nonzero(norms) < 2:  # all tokens are alike: none is more used than others
        return {}
    logs = np.log(np.maximum(norms, np.finfo(np.float64).tiny))
    middle = np.median(logs)
    spread = 1.4826 * np.median(np.abs(logs - middle))
    duplicates = np.zeros(len(norms), bool)
    pairs = _cosines(bench, basis, True)
    duplicates[pairs.rows] = pairs.above_by_row[DUPLICATE_COSINE] > 0
    small = (norms == 0) | (logs < middle - SMALL_NORM_DEVIATIONS * spread)
    used = ~(duplicates | small)
    kept = live_rows(_vectors(bench, basis, center)[used])
    return {
        "trimmed": {
            "n_unused_small_norm": int(small.sum()),
            "n_unused_duplicates": int(duplicates.sum()),
            "rms": rms_cosine(kept.unit) if len(kept.rows) > 1 else None,
        },
        "largest_cosine_of_random_vectors": theory.largest_cosine(pairs.n_vectors, vectors.shape[1])
        if pairs.n_vectors > 2
        else None,
    }
