"""Blocks sized to free memory, halved where the device has less than it said, and an error with the remedy."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tests.oracles import Rows
from vsa_checks.bundles import greedy_pursuit, ranked_scan
from vsa_checks.engine.on_device import memory, pursuit
from vsa_checks.errors import VsaChecksError
from vsa_checks.orthogonality import pairwise_cosines

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
GB = 10**9


@pytest.mark.parametrize(
    ("free", "width", "cell", "rows"),
    [
        (80 * GB, 50_000, 40, 5_368),
        (GB, 50_000, 40, 250),
        (0, 50_000, 40, 1),
        (80 * GB, 2, 40, 2**27),
        (GB, 2**29, 1, 1),
    ],
)
def test_rows_of_a_block_fill_half_of_the_free_memory(free: int, width: int, cell: int, rows: int) -> None:
    assert memory.rows_within(free, width, cell) == rows
    fits = rows * width * cell <= free / 2 and rows * width <= 2**28
    assert fits or rows == 1


def test_free_memory_counts_what_pytorch_holds_and_does_not_use(monkeypatch: pytest.MonkeyPatch) -> None:
    assert memory.free_bytes(CPU) == 2**28
    cuda = torch.device("cuda", 1)
    for name, told in (("mem_get_info", (5 * GB, 80 * GB)), ("memory_reserved", 3 * GB), ("memory_allocated", GB)):
        monkeypatch.setattr(torch.cuda, name, lambda device, told=told: told if device == cuda else None)
    assert memory.free_bytes(cuda) == 7 * GB


CUBLAS = "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"
SHORTAGES = (
    torch.OutOfMemoryError("CUDA out of memory."),
    RuntimeError(CUBLAS),
    RuntimeError("cuSOLVER error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`"),
    torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be reported at some other call."),
)


@pytest.mark.parametrize("shortage", SHORTAGES, ids=lambda error: str(error).split()[2])
def test_a_block_that_does_not_fit_is_halved_and_no_row_is_left_out(shortage: RuntimeError) -> None:
    done: list[tuple[int, int]] = []
    tried: list[int] = []
    heard: list[tuple[int, int]] = []

    def work(start: int, stop: int) -> None:
        tried.append(stop - start)
        if stop - start > 3:
            raise shortage
        done.append((start, stop))

    memory.by_blocks(10, 8, work, lambda *told: heard.append(told))
    assert tried == [8, 4, 2, 2, 2, 2, 2]
    assert done == [(0, 2), (2, 4), (4, 6), (6, 8), (8, 10)]
    assert heard == [(stop, 10) for _, stop in done]


def test_a_single_row_that_does_not_fit_is_not_tried_again() -> None:
    tried: list[int] = []

    def work(start: int, stop: int) -> None:
        tried.append(stop - start)
        if start == 8:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(torch.OutOfMemoryError):
        memory.by_blocks(9, 8, work, None)
    assert tried == [8, 1]


def test_a_library_of_cuda_without_memory_is_told_with_the_remedy_and_other_faults_as_they_are() -> None:
    with pytest.raises(VsaChecksError) as refused, memory.within_memory(CPU):
        raise RuntimeError(f"{CUBLAS}\nMore of that.")
    assert f"{CUBLAS}. Free some of it" in str(refused.value) and "\n" not in str(refused.value)
    fault = RuntimeError("CUDA error: an illegal memory access was encountered")
    with pytest.raises(RuntimeError) as told, memory.within_memory(CPU):
        memory.by_blocks(9, 8, lambda *rows: (_ for _ in ()).throw(fault), None)
    assert told.value is fault


@pytest.mark.parametrize("n", [0, 1])
def test_few_rows(n: int) -> None:
    done: list[tuple[int, int]] = []
    memory.by_blocks(n, 8, lambda *rows: done.append(rows), None)
    assert done == [(0, 1)][:n]


def measures() -> dict[str, Callable[[Rows, Rows], Any]]:
    """What each engine gives, plainly."""

    def pursued(neurons: Rows, words: Rows) -> Any:
        found = greedy_pursuit(neurons, words, 2, device=CPU)
        return found.token_ids.tolist(), found.cosines.round(9).tolist()

    def pursued_with_rows(neurons: Rows, words: Rows) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pursuit, "PAYS", 0)
            return pursued(neurons, words)

    def scanned(neurons: Rows, words: Rows, count: int | None) -> Any:
        found = ranked_scan(neurons, words, count, device=CPU)
        return found.token_ids.tolist(), found.starts.tolist(), found.cosines.round(6).tolist()

    def paired(_: Rows, words: Rows) -> Any:
        found = pairwise_cosines(words, (0.1, 0.4), device=CPU)
        counts = [found.above_by_row[level].tolist() for level in (0.1, 0.4)]
        return round(found.max_abs, 6), found.fraction_above, found.histogram.tolist(), counts

    return {
        "pursuit": pursued,
        "pursuit with rows of the Gram matrix": pursued_with_rows,
        "scan": lambda neurons, words: scanned(neurons, words, None),
        "scan of listed neurons": lambda neurons, words: scanned(neurons, words, 3),
        "pairs": paired,
    }


class ShortOfMemory(torch.utils._python_dispatch.TorchDispatchMode):
    """From call `first` of torch's on, so many calls in a row find no memory, as on a device whose memory is full."""

    def __init__(self, first: int, count: int) -> None:
        super().__init__()
        self.calls, self.raised, self._fails = 0, 0, range(first, first + count)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls += 1
        if self.calls in self._fails:
            self.raised += 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore of that.")
        return func(*args, **(kwargs or {}))


DEAR = ("pursuit", "pursuit with rows of the Gram matrix")
EACH_IN_TURN = [
    pytest.param(measure, id=name, marks=[pytest.mark.thorough] if name in DEAR else [])
    for name, measure in measures().items()
]


@pytest.mark.parametrize("measure", EACH_IN_TURN)
def test_memory_that_runs_out_at_any_call_changes_no_answer(measure: Callable[[Rows, Rows], Any]) -> None:
    """Wherever it happens, the block is done again from its start, and nothing is counted twice."""
    rng = np.random.default_rng(3)
    neurons, words = (rng.standard_normal(shape).astype(np.float32) for shape in ((4, 8), (20, 8)))
    expected = measure(neurons, words)
    with ShortOfMemory(0, 0) as counting:
        measure(neurons, words)
    assert counting.calls > 10
    recovered = 0
    for first in range(1, counting.calls + 1):
        with ShortOfMemory(first, 1) as short:
            try:
                assert measure(neurons, words) == expected, f"call {first}"
                recovered += 1
            except VsaChecksError:
                assert not recovered, "only what is placed before the first block has no smaller block to go to"
        assert short.raised == 1
    assert recovered > counting.calls / 2


@pytest.mark.parametrize("measure", measures().values(), ids=measures().keys())
def test_vectors_that_do_not_fit_row_by_row_are_refused_with_the_remedy(measure: Callable[[Rows, Rows], Any]) -> None:
    rng = np.random.default_rng(3)
    neurons, words = (rng.standard_normal(shape).astype(np.float32) for shape in ((9, 12), (40, 12)))
    for first in (1, 12):
        with ShortOfMemory(first, 10**9), pytest.raises(VsaChecksError) as refused:
            measure(neurons, words)
        message = str(refused.value)
        assert message.startswith("The memory of the device cpu does not hold these vectors")
        assert "Tried to allocate 2.00 GiB." in message and "--device cpu" in message
        assert "\n" not in message


def test_an_interrupt_ends_the_work() -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    rng = np.random.default_rng(3)
    neurons, words = (rng.standard_normal(shape).astype(np.float32) for shape in ((9, 12), (40, 12)))
    torch.set_float32_matmul_precision("high")
    try:
        with pytest.raises(KeyboardInterrupt):
            greedy_pursuit(neurons, words, 3, device=CPU, progress=stop)
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_the_compiled_engine_needs_no_torch() -> None:
    code = """
import sys
import numpy as np
from vsa_checks.bundles import greedy_pursuit, ranked_scan
from vsa_checks.orthogonality import pairwise_cosines
from vsa_checks.workbench.access import Workbench
greedy_pursuit(np.eye(3), np.eye(3), 1), ranked_scan(np.eye(3), np.eye(3), 1), pairwise_cosines(np.eye(3))
assert Workbench("none").torch_device is None
sys.exit("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_pursuit_that_gives_the_gram_matrix_back_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    neurons, words = rng.standard_normal((4, 8)), rng.standard_normal((40, 8))
    expected = greedy_pursuit(neurons, words, 3, device=CPU)
    own, grams, told = pursuit._bundles, [], []

    def bundles(there: Any, unit: torch.Tensor, *rest: Any) -> Any:
        grams.append(there.gram is not None)
        if grams == [True, True, True]:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return own(there, unit, *rest)

    monkeypatch.setattr(pursuit, "PAYS", 0)
    monkeypatch.setattr(pursuit, "_bundles", bundles)
    monkeypatch.setattr(pursuit, "rows_within", lambda *_: 1)
    found = greedy_pursuit(neurons, words, 3, device=CPU, progress=lambda done, of: told.append((done, of)))
    assert grams == [True, True, True, False, False] and told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert found.token_ids.tolist() == expected.token_ids.tolist()
