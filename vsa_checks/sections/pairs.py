"""Near-orthogonality of any set of vectors: what the sections on embeddings, attention and MLP share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from vsa_checks import nulls, theory
from vsa_checks.errors import NotChecked
from vsa_checks.judging.measurement import Measurement, NullMeasurement, Reference
from vsa_checks.judging.subjects import Subject
from vsa_checks.orthogonality import PairwiseCosines
from vsa_checks.statistics import Interval, bootstrap_pairs
from vsa_checks.workbench.access import Workbench

GAUSSIAN = "Gaussian matrices"
GAUSSIAN_DRAWS = 199
"""Gaussian matrices per shape: enough for p = .005, below the alpha of .01."""
ARTIFACT_DEVIATIONS = 6.0
"""A pair is an artifact if its |cos| exceeds this many standard deviations of random directions."""


def artifact_cut(d: int) -> float:
    """The |cos| above which a pair counts as an artifact: 6/sqrt(d)."""
    return float(ARTIFACT_DEVIATIONS / np.sqrt(d))


def near_orthogonal(
    bench: Workbench,
    subject: Subject,
    cosines: PairwiseCosines,
    unit: str,
    groups: ArrayLike | None = None,
    details: dict[str, Any] | None = None,
) -> Measurement:
    """Root mean square cosine over all pairs, beside that of random directions.

    Parameters
    ----------
    bench : Workbench
    subject : Subject
    cosines : PairwiseCosines
        All pairs of the subject's n vectors.
    unit : str
        What the interval resamples, such as "tokens".
    groups : array_like, shape (n,), optional
        The group of each vector, if whole groups are resampled.
    details : dict, optional
        What the report shows beside the value.
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
    """Share of pairs with |cos| above 6/sqrt(d), beside the tail of the Beta law; arguments as for near_orthogonal.

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
    bench: Workbench, subject: Subject, cosines: PairwiseCosines, unit: str, groups: ArrayLike | None = None
) -> Measurement:
    """Root mean square cosine over the median that Gaussian matrices give; arguments as for near_orthogonal."""
    n, d = cosines.n_vectors, _width(bench, subject)
    drawn = bench.once(
        ("gaussian rms", n, d),
        lambda: nulls.gaussian_rms_cosines(n, d, GAUSSIAN_DRAWS, bench.rng("gaussian rms", n, d)),
    )
    median = float(np.median(drawn))
    value, ratios = cosines.rms / median, drawn / median
    interval = _rms_interval(bench, subject, cosines, unit, groups)
    return Measurement(
        value=value,
        interval=Interval(interval.low / median, interval.high / median, unit),
        n_examined=n,
        n_excluded=cosines.n_excluded,
        nulls=(NullMeasurement.of_draws(GAUSSIAN, value, ratios, "<=", 1.0),),
        details={"rms": cosines.rms, "median_of_gaussians": median},
    )


def cosine_histogram(cosines: PairwiseCosines, d: int) -> dict[str, Any]:
    """Counts of all cosines in bins of .02, beside those that the Beta law gives."""
    edges = cosines.bin_edges[::4]
    counts = cosines.histogram.reshape(-1, 4).sum(axis=1)
    half = (d - 1) / 2
    law = np.diff(stats.beta.cdf((edges + 1.0) / 2.0, half, half))
    return {
        "histogram": {
            "edges": [round(float(edge), 4) for edge in edges],
            "x_label": "cosine",
            "counts": [int(count) for count in counts],
            "reference": [float(share * cosines.n_pairs) for share in law],
        }
    }


def _rms_interval(
    bench: Workbench, subject: Subject, cosines: PairwiseCosines, unit: str, groups: ArrayLike | None
) -> Interval:
    squares = bootstrap_pairs(cosines.mean_square_by_row, unit, bench.rng("bootstrap", subject.id), groups=groups)
    return Interval(float(np.sqrt(max(squares.low, 0.0))), float(np.sqrt(max(squares.high, 0.0))), unit)


def _width(bench: Workbench, subject: Subject) -> int:
    return bench.model(subject.basis).info.d_model
