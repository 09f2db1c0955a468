"""Links between layers, against a count one by one, planted ones, and layers that share what is no link."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fixtures import null_circuits
from fixtures.planted import fed_weights
from fixtures.small_models import Sizes, Weights
from vsa_checks import nulls, theory
from vsa_checks.links import (
    KEPT_AXES,
    RANDOM_LINK,
    excess,
    flipped_coordinates,
    flipped_on_own_axes,
    from_tendencies,
    leads,
    link_cut,
    linked_readers,
    shared_axes,
)
from vsa_checks.orthogonality import live_rows

Rows = NDArray[np.float32]
EIGHT = Sizes(n_layers=8, d_mlp=100)


def layers_of(weights: Weights) -> tuple[list[Rows], list[Rows]]:
    return (
        [live_rows(rows).unit for rows in weights.W_out],
        [live_rows(np.ascontiguousarray(columns.T)).unit for columns in weights.W_in],
    )


def shares_of(writers: list[Rows], readers: list[Rows]) -> NDArray[np.float64]:
    return linked_readers(writers.__getitem__, readers.__getitem__, len(writers)).shares()


def test_links_are_those_counted_one_by_one() -> None:
    rng = np.random.default_rng(0)
    outputs = [nulls.random_directions(n, 4, rng) for n in (5, 7, 6)]
    inputs = [nulls.random_directions(n, 4, rng) for n in (40, 1500, 30)]  # more readers than a strip holds
    inputs[1][3], inputs[2][4] = -outputs[0][2], outputs[1][6]  # of either sign
    found = linked_readers(outputs.__getitem__, inputs.__getitem__, 3)
    assert found.n_readers() == [40, 1500, 30]
    chosen = [np.array([0, 1]), np.array([3]), np.array([4, 5, 6])]
    for source in range(3):
        cut = link_cut(4, len(outputs[source]))
        for target in range(3):
            if source == target:
                assert found.shares()[source, target] == 0
                continue
            linked = [any(abs(float(a @ b)) > cut for a in outputs[source]) for b in inputs[target]]
            assert found.readers[source, target].tolist() == linked
            assert found.shares()[source, target] == np.mean(linked)
            assert found.shares(chosen)[source, target] == np.mean([linked[place] for place in chosen[target]])
    assert found.readers[0, 1][3] and found.readers[1, 2][4]


def test_layers_in_memory_change_nothing_and_are_loaded_no_more_often_than_needed() -> None:
    rng = np.random.default_rng(0)
    outputs, inputs = ([nulls.random_directions(20, 8, rng) for _ in range(5)] for _ in range(2))
    whole = shares_of(outputs, inputs)
    for held in (1, 2, 4):
        loaded: list[int] = []
        steps: list[tuple[int, int]] = []

        def write(layer: int, loaded: list[int] = loaded) -> Rows:
            loaded.append(layer)
            return outputs[layer]

        def tell(n: int, of: int, steps: list[tuple[int, int]] = steps) -> None:
            steps.append((n, of))

        again = linked_readers(write, inputs.__getitem__, 5, tell, held).shares()
        assert np.array_equal(again, whole)
        assert loaded == [0, 1, 2, 3, 4]
        assert steps == [(n, 20) for n in range(1, 21)]


@pytest.mark.parametrize("n_writers", [1, 30, 3000])
def test_a_random_reader_is_linked_once_in_a_hundred_times_however_many_writers(n_writers: int) -> None:
    rng = np.random.default_rng(1)
    layers = [nulls.random_directions(n, 24, rng) for n in (n_writers, 20_000)]
    share = linked_readers(layers.__getitem__, lambda layer: layers[1], 2).shares()[0, 1]
    assert share == pytest.approx(RANDOM_LINK, abs=5 * np.sqrt(RANDOM_LINK / 20_000))
    assert 1 - (1 - theory.cosine_tail(24, link_cut(24, n_writers))) ** n_writers == pytest.approx(RANDOM_LINK)


def test_the_excess_counts_layers_read_per_neuron() -> None:
    shares = np.array([[0.0, 0.3, 0.2], [0.1, 0.0, 0.5], [0.05, 0.0, 0.0]])
    assert leads(shares).tolist() == pytest.approx([0.3 - 0.1, 0.2 - 0.05, 0.5 - 0.0])
    assert excess(leads(shares), 3) == pytest.approx((0.2 + 0.15 + 0.5) / 2)
    everything_forward = np.triu(np.ones((6, 6)), 1)  # the layers after the first read 1, 2, 3, 4 and 5 layers
    assert excess(leads(everything_forward), 6) == pytest.approx(3.0)


@pytest.mark.parametrize("d_mlp", [100, 400, pytest.param(1600, marks=pytest.mark.slow)])
@pytest.mark.parametrize("share", [1.0, 0.2, 0.05, 0.0])
def test_the_planted_share_comes_back_at_every_width(share: float, d_mlp: int) -> None:
    sizes = Sizes(n_layers=8, d_mlp=d_mlp)
    found = excess(leads(shares_of(*layers_of(fed_weights(sizes, share=share, seed=3)))), 8)
    # Linked layers count once, also the one in a hundred that chance would link.
    assert found == pytest.approx(share * (1 - RANDOM_LINK), abs=0.03 if d_mlp == 100 else 0.015)


def test_flips_keep_what_layers_share_and_lose_single_vectors() -> None:
    rng = np.random.default_rng(4)
    spectrum = np.arange(1.0, 33.0) ** -0.7
    shared = np.linalg.qr(rng.standard_normal((32, 1)))[0].astype(np.float32)
    rows = live_rows((rng.standard_normal((4000, 32)) * spectrum + 0.5).astype(np.float32)).unit
    own = flipped_on_own_axes(rows, shared, rng)
    assert np.linalg.norm(own, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert own @ shared == pytest.approx(rows @ shared, abs=1e-5)
    assert own.T @ own == pytest.approx(rows.T @ rows, abs=0.02 * len(rows) * spectrum[0] ** 2)
    assert own.mean(axis=0) == pytest.approx(rows.mean(axis=0), abs=0.01)
    rest = rows - rows @ shared @ shared.T
    axes = np.linalg.eigh(rest.T.astype(np.float64) @ rest)[1][:, ::-1]
    before, after = rest @ axes, (own - rows @ shared @ shared.T) @ axes
    assert np.abs(after) == pytest.approx(np.abs(before), abs=1e-4)  # energy on every axis
    assert after[:, :KEPT_AXES] == pytest.approx(before[:, :KEPT_AXES], abs=1e-4)
    turned = np.sign(after[:, KEPT_AXES:-1]) != np.sign(before[:, KEPT_AXES:-1])
    assert turned.mean() == pytest.approx(0.5, abs=0.01)
    assert np.corrcoef(turned[:, 0], turned[:, 1])[0, 1] == pytest.approx(0.0, abs=0.05)
    coordinates = flipped_coordinates(rows, rng)
    assert np.array_equal(np.abs(coordinates), np.abs(rows))
    assert (coordinates != rows).mean() == pytest.approx(0.5, abs=0.01)


def test_shared_axes_hold_what_is_large_in_all_layers() -> None:
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((20, 20)))[0]
    moment = basis @ np.diag(np.arange(20.0)[::-1]) @ basis.T
    found = shared_axes([moment - 1.0, np.ones((20, 20))])
    assert found.shape == (20, KEPT_AXES)
    assert np.abs(basis[:, :KEPT_AXES].T @ found) == pytest.approx(np.eye(KEPT_AXES), abs=1e-5)


FADED = {
    "one direction": null_circuits.faded_directions,
    "a subspace": null_circuits.faded_subspace,
    "clusters": null_circuits.faded_clusters,
    "spectra": null_circuits.faded_spectra,
    "a subspace that drifts": null_circuits.drifting_subspace,
}


@pytest.mark.parametrize("name", FADED)
def test_what_layers_share_links_as_many_readers_after_flips(name: str) -> None:
    """No neuron reads another here, and yet earlier layers are linked far more often than later ones."""
    found, kept = [], []
    for seed in range(4):
        writers, readers = layers_of(FADED[name](EIGHT, seed=seed))
        axes = shared_axes(rows.T.astype(np.float64) @ rows for rows in writers + readers)
        rng = np.random.default_rng([seed, 1])
        flipped = [flipped_on_own_axes(rows, axes, rng) for rows in writers]
        found.append(excess(leads(shares_of(writers, readers)), 8))
        kept.append(excess(leads(shares_of(flipped, readers)), 8))
    assert np.mean(found) > 0.8
    assert np.mean(kept) == pytest.approx(np.mean(found), rel=0.07)


@pytest.mark.parametrize("rank", [16, 24])
def test_a_wide_space_that_drifts_links_as_many_readers_if_vectors_stay_in_it(rank: int) -> None:
    """The axes that all layers share are oblique to it: to keep what lies along them leads out of the space."""
    found: list[float] = []
    left: list[float] = []
    stayed: list[float] = []
    for seed in range(8):
        writers, readers = layers_of(null_circuits.drifting_subspace(EIGHT, rank=rank, seed=seed))
        axes = shared_axes(rows.T.astype(np.float64) @ rows for rows in writers + readers)
        found.append(excess(leads(shares_of(writers, readers)), 8))
        for kept, shared in ((left, axes), (stayed, None)):
            rng = np.random.default_rng([seed, 1])
            flipped = [flipped_on_own_axes(rows, shared, rng) for rows in writers]
            kept.append(excess(leads(shares_of(flipped, readers)), 8))
    assert np.mean(left) < 0.9 * np.mean(found)
    assert np.mean(stayed) == pytest.approx(np.mean(found), rel=0.07)


def test_heavy_tails_link_as_many_readers_after_flips_of_coordinates() -> None:
    found, kept = [], []
    for seed in range(6):
        writers, readers = layers_of(null_circuits.faded_tails(EIGHT, seed=seed))
        flipped = [
            flipped_coordinates(rows, np.random.default_rng([seed, layer])) for layer, rows in enumerate(writers)
        ]
        found.append(excess(leads(shares_of(writers, readers)), 8))
        kept.append(excess(leads(shares_of(flipped, readers)), 8))
    assert np.mean(found) > 0.08
    assert np.mean(kept) == pytest.approx(np.mean(found), abs=0.03)


def test_tendencies_are_fitted_by_a_product_with_all_sums_kept() -> None:
    rng = np.random.default_rng(0)
    off = 1 - np.eye(6)
    product = np.outer(rng.uniform(0.1, 1, 6), rng.uniform(0.1, 1, 6)) * off
    assert from_tendencies(product) == pytest.approx(product, abs=1e-7)
    shares = rng.uniform(0, 1, (6, 6)) * off
    shares[2] = 0.0  # a layer that writes nothing that is read
    fitted = from_tendencies(shares)
    assert np.array_equal(np.diag(fitted), np.zeros(6))
    for axis in (0, 1):
        assert fitted.sum(axis=axis) == pytest.approx(shares.sum(axis=axis), abs=1e-6)
    # a product: all 2 x 2 blocks off the diagonal have no determinant
    assert fitted[0, 3] * fitted[1, 4] == pytest.approx(fitted[0, 4] * fitted[1, 3])
