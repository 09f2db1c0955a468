"""VSA operations against the same written one vector at a time, and against torch-hd where it computes the same.

torch-hd binds by vectors where the paper binds by matrices: its MAP, HRR and VTB models are the diagonal, circulant and
block-diagonal matrices. Its tests are skipped where it is not installed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tests import oracles
from tests.oracles import CLOSE, Rows
from vsa_checks.nulls import random_directions
from vsa_checks.premise import constructions
from vsa_checks.premise import operations as vsa
from vsa_checks.premise.trials import Simulated


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def unit(n: int, d: int, seed: int = 0) -> Rows:
    rows = rng(seed).standard_normal((n, d))
    return rows / np.sqrt((rows**2).sum(axis=1, keepdims=True))


WORDS = unit(30, 16)
MEMBERS = constructions.draw_bundles(30, 4, 60, rng(1))


@pytest.fixture(params=["at once", "by blocks"])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once as it is, and once with so little scratch memory that the work is done 16 rows at a time."""
    if request.param == "by blocks":
        monkeypatch.setattr(vsa, "BLOCK_BYTES", 1)


# --- one vector at a time -------------------------------------------------------------------------------------


def test_bundle_is_the_plain_sum() -> None:
    expected = [sum(WORDS[i] for i in row) for row in MEMBERS]
    np.testing.assert_allclose(vsa.bundle(WORDS, MEMBERS), expected, rtol=0, atol=1e-14)
    assert vsa.bundle(WORDS.astype(np.float32), MEMBERS).dtype == np.float32
    assert vsa.bundle([[1, 2], [3, 4]], np.array([[0, 1]], np.uint8)).dtype == np.float64
    np.testing.assert_array_equal(vsa.bundle([[1, 2], [3, 4]], [[0, 1], [1, 1]]), [[4, 6], [6, 8]])


def test_bind_and_unbind_multiply_rows_by_the_matrix_and_its_transpose() -> None:
    matrix = rng(2).standard_normal((16, 5))
    bound = np.array([[sum(w[i] * matrix[i, j] for i in range(16)) for j in range(5)] for w in WORDS])
    np.testing.assert_allclose(vsa.bind(WORDS, matrix), bound, rtol=0, atol=1e-13)
    back = np.array([[sum(b[j] * matrix[i, j] for j in range(5)) for i in range(16)] for b in bound])
    np.testing.assert_allclose(vsa.unbind(bound, matrix), back, rtol=0, atol=1e-13)


@pytest.mark.usefixtures("blocks")
def test_cleanup_names_the_row_of_largest_dot_product() -> None:
    queries = rng(3).standard_normal((40, 16))
    expected = [max(range(30), key=lambda i: float(q @ WORDS[i])) for q in queries]
    assert vsa.cleanup(queries, WORDS).tolist() == expected
    assert vsa.cleanup(queries, WORDS).dtype == np.int64
    assert vsa.cleanup([[1, 1], [0, -1]], [[0, 0], [2, 0], [0, 2], [2, 2], [2, 2]]).tolist() == [3, 0]


def test_scratch_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many rows at a time that their dot products in float64 fit into BLOCK_BYTES, and 16 at the least."""
    seen: list[int] = []
    plain = vsa.bind
    monkeypatch.setattr(vsa, "bind", lambda rows, matrix: seen.append(len(rows)) or plain(rows, matrix))  # type: ignore[func-returns-value]
    for size, expected in ((1, [16, 16, 8]), (20 * 8 * 30, [20, 20]), (100 * 8 * 30, [40])):
        monkeypatch.setattr(vsa, "BLOCK_BYTES", size)
        seen.clear()
        vsa.cleanup(rng(3).standard_normal((40, 16)), WORDS)
        assert seen == expected


@pytest.mark.usefixtures("blocks")
def test_a_vector_is_found_again_if_cleanup_of_what_was_unbound_names_it() -> None:
    matrix = rng(4).standard_normal((16, 3))
    expected = []
    for i, word in enumerate(WORDS):
        back = matrix @ (matrix.T @ word)
        expected.append(all(back @ word > back @ other for j, other in enumerate(WORDS) if j != i))
    assert vsa.found_again(WORDS, matrix).tolist() == expected
    assert 0 < sum(expected) < 30


@pytest.mark.usefixtures("blocks")
def test_a_member_is_recalled_if_it_beats_every_non_member() -> None:
    expected = []
    for row in MEMBERS:
        total = WORDS[row].sum(axis=0)
        others = [total @ WORDS[i] for i in range(30) if i not in row]
        expected.append([all(total @ WORDS[i] > other for other in others) for i in row])
    found = vsa.recalled(WORDS, MEMBERS)
    assert found.dtype == bool
    assert found.tolist() == expected
    assert 0 < found.mean() < 1
    assert vsa.recalled(np.eye(3), [[0, 2]]).tolist() == [[True, True]]
    # As good as a non-member is not enough.
    assert vsa.recalled([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [[0], [2]]).tolist() == [[False], [True]]


@pytest.mark.usefixtures("blocks")
def test_a_bundle_is_decoded_if_only_its_members_pass_one_half() -> None:
    words = unit(30, 64, 5)
    expected = []
    for row in MEMBERS:
        total = words[row].sum(axis=0)
        expected.append({i for i in range(30) if total @ words[i] > 0.5} == set(row.tolist()))
    assert vsa.decoded(words, MEMBERS).tolist() == expected
    assert 0 < sum(expected) < len(expected)
    assert vsa.decoded(words, MEMBERS).dtype == bool
    assert vsa.decoded(np.eye(3), [[0, 2], [0, 1]]).tolist() == [True, True]
    assert vsa.decoded([[1.0, 0.0], [0.5, 0.8]], [[0]]).tolist() == [True]  # 1/2 itself does not pass
    assert [bool(vsa.decoded(length * np.eye(3), [[0, 2]])[0]) for length in (0.70, 0.72)] == [False, True]
    assert [bool(vsa.decoded([[1.0, 0.0], [x, 0.8]], [[0]])[0]) for x in (0.49, 0.51)] == [True, False]


def test_a_bundle_is_recovered_if_pursuit_names_its_members() -> None:
    expected = []
    for row in MEMBERS:
        tokens, _ = oracles.pursuit(WORDS[row].sum(axis=0), WORDS, 4)
        expected.append(sorted(tokens) == sorted(row))
    assert vsa.recovered(WORDS, MEMBERS).tolist() == expected
    assert vsa.recovered(WORDS, np.zeros((0, 4), int)).dtype == bool
    assert 0 < sum(expected) < len(expected)


@pytest.mark.parametrize("n", [2, 7, 40])
def test_similarity_change_is_that_of_all_pairs(n: int) -> None:
    before, after = rng(6).standard_normal((n, 9)), rng(7).standard_normal((n, 4))
    first, second = oracles.pair_cosines(before), oracles.pair_cosines(after)
    expected = np.sqrt(np.mean([(second[pair] - first[pair]) ** 2 for pair in first]))
    assert abs(vsa.similarity_change(before, after) - expected) < CLOSE
    assert vsa.similarity_change(before, 3 * before) < CLOSE


def test_similarity_change_leaves_out_what_has_no_direction_before_or_after() -> None:
    before, after = rng(6).standard_normal((8, 9)), rng(7).standard_normal((8, 4))
    before[2] = after[5] = 0
    kept = [0, 1, 3, 4, 6, 7]
    assert abs(vsa.similarity_change(before, after) - vsa.similarity_change(before[kept], after[kept])) < CLOSE


def test_coherence_and_closest_pair_are_the_extremes_of_all_pairs() -> None:
    rows = np.concatenate([unit(9, 5, 8), np.zeros((1, 5)), -3 * unit(1, 5, 8)])
    cosines = list(oracles.pair_cosines(rows).values())
    assert vsa.coherence(rows) == pytest.approx(max(map(abs, cosines)), abs=1e-12)
    assert vsa.closest_pair(rows) == pytest.approx(max(cosines), abs=1e-12)
    assert vsa.coherence(rows) == pytest.approx(1) and vsa.closest_pair(rows) < 0.99
    assert vsa.closest_pair([[3, 0], [-1, 0], [0, 7]]) == 0.0
    assert vsa.cosine_matrix(rows.astype(np.float32), 1.0).dtype == np.float32
    np.testing.assert_allclose(vsa.cosine_matrix([[3, 0], [1, 1]], 7.0), [[7, 0.5**0.5], [0.5**0.5, 7]], rtol=1e-12)
    assert vsa.closest_pair([[1, 0], [-2, 0]]) == -1.0


# --- torch-hd -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def torchhd() -> Any:
    return importlib.import_module("torchhd")


@pytest.fixture
def draw(torchhd: Any) -> Callable[[int, str], Any]:
    """Draws so many of torch-hd's vectors of 64 dimensions, the same in every run."""
    generator = torch.Generator().manual_seed(0)
    return lambda n, model: torchhd.random(n, 64, model, generator=generator)


def test_binding_by_a_diagonal_of_signs_is_torchhds_map(torchhd: Any, draw: Callable[[int, str], Any]) -> None:
    words, key = draw(30, "MAP"), draw(1, "MAP")
    matrix = np.diag(key.numpy()[0])
    bound = torchhd.bind(words, key)
    np.testing.assert_array_equal(vsa.bind(words.numpy(), matrix), bound.numpy())
    np.testing.assert_array_equal(vsa.unbind(bound.numpy(), matrix), torchhd.bind(bound, key.inverse()).numpy())


def test_binding_by_a_circulant_matrix_is_torchhds_hrr(torchhd: Any, draw: Callable[[int, str], Any]) -> None:
    words, key = draw(30, "HRR"), draw(1, "HRR")
    matrix = np.array([np.roll(key.numpy()[0], shift) for shift in range(64)])
    bound = torchhd.bind(words, key)
    np.testing.assert_allclose(vsa.bind(words.numpy(), matrix), bound.numpy(), rtol=0, atol=CLOSE)
    back = torchhd.bind(bound, key.inverse()).numpy()
    np.testing.assert_allclose(vsa.unbind(bound.numpy(), matrix), back, rtol=0, atol=CLOSE)


def test_binding_by_blocks_is_torchhds_vtb(torchhd: Any, draw: Callable[[int, str], Any]) -> None:
    words, key = draw(30, "VTB"), draw(1, "VTB")
    matrix = np.kron(np.eye(8), np.sqrt(8) * key.numpy().reshape(8, 8).T)
    key = key.expand(30, 64)
    bound = torchhd.bind(words, key)
    np.testing.assert_allclose(vsa.bind(words.numpy(), matrix), bound.numpy(), rtol=0, atol=CLOSE)
    back = torchhd.bind(bound, key.inverse()).numpy()
    np.testing.assert_allclose(vsa.unbind(bound.numpy(), matrix), back, rtol=0, atol=CLOSE)


# --- vectors made to order ------------------------------------------------------------------------------------


def test_frames_are_orthonormal_and_favour_no_direction() -> None:
    for n, d in ((1, 1), (3, 8), (8, 8)):
        rows = constructions.frame(n, d, rng())
        np.testing.assert_allclose(rows @ rows.T, np.eye(n), rtol=0, atol=1e-12)
    source = rng(10)
    corner = np.array([np.diagonal(constructions.frame(4, 4, source)) for _ in range(1000)])
    # Entries of a uniformly random orthogonal matrix have mean 0 and variance 1/d.
    assert np.abs(corner.mean(axis=0)).max() < 4.5 / np.sqrt(4 * 1000)
    np.testing.assert_allclose(corner.var(axis=0), 0.25, atol=0.04)


def test_gaussian_matrices_keep_lengths_on_average() -> None:
    source = rng(11)
    squares = [(WORDS[0] @ constructions.gaussian_matrix(16, 8, source)) ** 2 for _ in range(2000)]
    assert Simulated.of(np.sum(squares, axis=1)).agrees(1.0)


def test_known_constructions_have_the_cosines_that_they_name() -> None:
    for d in (1, 2, 9):
        cosines = oracles.pair_cosines(constructions.simplex(d, rng()))
        assert len(constructions.simplex(d, rng())) == d + 1
        np.testing.assert_allclose(list(cosines.values()), -1 / d, rtol=0, atol=1e-12)
        polytope = constructions.cross_polytope(d, rng())
        gram = np.eye(2 * d) - np.roll(np.eye(2 * d), d, axis=0)
        np.testing.assert_allclose(polytope @ polytope.T, gram, rtol=0, atol=1e-12)
    waves = constructions.spikes_and_waves(16)
    np.testing.assert_allclose((waves**2).sum(axis=1), 1, rtol=0, atol=1e-12)
    assert vsa.coherence(waves) == pytest.approx(0.25, abs=1e-12)
    gram = np.full((4, 4), -0.2) + 1.2 * np.eye(4)
    gram[3, :3] = gram[:3, 3] = 0.2
    rows = constructions.trap(3, 0.6, 10, rng())
    np.testing.assert_allclose(rows @ rows.T, gram, rtol=0, atol=1e-12)


def test_a_fan_is_orthogonal_apart_from_its_target() -> None:
    target, rows = constructions.fan(5, 0.3, 9, rng())
    np.testing.assert_allclose(rows @ target[0], 0.3, rtol=0, atol=1e-12)
    np.testing.assert_allclose(rows @ rows.T, 0.09 + 0.91 * np.eye(5), rtol=0, atol=1e-12)
    assert (target**2).sum() == pytest.approx(1)
    # Apart from the target they are the axes of the same frame, and in its order.
    axes = constructions.frame(6, 9, rng())
    np.testing.assert_allclose(rows @ axes[1:].T, np.sqrt(0.91) * np.eye(5), rtol=0, atol=1e-12)


def test_vectors_are_packed_from_twice_as_many_draws_and_in_their_order() -> None:
    """Each draw is kept unless an earlier one that was kept lies too close."""
    source = rng(3)
    drawn = np.concatenate([random_directions(256, 20, source) for _ in range(4)])
    kept: list[int] = []
    for i, row in enumerate(drawn):
        if all(abs(row @ drawn[j]) <= 0.57 for j in kept):
            kept.append(i)
    assert 257 < len(kept) < 385
    rows = constructions.pack(256.5, 20, 0.57, rng(3))
    np.testing.assert_allclose(rows, drawn[kept[:257]], rtol=0, atol=CLOSE)
    assert rows.dtype == np.float32
    for count, d in ((1e7, 1000), (2**28 + 1, 1), (2**20, 2**8 + 1)):
        with pytest.raises(ValueError, match="too many"):
            constructions.pack(count, d, 0.1, rng())
    # 385 are wanted, and 4 times 256 drawn, of which fewer fit.
    with pytest.raises(ValueError, match=f"only {len(kept)} of 385 vectors"):
        constructions.pack(385, 20, 0.57, rng(3))


def test_bundles_are_drawn_without_repetition_and_evenly() -> None:
    assert sorted(constructions.draw_bundles(5, 5, 1, rng())[0]) == [0, 1, 2, 3, 4]
    members = constructions.draw_bundles(10, 4, 2000, rng())
    assert members.base is None, "a view would keep the orders of all vectors in memory"
    assert members.shape == (2000, 4)
    assert all(len(set(row)) == 4 for row in members.tolist())
    # Each of 10 stands in 4 of 10 bundles: 800 times, give or take 22.
    np.testing.assert_allclose(np.bincount(members.ravel(), minlength=10), 800, atol=100)


def test_a_common_mean_is_the_same_vector_for_all() -> None:
    words = WORDS.astype(np.float32)
    added = constructions.with_common_mean(words, 5.0, rng()) - words
    np.testing.assert_allclose(added, np.broadcast_to(added[0], added.shape), rtol=0, atol=CLOSE)
    np.testing.assert_allclose(added[0], 5 * random_directions(1, 16, rng())[0], rtol=0, atol=1e-5)


def test_a_twin_stands_for_its_original_in_every_bundle() -> None:
    words, members = constructions.with_a_twin(WORDS, 6, rng())
    np.testing.assert_array_equal(words[:30], WORDS)
    np.testing.assert_array_equal(words[30:], WORDS[:1])
    assert members.shape == (10, 6)
    source = rng()
    drawn = [constructions.with_a_twin(WORDS, 6, source)[1][:, 1:] for _ in range(20)]
    assert set(np.ravel(drawn)) == set(range(1, 30)), "any other vector may be a member"
    assert (members[:, 0] == 30).all() and (members[:, 1:] > 0).all() and (members[:, 1:] < 30).all()


# --- simulated numbers ----------------------------------------------------------------------------------------


def test_simulated_numbers() -> None:
    assert Simulated.of([1, 3]) == Simulated(2.0, 1.0)
    found = Simulated.of([1, 2, 3, 6])
    assert found.value == 3
    assert found.error == pytest.approx(np.sqrt(14 / 3 / 4))
    turns = iter([[1, 1], [0, 4], [3, 3, 3], [6]])
    assert Simulated.mean(4, lambda: next(turns)) == found
    assert Simulated(4.0, 0.4).root() == Simulated(2.0, 0.1)
    assert Simulated(0.0, 0.0).root() == Simulated(0.0, 0.0)
    # Of 401 evenly spaced trials the median's rank errs by 10.
    median = Simulated.quantile(np.arange(401), 0.5)
    assert median.value == 200
    assert median.error == pytest.approx(400 * 0.5 / np.sqrt(401))


def test_agreement_is_within_so_many_standard_errors_and_the_slack() -> None:
    found = Simulated(1.0, 0.1)
    assert found.agrees(1.44) and found.agrees(0.56) and not found.agrees(1.46) and not found.agrees(0.54)
    assert found.agrees(1.49, slack=0.05) and not found.agrees(1.51, slack=0.05)
    assert found.exceeds(0.54) and not found.exceeds(0.56)
    assert Simulated(1.0, 0.0).agrees(1.0) and not Simulated(1.0, 0.0).exceeds(1.0)
    sizes: list[int] = []
    Simulated(8.0, 0.5).singles_out(lambda size: sizes.append(size) or 0.0, 9)  # type: ignore[func-returns-value]
    assert sizes == [4, 9, 18]
    assert Simulated(8.0, 0.5).singles_out({4: 5.0, 8: 8.0, 16: 11.0}.__getitem__, 8)
    assert Simulated(8.0, 0.5).singles_out(float, 8)
    assert not Simulated(8.0, 0.5).singles_out(float, 16)
    assert not Simulated(8.0, 1.0).singles_out(float, 8)  # 4 agrees as well
    assert not Simulated(8.0, 0.5).singles_out(float, 8, slack=3.0)
    assert not Simulated(8.0, 0.5).singles_out(lambda size: 8.0 if size != 4 else 0.0, 8)  # 16 agrees as well


# --- input that cannot be used --------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", [vsa.bundle, vsa.recalled, vsa.decoded, vsa.recovered])
@pytest.mark.parametrize("members", [[[0, 30]], [[-1, 2]], [0, 1], [[0.0, 1.0]]])
def test_members_must_be_rows(operation: Any, members: Any) -> None:
    with pytest.raises(ValueError, match=r"all rows of 30|row numbers"):
        operation(WORDS, members)


REFUSED: dict[str, Callable[[], object]] = {
    r"\(30, 16\) and \(15, 4\)": lambda: vsa.bind(WORDS, np.ones((15, 4))),
    "expected vectors .* and a matrix": lambda: vsa.unbind(WORDS, np.ones((4, 15))),
    "expected vectors": lambda: vsa.cleanup(np.ones((3, 15)), WORDS),
    "expected vectors .*": lambda: vsa.bind(WORDS[0], np.ones((16, 4))),
    "leave none": lambda: vsa.recalled(WORDS, [list(range(30))]),
    "as many": lambda: vsa.similarity_change(WORDS, WORDS[:-1]),
    "1 .*no pair": lambda: vsa.similarity_change(WORDS[:1], WORDS[:1]),
    "0 .*no pair": lambda: vsa.coherence(np.zeros((4, 3))),
    "do not fit": lambda: constructions.frame(4, 3, rng()),
    "cannot be drawn": lambda: constructions.draw_bundles(3, 4, 1, rng()),
    "standard error": lambda: Simulated.of([1.0]),
}


@pytest.mark.parametrize("message", REFUSED)
def test_shapes_must_fit(message: str) -> None:
    with pytest.raises(ValueError, match=message):
        REFUSED[message]()
