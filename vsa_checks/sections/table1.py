"""Section 3.2, Table 1 and text: the seven published neurons of GPT-2 small."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from vsa_checks.bundles import Bundles, ranked_scans
from vsa_checks.errors import NotChecked
from vsa_checks.judging.measurement import Measurement
from vsa_checks.judging.subjects import Subject
from vsa_checks.models import Model
from vsa_checks.sections.published import published
from vsa_checks.sections.tokens import excluded, token_dictionary
from vsa_checks.statistics import bootstrap
from vsa_checks.workbench.access import Workbench

NEURONS_PER_TOKEN: tuple[int | None, ...] = (1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50, 100, 200, None)
"""The numbers of neurons per token to try: the paper does not report its own."""


@dataclass(frozen=True)
class PublishedNeuron:
    """One neuron as the paper prints it."""

    layer: int
    index: int
    cosine: float
    pairing: str
    tokens: tuple[str, ...]


@cache
def published_neurons() -> tuple[PublishedNeuron, ...]:
    """The neurons of fixtures/published.toml, in its order."""
    return tuple(
        PublishedNeuron(one["layer"], one["index"], one["cosine"], one["pairing"], tuple(one["tokens"]))
        for one in published()["neuron"]
    )


def published_cosines(bench: Workbench, subject: Subject) -> Measurement:
    """Largest distance from the published cosines, at the one number of neurons per token that fits best.

    Raises NotChecked on any model but the paper's, which has other neurons.
    """
    model = bench.model(subject.basis)
    if not model.info.is_paper_model:
        raise NotChecked("the published neurons are those of GPT-2 small, which this model is not")
    neurons_as_printed = published_neurons()
    neurons = np.ascontiguousarray(bench.weight(subject.basis, 0, "W_in").T)
    found = ranked_scans(
        neurons,
        token_dictionary(bench, subject.basis),
        NEURONS_PER_TOKEN,
        device=bench.torch_device,
        progress=bench.progress(f"scans for the published neurons ({subject.basis})"),
    )
    ids = bench.tokens(subject.basis).ids
    measured = compare(model, ids, neurons_as_printed, found, bench.rng("bootstrap", subject.id))
    return replace(measured, details=measured.details | excluded(bench, subject.basis))


def compare(
    model: Model,
    ids: NDArray[np.int64],
    published: tuple[PublishedNeuron, ...],
    found: list[Bundles],
    rng: np.random.Generator,
) -> Measurement:
    """Compare the bundles found, one set for each of NEURONS_PER_TOKEN, with the published neurons; ids: all tokens."""
    places = [neuron.index for neuron in published]
    distances = np.abs(
        np.stack([bundles.cosine[places] for bundles in found]) - [neuron.cosine for neuron in published]
    )
    best = int(np.argmin(distances.max(axis=1)))
    named = _named_tokens(model, ids, published, found[best])
    tests = [entry["p_value"] for entry in named if entry["p_value"] is not None]
    return Measurement(
        value=float(distances[best].max()),
        interval=bootstrap(distances[best], "neurons", rng, np.max),
        n_examined=len(published),
        details={
            "neurons_per_token": NEURONS_PER_TOKEN[best],
            "sweep": [
                {"neurons_per_token": count, "largest_distance": float(row.max())}
                for count, row in zip(NEURONS_PER_TOKEN, distances, strict=True)
            ],
            "neurons": named,
            "named_tokens_p": float(scipy.stats.combine_pvalues(tests).pvalue) if tests else None,
            "notes": [
                "The published cosines include attributions to attention heads (section 3.3); these bundles are of"
                " plain token embeddings.",
                "Rows marked uncertain were read from a scrambled table.",
            ],
        },
    )


def _named_tokens(
    model: Model, ids: NDArray[np.int64], published: tuple[PublishedNeuron, ...], found: Bundles
) -> list[dict[str, Any]]:
    """How many of the tokens named in the paper are in each bundle, and the hypergeometric p of at least that many."""
    names = {int(token): model.token_name(int(token)) for token in ids}
    rows = []
    for neuron in published:
        wanted = {form for token in neuron.tokens for form in (token, " " + token.strip())}
        marked = {token for token, name in names.items() if name in wanted}
        bundle = found.tokens(neuron.index)
        hits = sum(int(token) in marked for token in bundle)
        law = scipy.stats.hypergeom(len(ids), len(marked), len(bundle))
        rows.append(
            {
                "neuron": neuron.index,
                "published": neuron.cosine,
                "measured": float(found.cosine[neuron.index]),
                "pairing": neuron.pairing,
                "named": len(neuron.tokens),
                "found": hits,
                "bundle": len(bundle),
                "p_value": float(law.sf(hits - 1)) if marked else None,
            }
        )
    return rows
