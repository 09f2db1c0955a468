"""A small report with every picture: invented results, and arrays made by the functions that a run uses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tests.report import factory
from tests.report.factory import INFO, Json
from vsa_checks.figures import kept
from vsa_checks.figures.grams import matrix_blocks
from vsa_checks.figures.store import Kept, words
from vsa_checks.judging.claim import load_claims
from vsa_checks.judging.measurement import NullMeasurement

HOSTILE = [
    "$#1b1f24$",
    "</text><script>alert(1)</script>",
    "\u202egnp",
    "\x1b[2J\n",
    ' onload="x"',
    "plain",
]
"""Token names that mean something to mathtext, markup, terminals, or whoever rewrites the drawing."""
SHARES = {0: 0.31, 1: 0.02, 2: 0.4}
COPIES = [[0.1, -0.2], [0.3, 0.0], [0.05, 0.7]]
MODEL = replace(INFO, n_layers=3, n_heads=2, n_kv_heads=2)


def document() -> Json:
    """Results of the two claims whose details are drawn."""
    claims = load_claims()
    beyond, rebinds = claims["neurons-beyond-chance"], claims["attention-rebinds"]
    nulls = [NullMeasurement(name, 0.05, 0.01, 384, 0.001, 0.999) for name in beyond.decisive]
    rows = [
        factory.result(beyond, share, layer=layer, matrix="W_in", nulls=nulls, details={"cosine_bar": 0.38})
        for layer, share in SHARES.items()
    ]
    for layer, heads in enumerate(COPIES):
        by_head = [{"head": head, "value": one, "copies": one / 2} for head, one in enumerate(heads)]
        rows.append(factory.result(rebinds, 0.03, layer=layer, details={"by_head": by_head}))
    return factory.document(rows, list(claims.values()), MODEL)


def arrays(names: list[str] | None = None) -> dict[str, Any]:
    """Arrays of three layers, with token names that try to come alive."""
    rng, tokens = np.random.default_rng(0), names or HOSTILE
    found: dict[str, Any] = {}
    for layer in range(3):
        for matrix, heads in (("W_Q", 2), ("W_in", 0)):
            vectors = rng.standard_normal((128, INFO.d_model))
            found |= kept.under(kept.of(kept.GRAM, "processed", layer, matrix), matrix_blocks(vectors, 40_000, heads))
        counts = np.zeros(400, np.int64)
        counts[180:220], counts[300] = 1_000, 250
        found[kept.of(kept.HISTOGRAM, "processed", layer, "W_Q") + "/counts"] = counts
        rising = np.linspace(0.1, 0.4, 25).reshape(5, 5).astype(np.float32)
        series = {
            "percentiles": np.stack([rising + 0.1, rising, rising]),
            "names": words(["neurons", "a null", "random"]),
        }
        found |= kept.under(kept.of(kept.BUNDLES, "processed", layer, "W_in"), series)
        best: dict[str, Any] = {
            "neurons": np.array([7, 3], np.int32),
            "tokens": np.array([[1, 2, 3, 4, 5], [6, 1, 2, 3, -1]], np.int32),
            "cosines": np.array([[0.2, 0.3, 0.4, 0.5, 0.612], [0.1, 0.2, 0.3, 0.4, 0]], np.float32),
            "names": words([tokens[:5], tokens[1:5]]),
        }
        found |= kept.under(kept.of(kept.BEST, "processed", layer, "W_in"), best)
    shares = np.zeros((2, 3, 3), np.float32)
    shares[0, 0, 1], shares[0, 1, 2], shares[0, 2, 0], shares[1, 0, 1] = 0.5, 0.3, 0.1, 0.125
    links: dict[str, Any] = {
        "shares": shares,
        "names": words(["neurons", "a null"]),
        "strongest": np.array([[0, 17, 1, 4], [1, 2, 2, 9]], np.int32),
        "strongest_cosines": np.array([-0.75, 0.5], np.float32),
    }
    found |= kept.under(kept.of(kept.LINKS, "processed", None, "W_in"), links)
    sample = matrix_blocks(rng.standard_normal((64, INFO.d_model)), 40_000)
    sample["names"] = words({"frequent": 32, "tokens": [tokens[at % len(tokens)] for at in range(64)]})
    return found | kept.under(kept.of(kept.GRAM, "processed", None, "W_E"), sample)


def report_arrays() -> Kept:
    """The same as what is read beside results."""
    return Kept(arrays())
