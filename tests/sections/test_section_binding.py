"""Heads that bind tokens, measured again with other random numbers."""

from __future__ import annotations

import numpy as np
import pytest

from tests.sections.stand_in import Bench, bench_of
from vsa_checks.judging.subjects import Subject
from vsa_checks.sections import binding
from vsa_checks.sections.binding import similarity_kept, tokens_recovered

D, V, HEADS, RANK = 24, 90, 3, 8
KEPT, RECOVERED = (Subject(claim, "raw", 0, "OV") for claim in ("binding-preserves-similarity", "unbinding-recovers"))


def bench() -> Bench:
    rng = np.random.default_rng(0)
    shapes = {"W_E": (V, D), "W_V": (HEADS, D, RANK), "W_O": (HEADS, RANK, D)}
    drawn = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    return bench_of(
        {"embed.W_E": drawn["W_E"], **{f"blocks.0.attn.{name}": drawn[name] for name in ("W_V", "W_O")}},
        d_model=D,
        n_layers=1,
        n_heads=HEADS,
        n_kv_heads=HEADS,
    )


@pytest.fixture(autouse=True)
def few_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binding, "QUERIES", 30)


def test_other_seeds_give_what_a_run_of_that_seed_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    """The change of similarities is measured once; what other seeds change, queries and Gaussian matrices, is not."""
    one, given = bench(), []
    measure_binding = binding.measure_binding

    def counted(*args: object) -> object:
        given.append(len(args) > 4 and args[4] is not None)
        return measure_binding(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(binding, "measure_binding", counted)
    own = {3: (similarity_kept(one, KEPT), tokens_recovered(one, RECOVERED))}
    assert given == [False, False], "the heads, and the Gaussian matrices"
    for seed in (5, 8):
        with one.other_seed(seed):
            own[seed] = similarity_kept(one, KEPT), tokens_recovered(one, RECOVERED)
    assert given[2:] == [False, True] * 2, "Gaussian matrices anew, and the heads' queries alone"
    for seed, found in own.items():
        fresh = bench()
        fresh.seed = seed
        assert (tokens_recovered(fresh, RECOVERED), similarity_kept(fresh, KEPT)) == found[::-1]
    assert len({one[0].value for one in own.values()}) == 1
    assert len({one[0].reference.value for one in own.values() if one[0].reference}) == 3
    assert len({str(one[1].details["by_head"]) for one in own.values()}) == 3
