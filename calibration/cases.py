"""For each claim with a decisive null: how to draw a null model, and how to draw a planted one at a signal level.

A claim of claims.toml that names a decisive null needs an entry here; tests/calibration fails without it. Null models
are chosen where the claim is easiest to fool: its threshold lies about where chance falls.
"""

from __future__ import annotations

from functools import partial

from calibration.cases_of_circuits import CASES_OF_CIRCUITS
from calibration.cases_on_text import CASES_ON_TEXT
from calibration.draws import (
    FEW_TOKENS,
    FEW_VECTORS,
    LARGE,
    NOISES,
    ONE_VALUE_HEAD,
    SHARES,
    SMALL,
    bundled,
    matched,
    matched_of_all_lengths,
    part_frame,
    untaught,
    with_tokens,
)
from calibration.kinds import CalibrationCase, Null, Signal
from fixtures.small_models import Sizes
from vsa_checks.sections.neurons import MATCHED, RANDOM
from vsa_checks.sections.pairs import GAUSSIAN


def _frames(matrix: str, sizes: Sizes, name: str) -> Signal:
    return Signal(name, "share of a tight frame", SHARES, partial(part_frame, matrix, sizes))


def _bundles(sizes: Sizes) -> Signal:
    name = f"sums of 5 tokens; {sizes.d_vocab} tokens, d = {sizes.d_model}"
    return Signal(name, "noise beside the sum", NOISES, partial(bundled, sizes))


CASES: dict[str, CalibrationCase] = {
    **CASES_OF_CIRCUITS,
    **CASES_ON_TEXT,
    "attention-beyond-random": CalibrationCase(
        0,
        "W_V",
        (
            Null("random initialisation, 48 vectors", partial(untaught, ONE_VALUE_HEAD), (GAUSSIAN,)),
            Null("random initialisation, 4 vectors", partial(untaught, FEW_VECTORS), (GAUSSIAN,)),
        ),
        (_frames("W_V", ONE_VALUE_HEAD, "48 vectors, d = 64"),),
    ),
    "mlp-out-beyond-random": CalibrationCase(
        0,
        None,
        (
            Null("random initialisation, 200 vectors", partial(untaught, SMALL), (GAUSSIAN,)),
            Null("random initialisation, 6 vectors", partial(untaught, FEW_VECTORS), (GAUSSIAN,)),
        ),
        (_frames("W_out", SMALL, "200 vectors, d = 64"),),
    ),
    "neurons-cos50": CalibrationCase(
        0,
        "W_in",
        (
            Null("random initialisation, 56 tokens", partial(untaught, with_tokens(56)), (RANDOM, MATCHED)),
            Null("covariance-matched neurons, 44 tokens", partial(matched, with_tokens(44), 12, 3.0), (MATCHED,)),
        ),
        (_bundles(FEW_TOKENS), _bundles(SMALL)),
    ),
    "neurons-cos30": CalibrationCase(
        0,
        "W_in",
        (
            Null("random initialisation, 28 tokens", partial(untaught, with_tokens(28)), (RANDOM, MATCHED)),
            Null("covariance-matched neurons, 20 tokens", partial(matched, with_tokens(20), 12, 4.0), (MATCHED,)),
        ),
        (_bundles(FEW_TOKENS), _bundles(SMALL)),
    ),
    "neurons-beyond-chance": CalibrationCase(
        0,
        "W_in",
        (
            Null("random initialisation, 300 tokens", partial(untaught, SMALL), (MATCHED,)),
            Null("covariance-matched, along 12 tokens, 200 neurons", partial(matched, SMALL, 12, 1.0), (MATCHED,)),
            Null("covariance-matched, along 60 tokens, 800 neurons", partial(matched, LARGE, 60, 0.7), (MATCHED,)),
            Null("covariance-matched, along 12 tokens, 800 neurons", partial(matched, LARGE, 12, 1.0), (MATCHED,)),
            Null("the same, of log-normal lengths", partial(matched_of_all_lengths, LARGE, 12, 1.0), (MATCHED,)),
        ),
        (_bundles(SMALL),),
    ),
}
