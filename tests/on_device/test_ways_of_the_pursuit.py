"""The pursuit on a device with rows of the Gram matrix, with products, with one kernel: the same bundles from each."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import oracles
from tests.oracles import Rows
from vsa_checks.bundles import Bundles, Dictionary, greedy_pursuit
from vsa_checks.engine.loops import ROUNDING
from vsa_checks.engine.on_device import gram, memory, one_pass, precision, pursuit, rivals, state, words

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
WAYS = {"rows": 0.0, "products": np.inf}
"""How soon the Gram matrix pays."""


def cut(numbers: torch.Tensor) -> torch.Tensor:
    """What TF32 keeps of float32: all but the last 13 bits."""
    return (numbers.contiguous().view(torch.int32) & ~0x1FFF).view(torch.float32)


def multiply_cut(left: torch.Tensor, right: torch.Tensor, out: torch.Tensor) -> None:
    out.copy_(cut(left) @ cut(right).T)


def gaussians(n: int, n_words: int, d: int, seed: int = 0) -> tuple[Rows, Rows]:
    rng = np.random.default_rng(seed)
    return tuple(rng.standard_normal(shape).astype(np.float32) for shape in ((n, d), (n_words, d)))  # type: ignore[return-value]


def assert_same(found: Bundles, expected: Bundles) -> None:
    np.testing.assert_array_equal(found.token_ids, expected.token_ids)
    np.testing.assert_allclose(found.cosines, expected.cosines, rtol=0, atol=1e-12)


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n_words=st.sampled_from([1, 2, 15, 16, 17, 31, 32, 33, 47, 49, 90]),
    spread=st.sampled_from([0, 1, 8]),
    d=st.integers(2, 12),
    way=st.sampled_from(sorted(WAYS)),
    many=st.sampled_from([0, 1, 1000]),
)
def test_tiles_with_copies_opposites_zeros_and_any_norms(
    seed: int, n_words: int, spread: int, d: int, way: str, many: int
) -> None:
    """Tiles of 16, products as rough as TF32's, and overlaps computed anew never, seldom or at every step."""
    rng = np.random.default_rng(seed)
    table = rng.standard_normal((n_words, d)) * 10.0 ** rng.uniform(-spread, 1, (n_words, 1))
    for share, change in ((0.2, 1.0), (0.2, -1.0), (0.1, 0.0), (0.1, 2.0)):
        some = rng.random(n_words) < share
        table[some] = change * table[rng.integers(0, n_words, n_words)][some]
    table[0] = 1.0
    neurons, table = rng.standard_normal((4, d)).astype(np.float32), table.astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        for where, name, value in (
            (words, "TILE", 16), (pursuit, "PAYS", WAYS[way]), (state, "multiply_roughly", multiply_cut),
            (rivals, "MANY", many), (rivals, "MANY_TILES", many), (rivals, "LOOKED", (64, 64)),
            (one_pass, "CACHED", 100),
        ):  # fmt: skip
            patch.setattr(where, name, value)
        found = greedy_pursuit(neurons, table, 20, device=CPU)
    oracles.assert_pursued(found, neurons, table, 20)


@pytest.mark.parametrize("way", WAYS)
def test_long_bundles_of_either_way(way: str, device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors add up over 120 steps in three tiles, and the compiled engine's bundles come out."""
    neurons, table = gaussians(12, 2500, 24)
    table[1200:1230], table[40:60] = table[:30], -table[60:80]
    monkeypatch.setattr(pursuit, "PAYS", WAYS[way])
    assert_same(greedy_pursuit(neurons, table, 120, device=device), greedy_pursuit(neurons, table, 120))


@pytest.mark.parametrize("said", [True, False], ids=["in the slack", "kept quiet"])
def test_a_rough_gram_matrix_changes_no_bundle_if_the_slack_says_how_rough(
    said: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    neurons, table = gaussians(20, 2000, 24)
    made, anew = pursuit.make_gram, []

    def rough(units: torch.Tensor, tile: int) -> gram.DeviceGram:
        exact = made(units, tile)
        noise = torch.rand(exact.cosines.shape, generator=torch.Generator().manual_seed(0)).mul_(0.1).sub_(0.05)
        return gram.DeviceGram((exact.cosines + noise).half(), exact.errors + (0.051 if said else 0.0))

    def counted(*given: Any) -> None:
        anew.append(len(given[-1]))
        state.make_exact(*given)

    for where, name, value in ((pursuit, "PAYS", 0), (pursuit, "make_gram", rough), (rivals, "make_exact", counted)):
        monkeypatch.setattr(where, name, value)
    monkeypatch.setattr(words, "TILE", 64)
    found, expected = greedy_pursuit(neurons, table, 30, device=CPU), greedy_pursuit(neurons, table, 30)
    if said:
        assert_same(found, expected)
        assert sum(anew) > 20
    else:
        assert (found.token_ids != expected.token_ids).any(), "the noise is too little to matter"


@pytest.mark.parametrize(("n_words", "tile"), [(40, 16), (64, 64), (1500, 512)])
def test_cosines_in_float16_are_as_far_off_as_is_said(
    n_words: int, tile: int, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words, "TILE", tile)
    monkeypatch.setattr(gram, "ROWS", 32)
    _, table = gaussians(1, n_words, 20)
    table[7] *= np.float32(1e-15)
    there = words.DeviceWords.of(Dictionary.of(table), device)
    made = gram.make_gram(there.units, there.tile)
    unit = table.astype(np.float64) / np.linalg.norm(table.astype(np.float64), axis=1, keepdims=True)
    off = np.zeros((n_words, there.width))
    off[:, :n_words] = np.abs(made.cosines[:n_words, :n_words].double().cpu().numpy() - unit @ unit.T)
    worst = off.reshape(n_words, -1, there.tile).max(axis=2)
    said = made.errors[:n_words].cpu().numpy()
    assert (worst <= said + ROUNDING).all() and (said <= 2.0**-12).all()
    assert (worst >= said - ROUNDING).all(), "the errors are larger than need be"


def test_tf32_is_never_further_off_than_its_bound() -> None:
    """Numbers whose last bits are all set lose most, and here all of them in the same direction."""
    worst = torch.full((3, 700), 1 + 2**-10 - 2**-23)
    both = torch.cat([worst, torch.rand((40, 700), generator=torch.Generator().manual_seed(0)) - 0.5])
    exact, rough = both.double() @ both.double().T, torch.empty((43, 43))
    multiply_cut(both, both, rough)
    norms = both.double().norm(dim=1)
    off = ((rough - exact).abs() / norms[:, None] / norms).max()
    assert 0.8 * precision.tf32_error(700) < off <= precision.tf32_error(700)


def test_a_step_looks_at_few_tiles_again(monkeypatch: pytest.MonkeyPatch) -> None:
    neurons, table = gaussians(30, 4000, 48)
    for way in WAYS:
        looked: list[int] = []
        seen = rivals._among

        def counted(*given: Any, looked: list[int] = looked, seen: Any = seen) -> Any:
            looked.append(len(given[3]))
            return seen(*given)

        with monkeypatch.context() as patch:
            for where, name, value in (
                (pursuit, "PAYS", WAYS[way]), (words, "TILE", 64), (rivals, "_among", counted),
                (state, "multiply_roughly", multiply_cut),
            ):  # fmt: skip
                patch.setattr(where, name, value)
            greedy_pursuit(neurons, table, 20, device=CPU)
        assert len(looked) == 20 and min(looked) >= 30 and max(looked) < 90, f"{way}: of 1,890 tiles {looked}"


def test_the_gram_matrix_is_made_once_it_pays_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    neurons, table = gaussians(20, 100, 8)
    dictionary, make = Dictionary.of(table), pursuit.make_gram
    made: list[int] = []

    def counted(units: torch.Tensor, tile: int) -> gram.DeviceGram:
        made.append(tile)
        return make(units, tile)

    monkeypatch.setattr(pursuit, "make_gram", counted)
    there = words.kept_words(dictionary, CPU)
    for picks in (160, 320):
        assert there.gram is None and there.picks == picks - 160 and not made
        greedy_pursuit(neurons, dictionary, 9, device=CPU)
    assert there.gram is not None and made == [128]
    kept = there.gram
    greedy_pursuit(neurons, dictionary, 9, device=CPU)
    assert words.kept_words(dictionary, CPU) is there and there.gram is kept and made == [128]


def test_without_room_for_the_gram_matrix_products_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    neurons, table = gaussians(20, 100, 8)
    expected = greedy_pursuit(neurons, table, 9)
    monkeypatch.setattr(pursuit, "PAYS", 0)

    def full(*given: Any) -> Any:
        raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")

    for where, name, value in ((pursuit, "free_bytes", lambda _: 50_000), (pursuit, "make_gram", full)):
        with monkeypatch.context() as patch:
            patch.setattr(where, name, value)
            dictionary = Dictionary.of(table)
            assert_same(greedy_pursuit(neurons, dictionary, 9, device=CPU), expected)
            assert words.kept_words(dictionary, CPU).gram is None


@pytest.mark.parametrize(
    ("free", "whether"), [(10 * 10**9, True), (8 * 10**9, False), (9 * 10**9, True), (2**28, False)]
)
def test_room_for_the_gram_matrix(free: int, whether: bool) -> None:
    """Of 51,200 tokens: 5.25 GB, and it is to take 60% of what is free."""
    assert gram.fits(51_200, 1024, free) is whether


def test_a_gram_matrix_makes_way_for_the_last_neuron_that_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    neurons, table = gaussians(6, 100, 8)
    monkeypatch.setattr(pursuit, "PAYS", 0)
    bundles, dictionary = pursuit._bundles, Dictionary.of(table)

    def short(there: words.DeviceWords, *given: Any) -> Any:
        if there.gram is not None:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return bundles(there, *given)

    monkeypatch.setattr(pursuit, "_bundles", short)
    assert_same(greedy_pursuit(neurons, dictionary, 9, device=CPU), greedy_pursuit(neurons, table, 9))
    assert words.kept_words(dictionary, CPU).gram is None


def test_products_are_seen_once_even_if_a_block_is_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    neurons, table = gaussians(9, 40, 8)
    told: list[Any] = []
    bundles = pursuit._bundles

    def short(there: words.DeviceWords, unit: torch.Tensor, *given: Any) -> Any:
        if len(unit) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return bundles(there, unit, *given)

    monkeypatch.setattr(pursuit, "_bundles", short)
    greedy_pursuit(
        neurons, table, 3, device=CPU, block=5, seen=lambda *given: told.append((given[0], given[1].clone()))
    )
    at = np.concatenate([start + np.arange(len(products)) for start, products in told])
    assert at.tolist() == list(range(9))
    unit = neurons / np.linalg.norm(neurons, axis=1, keepdims=True)
    scaled = Dictionary.of(table).vectors
    np.testing.assert_allclose(torch.cat([products for _, products in told]), unit @ scaled.T, atol=1e-5)


def test_the_kernel_is_used_only_where_it_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CUDA device, which need not be there for it."""
    cuda = torch.device("cuda", 0)

    def fails(*_: Any) -> bool:
        raise OSError("no C compiler")

    for trial, expected in (
        (lambda *_: True, one_pass.fused_pass),
        (lambda *_: False, one_pass.plain_pass),
        (fails, one_pass.plain_pass),
    ):
        monkeypatch.setattr(one_pass, "passes_agree", trial)
        assert one_pass.best_pass.__wrapped__(cuda, 64) is expected
    assert one_pass.best_pass.__wrapped__(CPU, 64) is one_pass.plain_pass
    monkeypatch.setattr(one_pass, "fused_pass", one_pass.plain_pass)
    monkeypatch.undo()
    assert not one_pass_agrees_with(
        lambda *given: one_pass.Reduced(*(one + 1e-2 for one in one_pass.plain_pass(*given)))
    )
    assert one_pass_agrees_with(one_pass.plain_pass)


def one_pass_agrees_with(other: Any) -> bool:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(one_pass, "fused_pass", other)
        return one_pass.passes_agree(CPU, 64)


INTERPRETED = """
import numpy as np, torch
from vsa_checks.bundles import greedy_pursuit
from vsa_checks.engine.on_device import one_pass, pursuit, state, words
cpu = torch.device("cpu")
assert all(one_pass.passes_agree(cpu, tile) for tile in (16, 64, 1024))
words.TILE, state.best_pass = 32, lambda *_: one_pass.fused_pass
rng = np.random.default_rng(0)
neurons, table = rng.standard_normal((4, 16)), rng.standard_normal((75, 16))
table[40], table[60] = table[3], -table[5]
for pays in (0, np.inf):
    pursuit.PAYS = pays
    found, expected = greedy_pursuit(neurons, table, 12, device=cpu), greedy_pursuit(neurons, table, 12)
    assert found.token_ids.tolist() == expected.token_ids.tolist()
"""


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton comes with PyTorch's CUDA packages")
def test_the_kernel_in_the_interpreter_of_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    done = subprocess.run([sys.executable, "-c", INTERPRETED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("message", "full"),
    [
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True),
        ("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`", True),
        ("CUDA error: out of memory\nCUDA kernel errors might be reported later", True),
        ("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`", False),
        ("mat1 and mat2 shapes cannot be multiplied", False),
    ],
)
def test_memory_that_cublas_lacks_is_one_paragraph(message: str, full: bool) -> None:
    tried: list[int] = []

    def work(start: int, stop: int) -> None:
        tried.append(stop - start)
        raise RuntimeError(message)

    with pytest.raises(RuntimeError if not full else memory.VsaChecksError) as refused, memory.within_memory(CPU):
        memory.by_blocks(4, 4, work, None)
    assert tried == ([4, 2, 1] if full else [4])
    assert ("--device cpu" in str(refused.value)) is full
