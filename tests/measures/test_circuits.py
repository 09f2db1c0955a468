"""Links between layers, against a count one by one; layers in random order; ranks along a path."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
from scipy import stats

from vsa_checks import nulls, theory
from vsa_checks.sections.circuits import ROTATION_TAIL, Shares, _order_test, _over_layers, linked_shares


def test_shares_are_those_counted_one_by_one() -> None:
    rng = np.random.default_rng(0)
    outputs = [nulls.random_directions(n, 8, rng) for n in (5, 7, 6)]
    inputs = [nulls.random_directions(n, 8, rng) for n in (4, 9, 3)]
    found = linked_shares(outputs.__getitem__, inputs.__getitem__, 3, 0.5)
    for held in (1, 2):  # the same with fewer layers in memory
        again = linked_shares(outputs.__getitem__, inputs.__getitem__, 3, 0.5, None, held)
        assert np.array_equal(again.table, found.table)
        assert np.array_equal(again.n_pairs, found.n_pairs)
    for source in range(3):
        for target in range(3):
            hits = sum(abs(float(a @ b)) > 0.5 for a in outputs[source] for b in inputs[target])
            n = len(outputs[source]) * len(inputs[target])
            assert found.n_pairs[source, target] == n
            assert found.table[source, target] == (hits / n if source != target else 0.0)


def test_random_layers_are_linked_as_seldom_as_the_law_says() -> None:
    rng = np.random.default_rng(1)
    layers = [nulls.random_directions(400, 48, rng) for _ in range(4)]
    cut = theory.cosine_quantile(48, ROTATION_TAIL)
    found = linked_shares(layers[:2].__getitem__, layers[2:].__getitem__, 2, cut)
    assert found.table[0, 1] == pytest.approx(ROTATION_TAIL, rel=0.3)
    assert theory.cosine_tail(48, cut) == pytest.approx(ROTATION_TAIL, rel=1e-6)


def test_ratios_set_forward_over_acausal_and_survive_a_share_of_zero() -> None:
    table = np.array([[0.0, 0.30, 0.2], [0.10, 0.0, 0.0], [0.1, 0.05, 0.0]])
    ratios = Shares(table, np.full((3, 3), 1000)).ratios(list(combinations(range(3), 2)))
    assert ratios == pytest.approx([0.3005 / 0.1005, 0.2005 / 0.1005, 0.0005 / 0.0505])


def test_layers_in_all_orders_have_an_exact_p() -> None:
    rng = np.random.default_rng(0)
    for n_layers in (3, 4, 5):
        pairs = list(combinations(range(n_layers), 2))
        logs = rng.standard_normal(len(pairs))
        lead = {pair: np.sign(log) for pair, log in zip(pairs, logs, strict=True)}

        def forward(order: tuple[int, ...], lead: dict[tuple[int, int], float] = lead) -> float:
            return sum(lead[a, b] if a < b else -lead[b, a] for a, b in combinations(order, 2))

        found = np.array([forward(order) for order in permutations(range(n_layers))])
        null = _order_test("orders", logs, 1.0, n_layers, rng)
        assert null.p_value == pytest.approx(np.mean(found >= found[0]))
        assert null.p_opposite == pytest.approx(np.mean(found <= found[0]))
        assert (null.value, null.n) == (1.0, len(found) - 1)
    nothing = _order_test("orders", np.zeros(3), 1.0, 3, rng)
    assert (nothing.p_value, nothing.p_opposite, nothing.spread) == (1.0, 1.0, 0.0)


def test_all_pairs_forward_are_one_order_in_all() -> None:
    logs = np.full(10, 0.3)
    null = _order_test("orders", logs, 2.0, 5, np.random.default_rng(0))
    assert null.p_value == pytest.approx(1 / 120)
    assert null.value == 2.0
    drawn = _order_test("orders", np.full(66, 0.3), 1.0, 12, np.random.default_rng(0))
    assert (drawn.n, drawn.p_value, drawn.p_opposite) == (9_999, 1e-4, 1.0)


@pytest.mark.slow
def test_layers_that_differ_in_no_order_are_not_taken_for_forward_links() -> None:
    """Layers whose writers and readers share a direction more or less: all pairs of one odd layer lean one way."""
    rng = np.random.default_rng(1)
    upper = np.triu_indices(12, 1)
    found = []
    for _ in range(200):
        strength = rng.standard_normal(12)
        logs = (strength[:, None] - strength)[upper]
        wins = int(np.count_nonzero(logs > 0))
        found.append((_order_test("orders", logs, 1.0, 12, rng).p_value, stats.binom.sf(wins - 1, len(logs), 0.5)))
    orders, pairs = np.array(found).T
    assert np.mean(orders <= 0.05) < 0.1
    assert np.mean(pairs <= 0.05) > 0.15


def test_the_interval_draws_layers_so_that_one_odd_layer_widens_it() -> None:
    pairs = list(combinations(range(8), 2))
    even = np.ones(len(pairs))
    odd = np.array([5.0 if 0 in pair or 1 in pair or 2 in pair else 1.0 for pair in pairs])
    flat = _over_layers(even, pairs, 8, np.random.default_rng(0))
    wide = _over_layers(odd, pairs, 8, np.random.default_rng(0))
    assert (flat.low, flat.high, flat.unit) == (1.0, 1.0, "layers")
    assert (wide.low, wide.high) == (1.0, 5.0)
