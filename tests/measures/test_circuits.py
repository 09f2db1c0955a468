"""The excess of forward links on a model: its null by random orders of the layers, and its interval over layers."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest

from vsa_checks.links import excess
from vsa_checks.sections.circuits import _by_distance, _order_test, _over_layers


def test_layers_in_all_orders_have_an_exact_p() -> None:
    rng = np.random.default_rng(0)
    for n_layers in (3, 4, 5):
        pairs = list(combinations(range(n_layers), 2))
        above = rng.standard_normal(len(pairs))
        lead = dict(zip(pairs, above, strict=True))

        def forward(order: tuple[int, ...], lead: dict[tuple[int, int], float] = lead) -> float:
            return sum(lead[a, b] if a < b else -lead[b, a] for a, b in combinations(order, 2))

        found = np.array([forward(order) for order in permutations(range(n_layers))])
        null = _order_test("orders", 7.0, above, 0.0 * above, n_layers, rng)
        assert null.p_value == pytest.approx(np.mean(found >= found[0] - 1e-9))
        assert null.p_opposite == pytest.approx(np.mean(found <= found[0] + 1e-9))
        assert null.value == pytest.approx(7.0 - above.sum() / (n_layers - 1))
        assert null.spread == pytest.approx(np.std(found[1:], ddof=1) / (n_layers - 1))
        assert null.n == len(found) - 1
    nothing = _order_test("orders", 1.0, np.zeros(3), np.zeros(3), 3, rng)
    assert (nothing.p_value, nothing.p_opposite, nothing.spread) == (1.0, 1.0, 0.0)


def test_all_pairs_forward_are_one_order_in_all() -> None:
    null = _order_test("orders", 2.0, np.full(10, 0.5), np.full(10, 0.2), 5, np.random.default_rng(0))
    assert null.p_value == pytest.approx(1 / 120)
    assert null.value == pytest.approx(2.0 - 0.75)
    drawn = _order_test("orders", 1.0, np.full(66, 0.3), np.zeros(66), 12, np.random.default_rng(0))
    assert (drawn.n, drawn.p_value, drawn.p_opposite) == (9_999, 1e-4, 1.0)


def test_an_excess_within_a_tenth_of_the_nulls_is_not_told_from_it() -> None:
    null_lead = np.full(66, 0.3)
    for above, told in ((0.05, False), (0.15, True)):
        null = _order_test("orders", 2.0, null_lead * (1 + above), null_lead, 12, np.random.default_rng(0))
        assert (null.p_value <= 0.01) == told
        assert null.value == pytest.approx(2.0 - above * 66 * 0.3 / 11)
    below = _order_test("orders", 2.0, -0.1 * null_lead, -null_lead, 12, np.random.default_rng(0))
    assert below.p_value <= 0.01


@pytest.mark.slow
def test_layers_that_differ_in_no_order_are_not_taken_for_forward_links() -> None:
    """Layers whose writers and readers share a direction more or less: all pairs of one odd layer lean one way."""
    rng = np.random.default_rng(1)
    upper = np.triu_indices(12, 1)
    found = []
    for _ in range(200):
        strength = rng.standard_normal(12)
        lead = (strength[:, None] - strength)[upper]
        found.append(_order_test("orders", 1.0, lead, 0.0 * lead, 12, rng).p_value)
    assert np.mean(np.array(found) <= 0.05) < 0.1


def test_the_interval_draws_layers_so_that_one_odd_layer_widens_it() -> None:
    pairs = list(combinations(range(8), 2))
    even = np.full(len(pairs), 0.1)
    odd = np.array([0.5 if 0 in pair else 0.1 for pair in pairs])
    flat, wide = (_over_layers(lead, 8, np.random.default_rng(0)) for lead in (even, odd))
    assert (flat.low, flat.high) == pytest.approx((excess(even, 8), excess(even, 8)))
    assert flat.unit == "layers"
    assert wide.low == pytest.approx(excess(even, 8))  # drawn without the odd layer
    assert wide.low < excess(odd, 8) < wide.high


def test_the_curve_is_the_mean_over_pairs_of_layers_so_far_apart() -> None:
    table = np.arange(9.0).reshape(3, 3)
    curve = _by_distance({"one": table}, 3)
    assert curve["x"] == [-2, -1, 1, 2]
    assert curve["series"] == [{"name": "one", "y": [6.0, (3 + 7) / 2, (1 + 5) / 2, 2.0]}]
