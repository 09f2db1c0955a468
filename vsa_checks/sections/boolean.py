"""Section 2.4: first-layer neurons as OR and AND over the tokens of their bundles, on held-out text.

Each neuron is compared with others that keep its distribution but are not sums of tokens, with bundles fitted in the
same way: the layer's neurons with signs exchanged (section 3.2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vsa_checks.boolean import Driven, driven_by_members
from vsa_checks.bundles import Bundles, greedy_pursuit
from vsa_checks.clusters import bootstrap_share
from vsa_checks.errors import NotChecked
from vsa_checks.judging.measurement import Measurement, NullMeasurement
from vsa_checks.judging.subjects import Subject
from vsa_checks.models import Basis
from vsa_checks.orthogonality import live_rows
from vsa_checks.sections.neurons import layer_neurons, neuron_clusters, place_of
from vsa_checks.sections.pursued import PURSUIT_TOKENS, token_bundles
from vsa_checks.sections.stand_ins import NULL_NEURONS, exchanged
from vsa_checks.sections.tokens import excluded, token_dictionary
from vsa_checks.statistics import Interval, relabelled_groups
from vsa_checks.workbench.access import Workbench
from vsa_checks.workbench.activations import in_text, read


@dataclass(frozen=True)
class Stream:
    """The first layer's MLP input on text (n, d), token ids (n,) and which positions count (n,), by window."""

    read: tuple[NDArray[np.float32], ...]
    tokens: tuple[NDArray[np.int64], ...]
    counted: tuple[NDArray[np.bool_], ...]


@dataclass(frozen=True)
class Layer:
    """How bundle members drive a layer's live neurons, and the stand-ins for some of them in each null.

    labels (n,): each neuron's cluster. asked (m,): the neurons that have stand-ins, in the stand-ins' order.
    """

    real: Driven
    labels: NDArray[np.int64]
    asked: NDArray[np.int64]
    stand_ins: dict[str, Driven]
    n_dead: int


def or_share(bench: Workbench, subject: Subject) -> Measurement:
    """Mean over neurons of the share of bundle members that drive the neuron alone above its 95th percentile.

    Raises NotChecked for a model that cannot read text, and if no member occurs alone in the text.
    """
    layer = _driven(bench, subject)
    shares = layer.real.or_shares()
    tested = ~np.isnan(shares)
    if not tested.any():
        raise NotChecked("no member of any bundle occurs alone in the text")
    why = "in the text no member of any bundle occurs alone: {}"
    return Measurement(
        value=float(shares[tested].mean()),
        interval=_interval(bench, subject, layer, shares),
        n_examined=int(tested.sum()),
        n_excluded=layer.n_dead + int((~tested).sum()),
        nulls=tuple(
            _compare(bench, subject, layer, name, shares, one.or_shares(), why) for name, one in layer.stand_ins.items()
        ),
        details={
            "members_seen_alone": int(layer.real.seen_alone.sum()),
            "members_driving": int(layer.real.driving_alone.sum()),
            "notes": [
                "Bundles of five tokens by pursuit. The neurons left out are those none of whose members occurs alone."
                " Null neurons' bundles are fitted the same way."
            ],
        }
        | _about(layer)
        | excluded(bench, subject.basis),
    )


def and_share(bench: Workbench, subject: Subject) -> Measurement:
    """Share of neurons that no bundle member drives alone, but two or more together do.

    Raises NotChecked if the MLP has no bias, for a model that cannot read text, and if the text tests no neuron.
    """
    info = bench.model(subject.basis).info
    if bench.bias(subject.basis, 0, f"mlp.{_prefix(subject)}{'b_gate' if info.gated else 'b_in'}") is None:
        raise NotChecked("the neurons have no bias, and it is the bias that would make an AND of a sum")
    layer = _driven(bench, subject)
    hits = layer.real.ands()
    tested = ~np.isnan(hits)
    if not tested.any():
        raise NotChecked("in the text no neuron has two members that occur alone, and two that occur together")
    why = "in the text no neuron has two members that occur alone, and two that occur together: {}"
    return Measurement(
        value=float(hits[tested].mean()),
        interval=_interval(bench, subject, layer, hits),
        n_examined=int(tested.sum()),
        n_excluded=layer.n_dead + int((~tested).sum()),
        nulls=tuple(
            _compare(bench, subject, layer, name, hits, one.ands(), why) for name, one in layer.stand_ins.items()
        ),
        details={"positions_together": int(layer.real.seen_together.sum())}
        | _about(layer)
        | excluded(bench, subject.basis),
    )


def _prefix(subject: Subject) -> str:
    return "" if subject.expert is None else f"experts.{subject.expert}."


def _driven(bench: Workbench, subject: Subject) -> Layer:
    """How bundle members drive the layer's neurons and those of each null."""
    return bench.once(("driven", subject.basis, *place_of(subject)), lambda: _drive_all(bench, subject))


def _drive_all(bench: Workbench, subject: Subject) -> Layer:
    basis, place = subject.basis, place_of(subject)
    found = token_bundles(bench, basis, *place)
    words, stream = token_dictionary(bench, basis), first_stream(bench, basis)
    neurons = layer_neurons(bench, basis, *place)
    alive = np.flatnonzero(~found.dead)
    unit = live_rows(neurons).unit
    labels = neuron_clusters(bench, basis, *place)
    n = len(unit)
    asked = np.sort(bench.rng("neurons of the nulls", subject.id).choice(n, min(n, NULL_NEURONS), replace=False))

    def driven(vectors: NDArray[np.float32], bundles: Bundles) -> Driven:
        return driven_by_members(stream.read, stream.tokens, stream.counted, vectors, bundles)

    changed = exchanged(bench, basis, place, unit, labels, asked)
    progress = bench.progress(f"bundles to ask on text ({basis}), nulls")
    every = np.concatenate([*changed.values()])
    fitted = greedy_pursuit(every, words, PURSUIT_TOKENS, device=bench.torch_device, progress=progress)
    starts = range(0, len(every), len(asked))
    stand_ins = {
        name: driven(one, fitted.part(start, start + len(asked)))
        for (name, one), start in zip(changed.items(), starts, strict=True)
    }
    return Layer(driven(neurons, found).of(alive), labels, asked, stand_ins, len(neurons) - n)


def first_stream(bench: Workbench, basis: Basis) -> Stream:
    """The first layer's MLP input on the text. Raises NotChecked for a model that cannot read text."""

    def collect() -> Stream:
        hook = "blocks.0.mlp.hook_in"
        label = f"the first layer on text ({basis})"
        seen = [(one.window, one.cache[hook]) for one in read(bench, basis, (hook,), label, stop_at_layer=1)]
        return Stream(
            tuple(stream for _, stream in seen),
            tuple(window.tokens for window, _ in seen),
            tuple(in_text(window) for window, _ in seen),
        )

    return bench.once(("first stream", basis), collect)


def _interval(bench: Workbench, subject: Subject, layer: Layer, values: NDArray[np.float64]) -> Interval:
    """Bootstrap over clusters of the neurons that the text tests."""
    tested = ~np.isnan(values)
    labels = np.unique(layer.labels[tested], return_inverse=True)[1]
    return bootstrap_share(values[tested], labels, bench.rng("bootstrap", subject.id))


def _compare(
    bench: Workbench,
    subject: Subject,
    layer: Layer,
    name: str,
    values: NDArray[np.float64],
    null_values: NDArray[np.float64],
    why: str,
) -> NullMeasurement:
    """A null's mean; p from exchanging whole clusters of neurons at random between those asked and their stand-ins.

    Neurons that the text does not test are ignored.
    """
    labels = layer.labels[layer.asked]
    own, tested = ~np.isnan(values[layer.asked]), ~np.isnan(null_values)
    if not tested.any() or not own.any():
        raise NotChecked(why.format(name if own.any() else "those neurons that have stand-ins"))
    first, second = values[layer.asked][own], null_values[tested]
    rng = bench.rng("relabelled", name, subject.id)
    drawn = relabelled_groups(first, labels[own], second, labels[tested], rng)
    gap = float(first.mean() - second.mean())
    groups = np.unique(labels[tested], return_inverse=True)[1]
    spread = float(np.sqrt(np.sum(np.bincount(groups, second - second.mean()) ** 2)) / len(second))
    return NullMeasurement.of_exchanges(name, float(second.mean()), spread, len(second), gap, drawn)


def _about(layer: Layer) -> dict[str, int]:
    return {"null_neurons": len(layer.asked), "clusters": int(layer.labels.max()) + 1}
