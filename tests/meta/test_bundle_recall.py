"""bundle-recall on small models: the value again in the obvious way, and what the effective dimension explains."""

from __future__ import annotations

import numpy as np
import pytest

from fixtures.cases.entry import subject_at
from tests.meta.benches import Benches
from vsa_checks.judging.measurement import Measurement
from vsa_checks.premise.constructions import draw_bundles
from vsa_checks.sections.recall import BUNDLE_SIZE, BUNDLES, bundle_recall
from vsa_checks.workbench.access import Workbench


def measured(bench: Workbench) -> Measurement:
    return bundle_recall(bench, subject_at("bundle-recall", bench, "processed", None, None))


def series(found: Measurement, name: str) -> list[float]:
    (values,) = (one["y"] for one in found.details["curve"]["series"] if one["name"] == name)
    return list(values)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["planted", "low-rank embeddings", "near-duplicate tokens"])
def test_the_share_is_that_of_the_obvious_way(model: str, benches: Benches) -> None:
    bench = benches(model)
    embedding = bench.embedding("processed").astype(np.float64)
    words = embedding - embedding.mean(axis=0)
    words /= np.linalg.norm(words, axis=1, keepdims=True)
    hits = 0
    for members in draw_bundles(len(words), BUNDLE_SIZE, BUNDLES, bench.rng("bundles", BUNDLE_SIZE)):
        dots = words @ words[members].sum(axis=0)
        best_outside = max(dots[token] for token in range(len(words)) if token not in members)
        hits += sum(dots[member] > best_outside for member in members)
    assert measured(bench).value == pytest.approx(hits / (BUNDLES * BUNDLE_SIZE), abs=2 / (BUNDLES * BUNDLE_SIZE))


def test_the_effective_dimension_is_what_random_embeddings_have_and_explains_what_low_rank_ones_lose(
    benches: Benches,
) -> None:
    random, low = measured(benches("random")), measured(benches("low-rank embeddings"))
    assert random.details["effective_dimension"] == pytest.approx(64, rel=0.05)
    assert low.details["effective_dimension"] == pytest.approx(8, rel=0.1)
    assert random.value == pytest.approx(random.details["law"], abs=0.06)
    assert low.value == pytest.approx(low.details["law_at_effective_dimension"], abs=0.06)
    assert low.value < 0.2 * low.details["law"]


def test_recall_falls_with_the_size_of_the_bundle_and_follows_the_law(benches: Benches) -> None:
    found = measured(benches("planted"))
    real, law = series(found, "embeddings, at unit norm"), series(found, "law for d dimensions")
    assert real[0] > 0.95 and real[-1] < 0.1
    assert real[:9] == sorted(real[:9], reverse=True), "with ever fewer tokens outside it may rise again"
    assert np.abs(np.subtract(real, law)).max() < 0.1


def test_long_embeddings_drown_the_others(benches: Benches) -> None:
    found = measured(benches("heavy-tailed norms"))
    assert found.details["with_their_own_norms"] < 0.5 * found.details["law"]
