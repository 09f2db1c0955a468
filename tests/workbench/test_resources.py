"""How memory is shared out, what is refused, and what is announced."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fixtures.in_memory import model_in_memory
from fixtures.small_models import Sizes, gaussian_weights
from vsa_checks.errors import UsageError
from vsa_checks.judging.claim import load_claims
from vsa_checks.judging.subjects import Subject, enumerate_subjects
from vsa_checks.models import BASES, Basis, ModelInfo
from vsa_checks.models.memory import GB, free_memory
from vsa_checks.statistics import stream
from vsa_checks.workbench.access import Workbench
from vsa_checks.workbench.cost import PRODUCTS, expected_seconds, measured_speed
from vsa_checks.workbench.resources import Plan, announcement, plan
from vsa_checks.workbench.resources import Sizes as Bytes

ANY = model_in_memory(Sizes(), gaussian_weights(Sizes(), np.random.default_rng(0))).info
GPT2 = dataclasses.replace(
    ANY,
    norm="layer_norm",
    gated=False,
    n_layers=12,
    d_model=768,
    n_heads=12,
    n_kv_heads=12,
    d_head=64,
    d_mlp=3072,
    d_vocab=50257,
    text=True,
)


DEEP = dataclasses.replace(GPT2, n_layers=96)


def subjects(info: ModelInfo, *claims: str, bases: tuple[Basis, ...] = BASES) -> list[Subject]:
    found = load_claims()
    return [one for claim in claims or tuple(found) for one in enumerate_subjects(found[claim], info, bases)]


def planned(info: ModelInfo, limit: float, *claims: str) -> Plan:
    return plan(info, subjects(info, *claims), load_claims(), int(limit * GB))


def test_a_model_has_the_sizes_of_its_matrices() -> None:
    size = Bytes.of(GPT2)
    assert size.embedding == 4 * 50257 * 768
    assert size.layer == 4 * (4 * 768 * 768 + 2 * 768 * 3072)
    assert size.whole == 2 * size.embedding + 12 * size.layer


def test_bound_tokens_are_counted_for_each_basis_where_a_claim_needs_them() -> None:
    """Measured with 262,144 tokens, 4 heads of 256: 9.3 GB where 7.3 GB were announced without them."""
    large = dataclasses.replace(GPT2, d_vocab=262_144, d_model=640, n_heads=4, n_kv_heads=1, d_head=256)
    bound = 4 * 262_144 * (5 * 256 + 4)
    pursued = subjects(large, "neurons-beyond-chance")
    peaks = []
    for bases in ((), ("raw",), BASES):
        chosen = [*pursued, *(one for one in subjects(large, "circuits-bound-tokens") if one.basis in bases)]
        peaks.append(plan(large, chosen, load_claims(), 64 * GB).peak)
    assert np.diff(peaks).tolist() == [bound, bound]


def test_what_is_held_never_passes_the_limit() -> None:
    for limit in (2.7, 3, 4, 6, 9, 40):
        found = planned(GPT2, limit, "neurons-beyond-chance", "circuits-mlp-to-mlp")
        assert found.peak <= limit * GB
    more = [planned(GPT2, limit, "neurons-beyond-chance") for limit in (2.7, 4, 40)]
    assert [one.gram_bytes for one in more] == sorted(one.gram_bytes for one in more)
    assert more[-1].gram_bytes == 50257**2


def test_too_little_memory_is_refused_with_the_figure() -> None:
    with pytest.raises(
        UsageError, match=r"take at least \d\.\d GB of memory, with 50,257 tokens .* the limit is 0\.5 GB"
    ):
        planned(GPT2, 0.5, "bundle-recall")


def test_a_model_that_does_not_fit_is_not_run() -> None:
    assert planned(GPT2, 40).no_run == ""
    found = planned(DEEP, 3.1)
    assert "more than the limit of 3.1 GB" in found.no_run
    # Only claims on activations need the model to run.
    assert planned(DEEP, 3.1, "bundle-recall").no_run == ""


def test_depth_does_not_raise_what_a_run_needs_at_least() -> None:
    assert planned(dataclasses.replace(GPT2, n_layers=480), 2.7, "mlp-out-artifacts").peak <= 2.7 * GB


def test_more_work_takes_longer_and_slower_machines_too() -> None:
    few, all_of_them = (
        subjects(GPT2, "embedding-near-orthogonal", bases=("raw",)),
        subjects(GPT2, bases=("raw",)),
    )
    assert 0 < expected_seconds(GPT2, few, 1e9) < expected_seconds(GPT2, all_of_them, 1e9)
    assert expected_seconds(GPT2, few, 1e9) == pytest.approx(2 * expected_seconds(GPT2, few, 2e9))
    # All pairs of tokens, centered and not: V^2 d multiplications, with nothing else to do beside them.
    assert expected_seconds(GPT2, few, 1e9) == pytest.approx(50257**2 * 768 / 1e9, rel=0.2)
    assert measured_speed(0.05) > 1e8


def test_a_vocabulary_whose_gram_matrix_is_not_held_takes_longer() -> None:
    """Four rows for each neuron and stand-in are then computed: 4 V d multiplications each, but for the share held."""
    large = dataclasses.replace(GPT2, d_vocab=262_144)
    claim = subjects(large, "neurons-beyond-chance", bases=("raw",))
    neurons = len(claim) * (large.d_mlp + 4 * 384)
    rows = 4 * (1 - 2.5 * 2**30 / 262_144**2) * neurons * 262_144 * large.d_model
    assert expected_seconds(large, claim, 1e12) > PRODUCTS * rows / 1e12


def test_the_announcement_names_memory_time_and_why_the_model_is_not_run() -> None:
    chosen = planned(DEEP, 3.1)
    text = announcement(DEEP, subjects(DEEP), chosen)
    assert "GB of memory (3.1 GB are allowed)" in text
    assert "about" in text and chosen.no_run in text


def test_free_memory_is_a_positive_number_of_this_machine() -> None:
    assert 10**8 < free_memory() < 10**14


def test_shared_work_is_done_again_only_where_it_was_not_kept() -> None:
    bench, done = Workbench("none"), list[int]()
    bench.passing_bytes = 25

    def work(key: int) -> int:
        def make() -> int:
            done.append(key)
            return 10 * key

        return bench.while_room(("work", key), make, lambda made: 10)

    assert [work(1), work(2), work(1)] == [10, 20, 10]
    assert done == [1, 2]
    assert [work(3), work(1), work(2)] == [30, 10, 20]  # 2 was the longest unused when 3 came
    assert done == [1, 2, 3, 2]


def test_what_is_drawn_is_made_once_for_each_seed_and_all_else_once() -> None:
    bench, done = Workbench("none", seed=5), list[str]()

    def fixed() -> str:
        done.append("fixed")
        return "fixed"

    def drawn() -> float:
        done.append(f"drawn {bench.seed}")
        bench.once("fixed", fixed)
        return float(bench.rng("a draw").random())

    def both() -> tuple[float, float]:
        kept = bench.while_room("passing", drawn, lambda _: 8)
        return bench.once("outer", lambda: bench.once("inner", drawn)), kept

    own = both()
    with bench.other_seed(6):
        other = both()
        assert both() == other
    assert both() == own and bench.seed == 5
    assert own == (stream(5, "a draw").random(),) * 2
    assert other == (stream(6, "a draw").random(),) * 2
    assert sorted(done) == ["drawn 5", "drawn 5", "drawn 6", "drawn 6", "fixed"]


def test_the_seed_comes_back_when_a_measure_fails() -> None:
    bench = Workbench("none", seed=5)
    with pytest.raises(ZeroDivisionError), bench.other_seed(9):
        raise ZeroDivisionError
    assert bench.seed == 5
