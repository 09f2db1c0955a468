"""The command line of `pytest claims/`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import pytest

from vsa_checks.judging.claim import load_claims
from vsa_checks.models import BASES


def gigabytes(text: str) -> float:
    """A positive number of gigabytes. Raises ArgumentTypeError, which names the option."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of gigabytes between 0 and a million")
    return number


OPTIONS: dict[str, dict[str, Any]] = {
    "--model": {"metavar": "NAME|PATH", "help": "a short name (--list-models), ORG/NAME[@REVISION], or a path"},
    "--basis": {
        "choices": (*BASES, "both"),
        "default": "processed",
        "help": "which weights (default: processed)",
    },
    "--report-dir": {"metavar": "DIR", "help": "where the report goes (default: reports/<model>)"},
    "--device": {
        "choices": ("cpu", "cuda"),
        "default": "cpu",
        "help": "where to run the model, find bundles and count pairs; the rest runs on the CPU (default: cpu)",
    },
    "--seed": {"type": int, "default": 0, "metavar": "N", "help": "seed of nulls and intervals (default: 0)"},
    "--seeds": {
        "type": int,
        "default": 1,
        "metavar": "N",
        "help": "measure with N seeds, starting with --seed, and count how often each verdict occurs (default: 1, and "
        "up to 5 where the verdict might depend on the seed)",
    },
    "--text": {"metavar": "FILE", "help": "the text that the model reads (default: the passages of fixtures/texts/)"},
    "--record": {
        "action": "store_true",
        "help": "record the measured verdicts, and for a registered model the values of its untrained twin",
    },
    "--recorded": {"metavar": "FILE", "help": "the file of recorded verdicts, for a model given as a path"},
    "--no-recorded": {"action": "store_true", "help": "ignore recorded verdicts: only `holds` passes"},
    "--no-cache": {
        "action": "store_true",
        "help": "measure everything again: neither read nor write the cache",
    },
    "--claims": {
        "metavar": "IDS",
        "help": "only these claims: comma-separated ids, where * matches anything (neurons-*,bundle-recall). With this "
        "or either of the next two options, tests that check no claim are left out",
    },
    "--layers": {
        "metavar": "LIST",
        "help": "only these layers: 0,3,10-14, where -1 is the last; subjects without a layer are always included",
    },
    "--primary-only": {"action": "store_true", "help": "only the primary subjects"},
    "--memory-limit": {
        "type": gigabytes,
        "metavar": "GB",
        "help": "memory that the run may take (default: 80%% of the free memory)",
    },
    "--no-twin": {
        "action": "store_true",
        "help": "do not measure the untrained twin, a network of the model's shape that each result is compared with",
    },
    "--list-claims": {"action": "store_true", "help": "list the claims and exit"},
    "--list-models": {"action": "store_true", "help": "list the registered models and exit"},
}


def add_options(parser: pytest.Parser) -> None:
    """Add the options of the claims to pytest's."""
    group = parser.getgroup("claims", "how to check the paper's claims")
    for name, meaning in OPTIONS.items():
        group.addoption(name, **meaning)


def settled(arguments: Sequence[str]) -> list[str]:
    """The same arguments, each value of our options joined to its option: `--model=DIR` for `--model DIR`.

    So pytest, which does not know these options yet, cannot take a value for a folder of tests.
    """
    joined: list[str] = []
    waiting = False
    for word in arguments:
        if waiting:
            joined[-1] += f"={word}"
        else:
            joined.append(word)
        waiting = not waiting and word in OPTIONS and "action" not in OPTIONS[word]
    return joined


def listing(config: pytest.Config) -> str | None:
    """What --list-claims or --list-models prints; None if neither was asked for."""
    if config.option.list_claims:
        return "\n".join(
            f"{claim.id:38} section {claim.section:4} {claim.direction} {claim.threshold:g}"
            f"{'' if claim.threshold_unit == '1' else ' x ' + claim.threshold_unit} ({claim.threshold_origin})"
            f"  {claim.title}"
            for claim in load_claims().values()
        )
    if config.option.list_models:
        from vsa_checks.cli.models import listing as models

        return models()
    return None
