"""Near-orthogonality of any set of vectors, shared by the sections on embeddings, attention and MLP."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from vsa_checks import theory
from vsa_checks.errors import NotChecked
from vsa_checks.figures import kept
from vsa_checks.judging.measurement import Measurement, NullMeasurement, Reference
from vsa_checks.judging.subjects import Subject
from vsa_checks.orthogonality import PairwiseCosines, live_rows, mean_square_of_random_signs
from vsa_checks.statistics import Interval, bootstrap_pairs
from vsa_checks.theory import artifact_cut as artifact_cut  # others take it from here
from vsa_checks.workbench.access import Workbench

GAUSSIAN, SIGNS = "Gaussian matrices", "random signs"
LEAST_P = 1e-9
"""The smallest p that is reported. The laws are good approximations, but unverified further out."""
LEAST_ROOM = 1e-6
"""Random signs that move the mean squared cosine by less than this, of what is possible, do not move it at all."""


def near_orthogonal(
    bench: Workbench,
    subject: Subject,
    cosines: PairwiseCosines,
    unit: str,
    groups: ArrayLike | None = None,
    details: dict[str, Any] | None = None,
) -> Measurement:
    """Root mean square cosine over all pairs, compared with random directions.

    Parameters
    ----------
    bench : Workbench
    subject : Subject
    cosines : PairwiseCosines
        All pairs of the subject's n vectors.
    unit : str
        What the interval resamples, for example "tokens".
    groups : array_like, shape (n,), optional
        The group of each vector, if whole groups are resampled.
    details : dict, optional
        Additional content for the report.
    """
    return Measurement(
        value=cosines.rms,
        interval=_rms_interval(bench, subject, cosines, unit, groups),
        n_examined=cosines.n_vectors,
        n_excluded=cosines.n_excluded,
        reference=Reference("random directions, 1/sqrt(d)", theory.cosine_deviation(_width(bench, subject))),
        details={"n_pairs": cosines.n_pairs, "mean": cosines.mean, "max_abs": cosines.max_abs} | (details or {}),
    )


def artifacts(
    bench: Workbench,
    subject: Subject,
    cosines: PairwiseCosines,
    unit: str,
    groups: ArrayLike | None = None,
    details: dict[str, Any] | None = None,
) -> Measurement:
    """Share of pairs with |cos| above 6/sqrt(d), compared with the Beta law; arguments as for near_orthogonal.

    Raises NotChecked if d is so small that no cosine can exceed the cut.
    """
    d = _width(bench, subject)
    cut = artifact_cut(d)
    if cut >= 1:
        raise NotChecked(f"in {d} dimensions 6/sqrt(d) is {cut:.2f}: no cosine could be an artifact")
    by_vector = cosines.above_by_row[cut] / (cosines.n_vectors - 1)
    interval = bootstrap_pairs(by_vector, unit, bench.rng("bootstrap", subject.id), groups=groups)
    return Measurement(
        value=cosines.fraction_above[cut],
        interval=Interval(max(interval.low, 0.0), min(interval.high, 1.0), interval.unit, interval.level),
        n_examined=cosines.n_vectors,
        n_excluded=cosines.n_excluded,
        reference=Reference("random directions, Beta law", theory.cosine_tail(d, cut)),
        details={"n_pairs": cosines.n_pairs, "cut": cut, "max_abs": cosines.max_abs} | (details or {}),
    )


def beyond_random(
    bench: Workbench,
    subject: Subject,
    cosines: PairwiseCosines,
    vectors: NDArray[np.floating],
    unit: str,
    groups: ArrayLike | None = None,
) -> Measurement:
    """How far the mean squared cosine is below that of random directions, as a share of what is possible.

    0 for random directions, 1 for a tight frame (or for orthogonal vectors, if there are at most d). The nulls are
    Gaussian vectors, and these vectors with a random sign for each entry: vectors with few large entries may share few
    of them by luck, which depends on no sign. vectors (n, d) are those of the cosines, other arguments as for
    near_orthogonal. Raises NotChecked if the cosines of that many vectors do not vary.
    """
    n, d = cosines.n_vectors, _width(bench, subject)
    if d < 2:
        raise NotChecked("all vectors of one dimension are parallel")
    law, least = theory.mean_square_law(n, d), theory.welch_bound(n, d) ** 2
    square, possible = cosines.rms**2, 1.0 / d - least
    interval = _rms_interval(bench, subject, cosines, unit, groups)
    low, high = ((1.0 / d - end**2) / possible for end in (interval.high, interval.low))

    mean, variance = mean_square_of_random_signs(live_rows(vectors).unit)
    signed_p = (1.0, 1.0)  # a tie, if signs change nothing
    if np.sqrt(variance) > LEAST_ROOM * possible:
        signed_p = _tails(theory.shifted_gamma(min(least, mean - variance), mean, variance), square)

    return Measurement(
        value=(1.0 / d - square) / possible,
        interval=Interval(low, min(high, 1.0), unit),
        n_examined=n,
        n_excluded=cosines.n_excluded,
        nulls=(
            NullMeasurement(GAUSSIAN, 0.0, float(law.std() / possible), None, *_tails(law, square)),
            NullMeasurement(SIGNS, (1.0 / d - mean) / possible, float(np.sqrt(variance) / possible), None, *signed_p),
        ),
        details={"rms": cosines.rms, "rms_of_random": float(np.sqrt(1.0 / d)), "least_rms": float(np.sqrt(least))},
    )


def _tails(law: Any, value: float) -> tuple[float, float]:
    """How often a law gives at most a value, and how often more."""
    return max(float(law.cdf(value)), LEAST_P), max(float(law.sf(value)), LEAST_P)


def cosine_histogram(cosines: PairwiseCosines, d: int) -> dict[str, Any]:
    """Counts of all cosines in bins of .02, and those expected from the Beta law."""
    edges = cosines.bin_edges[::4]
    counts = cosines.histogram.reshape(-1, 4).sum(axis=1)
    half = (d - 1) / 2
    law = np.diff(scipy.special.betainc(half, half, (edges + 1.0) / 2.0))
    return {
        "histogram": {
            "edges": [round(float(edge), 4) for edge in edges],
            "x_label": "cosine",
            "counts": [int(count) for count in counts],
            "reference": [float(share * cosines.n_pairs) for share in law],
        }
    }


def picture_histogram(bench: Workbench, subject: Subject, cosines: PairwiseCosines, matrix: str | None = None) -> None:
    """Hand over the histogram of a matrix's cosines, for pictures."""
    prefix = kept.of(kept.HISTOGRAM, subject.basis, subject.layer, matrix or subject.matrix, subject.expert)
    bench.picture(prefix, lambda: {"counts": cosines.histogram.astype(np.int64)})


def _rms_interval(
    bench: Workbench, subject: Subject, cosines: PairwiseCosines, unit: str, groups: ArrayLike | None
) -> Interval:
    squares = bootstrap_pairs(cosines.mean_square_by_row, unit, bench.rng("bootstrap", subject.id), groups=groups)
    return Interval(float(np.sqrt(max(squares.low, 0.0))), float(np.sqrt(max(squares.high, 0.0))), unit)


def _width(bench: Workbench, subject: Subject) -> int:
    return bench.model(subject.basis).info.d_model
