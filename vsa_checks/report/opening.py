"""What the page says before any claim: what was found, on which weights, and how it compares with what is on record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vsa_checks.report import formatting
from vsa_checks.report.answers import joined

Result = Mapping[str, Any]
FLAGS = {
    "fold_ln": "the scale and bias of each normalisation folded into the matrix that reads it",
    "center_writing_weights": "the mean subtracted from what is written to the residual stream",
    "center_unembed": "the mean subtracted from the unembedding",
    "fold_value_biases": "value biases folded into the output bias of attention",
}


SAYS = "The paper says that a language model computes with nearly perpendicular vectors, which it adds up and binds."
"""For readers who do not know it."""


def headline(claims: Sequence[Mapping[str, Any]], not_run: Sequence[str]) -> tuple[str, str]:
    """What was found, in one sentence that needs no knowledge of the paper, and in another one what that leaves out."""
    judged = [claim for claim in claims if not claim["exploratory_only"]]
    counts = {verdict: sum(claim["verdict"] == verdict for claim in judged) for verdict in formatting.WORST_FIRST}
    checked = sum(counts.values()) - counts["not-checked"]
    given = sum(_shape_gives_all(claim) for claim in judged)
    parts = []
    if n := counts["holds"]:
        parts.append(f"{n} {_verb(n, 'holds', 'hold')} wherever checked{_of_these(n, given)}")
    if n := counts["chance"]:
        parts.append(f"{n} {_verb(n, 'does', 'do')} no better than random numbers")
    if n := counts["refuted"]:
        parts.append(f"{n} {_verb(n, 'fails', 'fail')} in at least one place")
    if parts:
        noun = "claim" if checked == 1 else "claims"
        sentence = f"Of {checked} {noun} checked on this model, {joined(parts)}."
    elif judged:
        sentence = "None of the claims in this run could be checked on this model."
    else:
        sentence = "No claim has primary subjects in this run."
    rest = []
    if parts and (n := counts["not-checked"]):
        rest.append(f"{n} more could not be checked")
    if n := len(claims) - len(judged):
        rest.append(
            f"{n} {'others ' if rest else ''}{_verb(n, 'goes', 'go')} beyond the paper and "
            f"{_verb(n, 'is', 'are')} counted separately"
        )
    if not_run and claims:
        rest.append(f"{len(not_run)} {_verb(len(not_run), 'was', 'were')} not run")
    return sentence, f"{'; '.join(rest)}." if rest else ""


def _verb(n: int, one: str, many: str) -> str:
    return one if n == 1 else many


def _of_these(n: int, given: int) -> str:
    """How many of the claims that hold an untrained network meets as well."""
    if not given:
        return ""
    which = "which" if n == 1 else f"{given} of these"
    return f" ({which} an untrained network of the same shape meets too)"


def _shape_gives_all(claim: Mapping[str, Any]) -> bool:
    """Whether a claim holds, and on every primary subject that holds so does it on the untrained twin."""
    counts = claim["counts"]["primary"]
    return claim["verdict"] == "holds" and bool(counts["holds"] == counts["given_by_shape"])


def not_checked(results: Sequence[Result]) -> list[tuple[str, list[Result]]]:
    """The results that were not checked, by the reason why."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        if result["verdict"] == "not-checked":
            groups.setdefault(result["reason"], []).append(result)
    return list(groups.items())


def bases(results: Sequence[Result]) -> list[tuple[str, str]]:
    """Each basis of weights in the run, with a sentence on what was done to the weights."""
    found = []
    for basis in sorted({result["basis"] for result in results}):
        flags: dict[str, bool] = {}
        for result in results:
            if result["basis"] == basis:
                flags |= result["effective_flags"]
        done = [f"{FLAGS.get(name, 'see TransformerLens')} ({name})" for name, on in sorted(flags.items()) if on]
        left = [name for name, on in sorted(flags.items()) if not on]
        if basis == "raw":
            sentence = "The weights as stored, unchanged."
            sentence += f" However, these steps took effect: {'; '.join(done)}." if done else ""
        else:
            sentence = "The weights as TransformerLens prepares them; the model's predictions stay the same. "
            sentence += f"Steps that took effect: {'; '.join(done)}. " if done else "None of its steps took effect. "
            sentence += f"Steps that do not apply to this model: {', '.join(left)}." if left else ""
        found.append((basis, sentence.strip()))
    return found


def recorded(results: Sequence[Result]) -> str:
    """How the verdicts compare with those recorded for the model."""
    known = [result for result in results if result["recorded"]]
    if not known:
        return "No verdicts are recorded for this model, so there is nothing to compare with."
    differing = sum(result["verdict"] != result["recorded"]["verdict"] for result in known)
    without = len(results) - len(known)
    sentence = (
        f"All {len(known)} verdicts recorded for these subjects are unchanged."
        if not differing
        else f"{differing} of {len(known)} verdicts differ from the recorded ones (marked below)."
    )
    return sentence + (f" {without} subjects have no recorded verdict." if without else "")
