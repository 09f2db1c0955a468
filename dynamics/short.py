"""The beginning of docs/dynamics.md: the answer in a paragraph, and what has not been measured."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from dynamics import summary
from dynamics.collected import earlier_versions
from dynamics.concepts import BUNDLE, READING
from dynamics.grammar import PLACEBO
from dynamics.models import VARIANTS
from dynamics.summary import LOST, NEVER, Json


def in_short(runs: Sequence[Json], english: Sequence[Json]) -> str:
    """The answers to the question, of one variant, in one paragraph."""
    shares = {score: [summary.recovered(runs, score, at).mean for at in (0, -1)] for score in (READING, BUNDLE)}
    placebo = sum(run["concepts"][READING][PLACEBO]["recovered"][-1] for run in runs)
    lost, never = (summary.of_all(runs, which) for which in (LOST, NEVER))
    n_claims = len(summary.measured_claims(runs))
    seeds = ", ".join(str(run["seed"]) for run in runs)
    return wrapped(
        f"The weights of layer-0 neurons hold {shares[READING][1]:.0%} of the known concepts in trained networks,"
        f" and {shares[READING][0]:.0%} in untrained ones ({placebo} placebos are found in {len(runs)}"
        f" networks). The bundles that pursuit finds name {shares[BUNDLE][1]:.1%} of the concepts (untrained:"
        f" {shares[BUNDLE][0]:.1%}). Of {n_claims} claims, {len(lost)} hold for a time but are lost by the end, in"
        f" all seeds; {len(never)} never hold. (Variant {runs[0]['variant']}, seeds"
        f" {seeds}.){_english_in_short(english) if english else ''}",
        len("**In short.** "),
    )


def _english_in_short(runs: Sequence[Json]) -> str:
    come = ", ".join(f"`{claim}`" for claim, _ in summary.dated(runs)) or "nothing"
    lost, never = (len(summary.of_all(runs, which)) for which in (LOST, NEVER))
    return (
        f" On English, {lost} of {len(summary.measured_claims(runs))} claims are lost by the end in every one of"
        f" {len(runs)} trainings, {never} never hold; what comes to hold by training and stays: {come}."
    )


def not_run(runs: Sequence[Json]) -> list[str]:
    """What the command trains and these trainings lack."""
    missing = [name for name in VARIANTS if not summary.of_kind(runs, "grammar", name)]
    found = [f"{', '.join(missing)} on the grammar's language"] if missing else []
    return found if summary.of_kind(runs, "english", "plain") else [*found, "plain on English"]


def earlier(runs: list[Json]) -> str:
    """Which claims have numbers of an earlier version, and in which trainings."""
    where: dict[str, list[str]] = {}
    for claim, trainings in earlier_versions(runs).items():
        where.setdefault(", ".join(trainings), []).append(f"`{claim}`")
    return wrapped("; ".join(f"{', '.join(claims)} in {names}" for names, claims in where.items()))


def wrapped(words: str, taken: int = 0) -> str:
    """A paragraph in lines of a readable length, the first after something that takes so many characters."""
    filled = textwrap.fill("_" * taken + words, 128, break_long_words=False, break_on_hyphens=False)
    return filled[taken:]
