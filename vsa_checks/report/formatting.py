"""Numbers, names and counts as a reader sees them, alike on the page, on the terminal and in the log."""

from collections.abc import Iterable, Mapping
from typing import Any

from vsa_checks.report.escaping import visible as visible  # others take it from here

VERDICTS = ("holds", "chance", "refuted", "not-checked")
WORST_FIRST = ("refuted", "chance", "holds", "not-checked")
DIRECTION_SIGNS = {"<=": "≤", ">=": "≥"}
ORIGINS = {"paper": "the paper's", "ours": "ours"}
NOTHING = "–"
LEAST_COLUMNS, USUAL_COLUMNS = 40, 80
GIVEN = "given by the shape"
"""Stands beside a verdict of `holds` where an untrained network of the same shape meets the claim too."""


def readable_width(columns: int) -> int:
    """The columns to print in: where a terminal, or COLUMNS, has none to speak of, lines go on beyond its edge."""
    return columns if columns >= LEAST_COLUMNS else USUAL_COLUMNS


def number(value: float | None, digits: int = 4) -> str:
    """A number with `digits` significant digits, very small and large ones with an exponent; None as a dash."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int) and abs(value) < 10**15:
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if value == 0:
        return "0"
    if 1e-4 <= abs(value) < 1e5:
        return f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:.0f}"
    mantissa, exponent = f"{value:.{digits - 2}e}".split("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent)}"


def against(value: float | None, other: float | None, digits: int = 4) -> str:
    """A number with enough digits to show that it is not the other one (0.79996 against 0.8)."""
    if value is None or other is None or value == other:
        return number(value, digits)
    return next((number(value, n) for n in range(digits, 17) if number(value, n) != number(other, n)), repr(value))


def layer_ranges(layers: Iterable[int]) -> str:
    """Layer numbers in short: 0, 2, 3, 4, 9 becomes "0, 2–4, 9"."""
    runs: list[list[int]] = []
    for layer in sorted(set(layers)):
        if runs and layer == runs[-1][1] + 1:
            runs[-1][1] = layer
        else:
            runs.append([layer, layer])
    return ", ".join(str(a) if a == b else f"{a}, {b}" if b == a + 1 else f"{a}–{b}" for a, b in runs)


def duration(seconds: float) -> str:
    """A span of time: "4 min 10 s", "0.8 s"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s"


def paper_line(model: Mapping[str, Any]) -> str:
    """One sentence on whether the model is the paper's own."""
    if model["is_paper_model"]:
        return "This is the paper's own model (GPT-2 small)."
    return "The paper's own model (GPT-2 small) was NOT checked."


def counts_in_words(counts: Mapping[str, int]) -> str:
    """Verdict counts that are not zero, worst first: "1 refuted, 27 hold (of which 20 are given by the shape)"."""
    holds = "holds" if counts["holds"] == 1 else "hold"
    if counts["given_by_shape"]:
        holds += f" ({shape_in_words(counts)})"
    words = {"refuted": "refuted", "chance": "met by chance", "holds": holds, "not-checked": "not checked"}
    return ", ".join(f"{counts[verdict]} {words[verdict]}" for verdict in WORST_FIRST if counts[verdict]) or "none"


def shape_in_words(counts: Mapping[str, int]) -> str:
    """How many of those that hold the untrained twin meets as well: "of which 20 are given by the shape"."""
    given = counts["given_by_shape"]
    return f"of which {given} {'is' if given == 1 else 'are'} given by the shape"


def remarks(result: Mapping[str, Any]) -> list[str]:
    """What stands beside a verdict: fragile, unsettled, given by the shape."""
    given = result["verdict"] == "holds" and bool((result["twin"] or {}).get("met"))
    found = {"fragile": result["fragile"], "unsettled": result["unsettled"], GIVEN: given}
    return [remark for remark, applies in found.items() if applies]


def anchor(subject_id: str) -> str:
    """Where a subject stands on the page of its model: what follows the # of a link."""
    return f"s-{subject_id.replace('/', '.')}"


def partial_line(document: Mapping[str, Any]) -> str:
    """What part of the model's subjects a document holds, in one sentence or two; nothing for one that holds all."""
    environment, n_results = document["environment"], len(document["results"])
    n_subjects = environment.get("n_subjects", n_results)
    selected, ended = environment.get("selection"), environment.get("interrupted")
    if n_results + len(environment.get("crashed", [])) >= n_subjects and not (selected or ended):
        return ""
    why = [f"chosen with {visible(selected)}"] if selected else []
    why += ["the run was ended before its last check"] if ended else []
    reasons = f" ({'; '.join(why)})" if why else ""
    return f"This run is partial: {n_results} of {n_subjects} subjects{reasons}."
