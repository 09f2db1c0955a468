"""Section 3.3: MLP neurons read what neurons of earlier layers write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsa_checks.errors import NotChecked
from vsa_checks.figures import kept
from vsa_checks.figures.store import words
from vsa_checks.judging.measurement import Measurement, NullMeasurement
from vsa_checks.judging.subjects import Subject
from vsa_checks.links import (
    RANDOM_LINK,
    Links,
    Rows,
    excess,
    flipped_coordinates,
    flipped_on_own_axes,
    from_tendencies,
    leads,
    link_cut,
    linked_readers,
    shared_axes,
)
from vsa_checks.models import Basis
from vsa_checks.orthogonality import Live, live_rows, second_moment
from vsa_checks.sections.neurons import layer_neurons
from vsa_checks.sections.tokens import excluded
from vsa_checks.sections.unions import gain_of_unions
from vsa_checks.statistics import RESAMPLES, Interval, orders, tail_p
from vsa_checks.workbench.access import Workbench

OWN_AXES, OWN_SPACE = "signs flipped on the layer's axes", "signs flipped in the layer's own space"
COORDINATES = "signs flipped on the coordinates"
TENDENCIES = "layers' own tendencies to write and to read"
LEAST_LAYERS = 3
MOST_LINKS = 200
"""Number of closest pairs of neurons kept for pictures."""
NULL_READERS = 512
"""Most readers of a layer, drawn at random, that are compared with layers with flipped signs."""
MARGIN = 0.1
"""p tests whether the excess is beyond the null's by more than this share of it. What layers have in common is known
only from a sample of vectors, so a null may miss a little of it."""


def mlp_to_mlp(bench: Workbench, subject: Subject) -> Measurement:
    """Mean number of earlier layers' outputs with which a neuron's input vector is linked, minus that of later layers.

    A vector is linked with a layer if its largest |cos| with the layer's rows of W_out is above a cut that 1% of random
    directions exceed. W_out is taken as it writes to the stream, with the gain of a norm that follows it. The
    nulls are the same with signs flipped in W_out. Raises NotChecked with fewer than three layers, or if no neuron of a
    layer has a direction.
    """
    assert subject.matrix is not None
    basis, matrix = subject.basis, subject.matrix
    n_layers = bench.model(basis).info.n_layers
    if n_layers < LEAST_LAYERS:
        raise NotChecked(f"{n_layers} layers are too few: under {LEAST_LAYERS} there are no pairs of layers to compare")
    label = f"links between MLP layers, {matrix} ({basis})"
    held = bench.layers_held(basis)

    # Rows without a direction are left out. The numbers of the others are noted while reading, because reading the
    # weights of all layers again takes long.
    writing, reading = dict[int, NDArray[np.int64]](), dict[int, NDArray[np.int64]]()

    def outputs(layer: int) -> Rows:
        found = _outputs(bench, basis, layer)
        writing[layer] = found.rows
        return found.unit

    def inputs(layer: int) -> Rows:
        found = live_rows(layer_neurons(bench, basis, layer, matrix))
        reading[layer] = found.rows
        return found.unit

    real = bench.once(
        ("links", basis, matrix), lambda: linked_readers(outputs, inputs, n_layers, bench.progress(label), held)
    )
    shares = real.shares()
    lead = leads(shares)
    value = excess(lead, n_layers)
    counts = real.n_readers()
    chosen = [
        np.sort(bench.rng("readers", matrix, layer).choice(n, min(n, NULL_READERS), replace=False))
        for layer, n in enumerate(counts)
    ]
    some = leads(real.shares(chosen))

    def shared() -> Rows:
        return shared_axes(second_moment(rows(layer)) for rows in (outputs, inputs) for layer in range(n_layers))

    axes = bench.once(("shared axes", basis, matrix), shared)

    def flipped(name: str) -> NDArray[np.float64]:
        draws = [bench.rng(name, layer) for layer in range(n_layers)]

        def flip(layer: int, unit: Rows) -> Rows:
            if name == COORDINATES:
                return flipped_coordinates(unit, draws[layer])
            return flipped_on_own_axes(unit, axes if name == OWN_AXES else None, draws[layer])

        def readers(layer: int) -> Rows:
            return inputs(layer)[chosen[layer]]

        progress = bench.progress(f"{label}, {name}")
        return linked_readers(outputs, readers, n_layers, progress, held, flip).shares()

    null_shares = {name: flipped(name) for name in (OWN_AXES, OWN_SPACE, COORDINATES)}
    rng = bench.rng("bootstrap", subject.id)
    tendencies = from_tendencies(shares)
    against = {name: (some, leads(null)) for name, null in null_shares.items()} | {
        TENDENCIES: (lead, leads(tendencies))
    }
    bench.picture(
        kept.of(kept.LINKS, basis, None, matrix),
        lambda: _picture(real, {"neurons": shares, **null_shares, TENDENCIES: tendencies}, writing, reading),
    )
    return Measurement(
        value=value,
        interval=_over_layers(lead, n_layers, rng),
        n_examined=sum(counts),
        nulls=tuple(_order_test(name, value, own, null, n_layers, rng) for name, (own, null) in against.items()),
        details={
            "share_of_random_directions": RANDOM_LINK,
            "cosine_cut": link_cut(bench.model(basis).info.d_model, len(outputs(0))),
            "mean_layers_forward": float(np.triu(shares, 1).sum() / (n_layers - 1)),
            "mean_layers_acausal": float(np.tril(shares, -1).sum() / (n_layers - 1)),
            "curve": _by_distance({"neurons": shares, **null_shares, TENDENCIES: tendencies}, n_layers),
            "union": gain_of_unions(bench, subject, outputs(0), inputs, n_layers),
        }
        | excluded(bench, basis),
    )


def _picture(
    links: Links,
    tables: dict[str, NDArray[np.float64]],
    writing: Mapping[int, NDArray[np.int64]],
    reading: Mapping[int, NDArray[np.int64]],
) -> dict[str, NDArray[np.generic]]:
    """How many readers are linked between any two layers, and the neurons most closely linked forward.

    `writing` and `reading` give, by layer, the neuron number of each row with a direction.
    """
    forward = [(pair, one) for pair, one in links.closest.items() if pair[0] < pair[1]]
    strongest = sorted(forward, key=lambda item: (-abs(item[1].cosine), item[0]))[:MOST_LINKS]
    named = [(i, int(writing[i][one.writer]), j, int(reading[j][one.reader])) for (i, j), one in strongest]
    return {
        "shares": np.stack(list(tables.values())).astype(np.float32),
        "names": words(list(tables)),
        "strongest": np.array(named, np.int32).reshape(-1, 4),
        "strongest_cosines": np.array([one.cosine for _, one in strongest], np.float32),
    }


def _outputs(bench: Workbench, basis: Basis, layer: int) -> Live:
    found = live_rows(bench.written(basis, layer, "W_out"))
    if len(found.unit) < 2:
        raise NotChecked(f"fewer than two rows of W_out in layer {layer} have a direction")
    return found


def _over_layers(lead: NDArray[np.float64], n_layers: int, rng: np.random.Generator) -> Interval:
    """Bootstrap of the excess. Layers are drawn, because pairs that share a layer are not independent."""
    earlier, later = np.triu_indices(n_layers, 1)
    found: list[float] = []
    while len(found) < RESAMPLES:
        drawn = np.bincount(rng.integers(0, n_layers, n_layers), minlength=n_layers)
        weights = drawn[earlier] * drawn[later]
        if weights.any():
            found.append(excess(len(lead) * weights * lead / weights.sum(), n_layers))
    low, high = np.quantile(found, [0.025, 0.975])
    return Interval(float(low), float(high), "layers")


def _order_test(
    name: str,
    value: float,
    lead: NDArray[np.float64],
    null_lead: NDArray[np.float64],
    n_layers: int,
    rng: np.random.Generator,
) -> NullMeasurement:
    """How often layers in random order have an excess this large above 1.1 times the null's.

    `lead` and `null_lead` hold the lead of each pair of layers (earlier, later); in reverse order its sign flips. Pairs
    that share a layer are not independent, so layers are the units.
    """
    upper = np.triu_indices(n_layers, 1)
    drawn_orders = orders(n_layers, rng)
    margin = MARGIN if excess(null_lead, n_layers) > 0 else 0.0

    def tail(above: NDArray[np.float64], direction: str) -> tuple[float, NDArray[np.float64]]:
        table = np.zeros((n_layers, n_layers))
        table[upper] = above
        table -= table.T
        drawn = table[drawn_orders[:, upper[0]], drawn_orders[:, upper[1]]].sum(axis=1) / (n_layers - 1)
        # Sums of the same numbers in a different order may differ in their last digits.
        near = 1e-9 * np.abs(above).sum() * (1 if direction == "<=" else -1)
        return tail_p(excess(above, n_layers) + near, drawn, direction), drawn

    p_value, drawn = tail(lead - (1 + margin) * null_lead, ">=")
    return NullMeasurement(
        name,
        value - excess(lead - null_lead, n_layers),
        float(drawn.std(ddof=1)),
        len(drawn),
        p_value,
        tail(lead - null_lead, "<=")[0],
    )


def _by_distance(tables: dict[str, NDArray[np.float64]], n_layers: int) -> dict[str, Any]:
    """Mean share of linked readers by the number of layers from writer to reader (negative: the reader is earlier)."""
    steps = [step for step in range(1 - n_layers, n_layers) if step]
    return {
        "x_label": "layers from writer to reader",
        "y_label": "share of readers linked with a layer",
        "x": steps,
        "series": [
            {"name": name, "y": [float(np.mean(np.diagonal(table, step))) for step in steps]}
            for name, table in tables.items()
        ],
    }
