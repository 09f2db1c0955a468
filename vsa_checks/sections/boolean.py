"""Section 2.4: first-layer neurons as OR and AND over the tokens of their bundles, on held-out text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vsa_checks import nulls
from vsa_checks.boolean import Driven, driven_by_members
from vsa_checks.bundles import Bundles, greedy_pursuit
from vsa_checks.errors import NotChecked
from vsa_checks.judging.measurement import Measurement, NullMeasurement
from vsa_checks.judging.subjects import Subject
from vsa_checks.models import Basis
from vsa_checks.sections.neurons import (
    MATCHED,
    PURSUIT_TOKENS,
    layer_neurons,
    matched_neurons,
    place_of,
    share_null,
    token_bundles,
)
from vsa_checks.sections.tokens import excluded, token_dictionary
from vsa_checks.statistics import bootstrap, relabelled_differences, tail_p
from vsa_checks.workbench.access import Workbench
from vsa_checks.workbench.activations import in_text, read

GAUSSIAN = "Gaussian neurons"


@dataclass(frozen=True)
class Stream:
    """What the first layer's MLP reads on text (n, d), token ids (n,) and which positions count (n,), by window."""

    read: tuple[NDArray[np.float32], ...]
    tokens: tuple[NDArray[np.int64], ...]
    counted: tuple[NDArray[np.bool_], ...]


def or_share(bench: Workbench, subject: Subject) -> Measurement:
    """Mean over neurons of the share of bundle members that alone drive the neuron above its 95th percentile.

    Raises NotChecked for a model that cannot read text, and if no member occurs alone in the text.
    """
    real, gaussian, matched = _all_driven(bench, subject)
    shares = real.or_shares()
    if not len(shares):
        raise NotChecked("no member of any bundle occurs alone in the text")
    return Measurement(
        value=float(shares.mean()),
        interval=bootstrap(shares, "neurons", bench.rng("bootstrap", subject.id)),
        n_examined=len(shares),
        n_excluded=len(real.seen_alone) - len(shares),
        nulls=tuple(
            _mean_null(bench, subject, name, shares, null.or_shares())
            for name, null in ((GAUSSIAN, gaussian), (MATCHED, matched))
        ),
        details={
            "members_seen_alone": int(real.seen_alone.sum()),
            "members_driving": int(real.driving_alone.sum()),
            "notes": [
                "Bundles of five tokens by pursuit. The neurons left out are those none of whose members occurs alone."
                " Null neurons' bundles are fitted the same way."
            ],
        }
        | excluded(bench, subject.basis),
    )


def and_share(bench: Workbench, subject: Subject) -> Measurement:
    """Share of neurons that no bundle member drives alone, but two or more together do.

    Raises NotChecked if the MLP has no bias, for a model that cannot read text, and if the text tests no neuron.
    """
    info = bench.model(subject.basis).info
    if bench.bias(subject.basis, 0, f"mlp.{_prefix(subject)}{'b_gate' if info.gated else 'b_in'}") is None:
        raise NotChecked("the neurons have no bias, and it is the bias that would make an AND of a sum")
    real, gaussian, matched = _all_driven(bench, subject)
    hits = real.ands()
    if not len(hits):
        raise NotChecked("in the text no neuron has two members that occur alone, and two that occur together")
    return Measurement(
        value=float(hits.mean()),
        interval=bootstrap(hits, "neurons", bench.rng("bootstrap", subject.id)),
        n_examined=len(hits),
        n_excluded=len(real.seen_alone) - len(hits),
        nulls=tuple(
            share_null(name, hits, _asked(name, null.ands()))
            for name, null in ((GAUSSIAN, gaussian), (MATCHED, matched))
        ),
        details={"positions_together": int(real.seen_together.sum())} | excluded(bench, subject.basis),
    )


def _prefix(subject: Subject) -> str:
    return "" if subject.expert is None else f"experts.{subject.expert}."


def _all_driven(bench: Workbench, subject: Subject) -> tuple[Driven, Driven, Driven]:
    """What bundle members drive: the layer's neurons, Gaussian ones, and ones of the layer's mean and covariance."""
    return bench.once(("driven", subject.basis, *place_of(subject)), lambda: _drive_all(bench, subject))


def _drive_all(bench: Workbench, subject: Subject) -> tuple[Driven, Driven, Driven]:
    basis = subject.basis
    place = place_of(subject)
    neurons = layer_neurons(bench, basis, *place)
    words, stream = token_dictionary(bench, basis), first_stream(bench, basis)
    n, d = neurons.shape

    def driven(layer: NDArray[np.float32], bundles: Bundles | None = None) -> Driven:
        label = f"bundles to ask on text ({basis})"
        found = bundles or greedy_pursuit(
            layer, words, PURSUIT_TOKENS, device=bench.torch_device, progress=bench.progress(label)
        )
        return driven_by_members(stream.read, stream.tokens, stream.counted, layer, found)

    real = driven(neurons, token_bundles(bench, basis, *place))
    gaussian = bench.once(
        ("driven gaussian", basis, n),
        lambda: driven(nulls.random_directions(n, d, bench.rng("boolean gaussian", basis))),
    )
    matched = matched_neurons(bench, basis, *place).draw(n, bench.rng("boolean matched", basis, *place[1:]))
    return real, gaussian, driven(matched)


def first_stream(bench: Workbench, basis: Basis) -> Stream:
    """What the first layer's MLP reads on the text. Raises NotChecked for a model that cannot read text."""

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


def _asked(name: str, hits: NDArray[np.bool_]) -> NDArray[np.bool_]:
    if not len(hits):
        raise NotChecked(
            f"in the text none of the {name} has two members that occur alone, and two that occur together"
        )
    return hits


def _mean_null(
    bench: Workbench, subject: Subject, name: str, shares: NDArray[np.float64], null: NDArray[np.float64]
) -> NullMeasurement:
    """The null neurons' mean share; p from exchanging neurons at random between the layer and the null."""
    if not len(null):
        raise NotChecked(f"no member of any bundle of the {name} occurs alone in the text")
    drawn = relabelled_differences(shares, null, bench.rng("relabelled", name, subject.id))
    gap = float(shares.mean() - null.mean())
    return NullMeasurement(
        name,
        float(null.mean()),
        float(null.std() / np.sqrt(len(shares))),
        len(null),
        tail_p(gap, drawn, ">="),
        tail_p(gap, drawn, "<="),
    )
