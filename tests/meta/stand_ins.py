"""A small model taken for the paper's, with neurons and links of its own published in the place of GPT-2's."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fixtures.planted import plant
from fixtures.small_models import Sizes
from tests.meta.claim_cases import Case
from vsa_checks.bundles import ranked_scan
from vsa_checks.models import Model
from vsa_checks.orthogonality import centered
from vsa_checks.sections import figure2, table1
from vsa_checks.workbench.access import Workbench

PUBLISHED_PER_TOKEN = 5
INDICES = (12, 20, 86, 92, 105, 147, 184)
LUCKY_RANK = 3
"""The token that is third of 300: as near as one random link in a hundred is."""


def as_paper_model(bench: Workbench, case: Case, monkeypatch: pytest.MonkeyPatch) -> Workbench:
    """The same weights taken for the paper's, with the neurons and links published that the case asks for."""
    model = bench.model(case.basis)
    if case.published is not None:
        neurons = _neurons(bench, case, model)
        monkeypatch.setattr(table1, "published_neurons", lambda: neurons)
    if case.circuit is not None:
        links = _links(bench, case, model)
        monkeypatch.setattr(figure2, "published_links", lambda: links)
    monkeypatch.setattr(model, "info", dataclasses.replace(model.info, is_paper_model=True))
    return Workbench(bench.name, seed=0, loaded=model)


def _neurons(bench: Workbench, case: Case, model: Model) -> tuple[table1.PublishedNeuron, ...]:
    """Seven neurons at the cosines that they have, up to `case.published` off."""
    assert case.published is not None
    neurons = np.ascontiguousarray(bench.weight(case.basis, 0, "W_in").T)
    found = ranked_scan(neurons, centered(bench.embedding(case.basis)), PUBLISHED_PER_TOKEN)
    off = case.published * np.linspace(-1, 1, len(INDICES))
    return tuple(
        table1.PublishedNeuron(
            layer=0,
            index=index,
            cosine=float(found.cosine[index] + off[place]),
            pairing="as printed",
            tokens=tuple(model.token_name(int(token)) for token in found.tokens(index)[:3]),
        )
        for place, index in enumerate(INDICES)
    )


def _links(bench: Workbench, case: Case, model: Model) -> tuple[figure2.Link, ...]:
    """The links of the planted circuits; with "broken" the last neuron is another; with "lucky" one link by chance."""
    if case.circuit == "lucky":
        assert model.W_U is not None
        written, read = bench.weight(case.basis, 0, "W_out")[50], model.W_U.numpy()
        token = int(np.argsort(-written @ read / np.linalg.norm(read, axis=0))[LUCKY_RANK - 1])
        return (figure2.Link((0, 50), token=model.token_name(token)),)
    circuits = plant(Sizes())[1].circuits
    moved = 60 if case.circuit == "broken" else 0
    links = []
    for circuit in circuits:
        links += [figure2.Link((0, source), (circuit.layer, circuit.neuron + moved)) for source in circuit.sources]
        links.append(figure2.Link((circuit.layer, circuit.neuron), token=model.token_name(circuit.token)))
    return tuple(links)
