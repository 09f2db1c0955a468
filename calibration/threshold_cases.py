"""For each threshold of ours: models that have the structure, and models that lack it or are damaged more and more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from calibration import cases_of_circuits as circuits
from calibration import cases_on_text as on_text
from calibration.draws import SMALL, bundled, matched, part_frame, untaught
from calibration.kinds import NullDraw as Draw
from calibration.kinds import ThresholdCase, Trial
from fixtures import null_models, reading
from fixtures.in_memory import bench_in_memory
from fixtures.planted import plant
from fixtures.reading import bench_that_reads
from fixtures.small_models import Sizes, Weights
from vsa_checks.workbench.access import Workbench


def _planted(seed: int, **options: Any) -> Workbench:
    return bench_in_memory(SMALL, plant(SMALL, seed=seed, **options)[0], seed)


def _of(weights: Callable[..., Weights], **options: Any) -> Draw:
    """Models of a null of fixtures/null_models.py."""
    return partial(_null, weights, options)


def _null(weights: Callable[..., Weights], options: dict[str, Any], seed: int) -> Workbench:
    return bench_in_memory(SMALL, weights(SMALL, seed=seed, **options), seed)


PLANTED = Trial("planted", _planted, sound=True)
RANDOM = Trial("random initialisation", partial(untaught, SMALL), sound=True)
"""For near-orthogonality and isometry random vectors are the ideal, not the null."""


def _series(name: str, model: Any, option: str, levels: tuple[float, ...], **others: Any) -> tuple[Trial, ...]:
    """Trials of one kind of damage, from slight to heavy."""
    return tuple(Trial(f"{name} {level:g}", _of(model.weights, **{option: level}, **others)) for level in levels)


MEAN = _series("common mean of size", null_models.common_mean, "size", (0.1, 0.25, 0.5, 1.0, 2.0, 3.0))
ALONG = _series("common mean along the ones", null_models.common_mean, "size", (0.1, 0.25, 0.5, 1.0), along_ones=True)
RANK = _series("rank, of 64 dimensions:", null_models.low_rank_embeddings, "rank", (32, 16, 12, 8, 4))
COPIES = _series("near-duplicates, groups of", null_models.near_duplicate_tokens, "copies", (2, 3, 4, 10))
SHARED = _series("shared direction of size", null_models.shared_direction, "size", (0.25, 0.5, 1.0, 2.0, 3.0))
REWRITTEN = _series("heads rewritten, condition", null_models.rewritten_heads, "condition", (10.0, 100.0, 1000.0))
SAME_BINDING = tuple(replace(trial, sound=True) for trial in REWRITTEN)
"""A head written otherwise binds as before: W_V W_O is the same."""
SKEWED = {
    product: _series("directions weighed by powers of", null_models.skewed_heads, "decay", (0.98, 0.95, 0.9, 0.5),
                     product=product)
    for product in ("OV", "QK")
}  # fmt: skip
HEAVY = Trial("norms of a Pareto law of exponent 1", _of(null_models.heavy_tailed_norms.weights))
PARTS = (0.5, 0.25, 0.1)
BUNDLES = tuple(Trial(f"sums of {size} tokens, no noise", partial(_planted, noise=0.0, bundle=size), sound=True)
                for size in (5, 10, 20, 50))  # fmt: skip


def _frames(matrix: str) -> tuple[Trial, ...]:
    sizes = SMALL if matrix == "W_out" else Sizes(gated=True, n_layers=1, n_kv_heads=1, d_head=48)
    return tuple(
        Trial(f"{share:g} of a tight frame", partial(part_frame, matrix, sizes, share), sound=share == 1.0)
        for share in (1.0, *PARTS, 0.0)
    )


def _levels(name: str, draw: Callable[[float, int], Workbench], levels: tuple[float, ...]) -> tuple[Trial, ...]:
    """Sound trials, from the strongest signal to the weakest."""
    return tuple(Trial(f"{name} {level:g}", partial(draw, level), sound=True) for level in levels)


def _reader(*given: Any) -> Workbench:
    """A planted model of three layers, its weights changed, on independent words; the seed comes last."""
    *changes, seed = given
    weights, _ = plant(THREE_LAYERS, seed=seed)
    for change in changes:
        change(weights)
    return bench_that_reads(THREE_LAYERS, weights, reading.uniform_text(n=640, seed=seed), seed)


def _untaught_reader(seed: int) -> Workbench:
    weights = null_models.random_initialisation.weights(THREE_LAYERS, seed=seed)
    return bench_that_reads(THREE_LAYERS, weights, reading.uniform_text(n=640, seed=seed), seed)


def _all_fed(neurons: int, seed: int) -> Workbench:
    """Each neuron of a later layer reads what one neuron of an earlier layer writes, in layers of this size."""
    return circuits.fed(Sizes(n_layers=8, d_mlp=neurons), 1.0, seed)


THREE_LAYERS = Sizes()

THRESHOLD_CASES: dict[str, ThresholdCase] = {
    "embedding-mean-zero": ThresholdCase(None, None, (PLANTED, RANDOM, *MEAN)),
    "embedding-component-mean": ThresholdCase(None, None, (PLANTED, RANDOM, *ALONG)),
    "embedding-near-orthogonal": ThresholdCase(None, None, (PLANTED, RANDOM, *MEAN, *RANK, *COPIES)),
    "embedding-near-orthogonal-centered": ThresholdCase(None, None, (PLANTED, RANDOM, *RANK, *COPIES, HEAVY)),
    "embedding-artifacts": ThresholdCase(None, None, (PLANTED, RANDOM, *MEAN, *RANK, *COPIES)),
    "embedding-artifacts-centered": ThresholdCase(None, None, (PLANTED, RANDOM, *RANK, *COPIES, HEAVY)),
    "attention-near-orthogonal": ThresholdCase(0, "W_V", (PLANTED, RANDOM, *SHARED, *REWRITTEN)),
    "attention-artifacts": ThresholdCase(0, "W_V", (PLANTED, RANDOM, *SHARED, *REWRITTEN)),
    "attention-beyond-random": ThresholdCase(0, "W_V", _frames("W_V")),
    "mlp-out-near-orthogonal": ThresholdCase(0, None, (PLANTED, RANDOM, *SHARED)),
    "mlp-out-artifacts": ThresholdCase(0, None, (PLANTED, RANDOM, *SHARED)),
    "mlp-out-beyond-random": ThresholdCase(0, None, _frames("W_out")),
    "attention-ov-isometry": ThresholdCase(0, None, (PLANTED, RANDOM, *SKEWED["OV"])),
    "attention-qk-isometry": ThresholdCase(0, None, (PLANTED, RANDOM, *SKEWED["QK"])),
    "neurons-beyond-chance": ThresholdCase(
        0,
        "W_in",
        (
            PLANTED,
            Trial("planted, noise 2", partial(bundled, SMALL, 2.0), sound=True),
            *BUNDLES,
            Trial("random initialisation", partial(untaught, SMALL)),
            Trial("covariance-matched neurons", partial(matched, SMALL, 12, 1.0)),
            Trial("coordinates permuted", _of(null_models.permuted_coordinates.weights)),
        ),
    ),
    "bundle-recall": ThresholdCase(None, None, (PLANTED, RANDOM, *MEAN, *RANK, *COPIES)),
    "binding-preserves-similarity": ThresholdCase(0, "OV", (PLANTED, RANDOM, *SAME_BINDING, *SKEWED["OV"])),
    "unbinding-recovers": ThresholdCase(0, "OV", (PLANTED, RANDOM, *SAME_BINDING, *SKEWED["OV"])),
    "circuits-bound-tokens": ThresholdCase(
        0,
        "W_in",
        (
            *_levels("bound tokens, noise", circuits.with_bound_tokens, (0.0, 0.6, 1.0, 2.0)),
            Trial("sums of tokens that are not bound", _planted),
            Trial("random initialisation", partial(untaught, SMALL)),
            Trial("covariance-matched neurons", partial(matched, SMALL, 12, 1.0)),
        ),
    ),
    "circuits-mlp-to-mlp": ThresholdCase(
        None,
        "W_in",
        (
            *_levels("share fed", partial(circuits.fed, circuits.EIGHT_LAYERS), (1.0, 0.5, 0.3, 0.2, 0.1)),
            *(
                Trial(f"all fed, 8 layers of {neurons}", partial(_all_fed, neurons), sound=True)
                for neurons in (400, 1600)
            ),
            Trial("random initialisation", partial(untaught, circuits.EIGHT_LAYERS)),
            Trial("layers uneven along one direction", partial(circuits.uneven_layers, circuits.EIGHT_LAYERS)),
        ),
    ),
    "circuit-figure2": ThresholdCase(
        None,
        None,
        (
            *_levels("the path, noise", circuits.papers_path, (0.0, 1.0, 1.5, 2.0)),
            Trial("random initialisation", circuits.papers_untaught),
        ),
    ),
    "attention-rebinds": ThresholdCase(
        0,
        None,
        (
            *_levels("heads by content, positions of norm", on_text.content_reader, (0.0, 1.0, 5.0, 10.0)),
            Trial("random initialisation", _untaught_reader),
        ),
    ),
    "attention-next-token": ThresholdCase(
        0,
        None,
        (
            *_levels("words in succession", on_text.successor, (1.0, 0.6, 0.2, 0.1)),
            Trial("words at random", partial(on_text.successor, 0.0)),
            Trial("random initialisation", _untaught_reader),
        ),
    ),
    "neuron-or": ThresholdCase(
        0,
        "W_in",
        (
            *_levels("sums of 5 tokens, noise", on_text.or_reader, (0.0, 1.0, 2.0)),
            Trial("an AND in each neuron", partial(on_text.pair_reader, 0.0)),
            Trial("Gaussian neurons", on_text.no_bundles),
        ),
    ),
    "neuron-and": ThresholdCase(
        0,
        "W_in",
        (
            *_levels("two of 5 tokens at once, noise", on_text.pair_reader, (0.0, 0.5, 1.0)),
            Trial("one token at a time", partial(on_text.or_reader, 0.0)),
            Trial("Gaussian neurons", partial(on_text.pairs_without_bundles, False)),
        ),
    ),
    "residual-keeps-token": ThresholdCase(
        None,
        None,
        (
            *_levels("MLP outputs times", on_text.keeper, (0.1, 0.2, 0.5)),
            Trial("MLP outputs times 3", partial(on_text.keeper, 3.0)),
            Trial("positions alone, 20 tokens", on_text.drowned),
        ),
    ),
    "residual-components": ThresholdCase(
        None,
        None,
        (
            Trial("planted", _reader, sound=True),
            Trial("random initialisation", _untaught_reader, sound=True),
            Trial("all written along one direction", partial(_reader, reading.one_direction_written)),
        ),
    ),
}
