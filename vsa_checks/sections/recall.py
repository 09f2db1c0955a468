"""Section 2: the members of a bundle are recognised among all tokens by their dot products with it."""

from __future__ import annotations

from collections.abc import Callable

from vsa_checks import nulls, theory
from vsa_checks.errors import NotChecked
from vsa_checks.judging.measurement import Measurement, Reference
from vsa_checks.judging.subjects import Subject
from vsa_checks.orthogonality import rms_cosine
from vsa_checks.premise.constructions import draw_bundles
from vsa_checks.premise.operations import recalled
from vsa_checks.sections.tokens import excluded, token_dictionary, token_directions
from vsa_checks.statistics import bootstrap
from vsa_checks.workbench.access import Workbench

BUNDLE_SIZE = 10
"""Size of the claim's bundles; the details have a curve over other sizes."""
CURVE_SIZES = (2, 4, 6, 8, BUNDLE_SIZE, 16, 24, 32, 48, 64, 96, 128)
BUNDLES = 200
INDEPENDENT = "independent vectors"
HOPELESS = 0.05
"""If even independent vectors are recalled less often than this, the claim is not checked."""


def bundle_recall(bench: Workbench, subject: Subject) -> Measurement:
    """Share of the members of bundles of ten centered unit token vectors that beat every token outside the bundle.

    Token vectors are those with which the stream starts; rows of W_E that are not tokens are left out and counted. The
    reference is the same for independent vectors. Raises NotChecked if the vocabulary is at most twice as large as a
    bundle, or if the dimension is too small for such bundles of any vectors.
    """
    unit = token_directions(bench, subject.basis).unit
    n, d = unit.shape
    sizes = [k for k in CURVE_SIZES if k < n / 2]
    if BUNDLE_SIZE not in sizes:
        raise NotChecked(f"{n} tokens with a direction are too few for bundles of {BUNDLE_SIZE}")
    raw = token_dictionary(bench, subject.basis).vectors
    # The same members for all kinds of vectors.
    members = {k: draw_bundles(n, k, BUNDLES, bench.rng("bundles", k)) for k in sizes}
    found = {k: recalled(unit, members[k]) for k in sizes}
    independent = nulls.random_directions(n, d, bench.rng("independent tokens"))
    ideal = {k: recalled(independent, members[k]) for k in sizes}
    chance = float(ideal[BUNDLE_SIZE].mean())
    if chance < HOPELESS:
        raise NotChecked(f"of independent vectors of {d} dimensions {chance:.3f} are recalled: too few to be told from")
    long = {k: recalled(raw, members[k]) for k in sizes}
    # Random vectors of this dimension have the tokens' rms cosine.
    effective = 1.0 / rms_cosine(unit) ** 2
    by_bundle = found[BUNDLE_SIZE].mean(axis=1)

    def series(name: str, value: Callable[[int], float]) -> dict[str, object]:
        return {"name": name, "y": [float(value(k)) for k in sizes]}

    return Measurement(
        value=float(by_bundle.mean()),
        interval=bootstrap(by_bundle, "bundles", bench.rng("bootstrap", subject.id)),
        n_examined=len(by_bundle),
        n_excluded=bench.model(subject.basis).info.d_vocab - n,
        reference=Reference(INDEPENDENT, chance),
        details={
            "effective_dimension": effective,
            "law": theory.recall_probability(d, BUNDLE_SIZE, n),
            "law_at_effective_dimension": theory.recall_probability(effective, BUNDLE_SIZE, n),
            "with_their_own_norms": float(long[BUNDLE_SIZE].mean()),
            "curve": {
                "x_label": "tokens in the bundle",
                "y_label": "share of members recalled",
                "x": sizes,
                "series": [
                    series("embeddings, at unit norm", lambda k: found[k].mean()),
                    series("embeddings, with their own norms", lambda k: long[k].mean()),
                    series(INDEPENDENT, lambda k: ideal[k].mean()),
                    series("law for d dimensions", lambda k: theory.recall_probability(d, k, n)),
                    series("law for the effective dimension", lambda k: theory.recall_probability(effective, k, n)),
                ],
            },
        }
        | excluded(bench, subject.basis),
    )
