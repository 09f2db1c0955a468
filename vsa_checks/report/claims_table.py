"""The README's table of all claims: section, what is measured, threshold and its origin, recorded verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from vsa_checks.errors import UsageError
from vsa_checks.judging.claim import Claim, load_claims
from vsa_checks.judging.judge import CHANCE, HOLDS, NOT_CHECKED, REFUTED
from vsa_checks.judging.recorded import Known, read_recorded, recorded_path
from vsa_checks.judging.subjects import Subject, enumerate_subjects
from vsa_checks.models import describe
from vsa_checks.report.formatting import GIVEN
from vsa_checks.workbench.twin import shape_digest
from vsa_checks.workbench.twin_values import TwinValues, read_values, shipped_path

MODEL = "smollm2-135m"
BASIS = "processed"
START, END = "<!-- claims: written by `python -m vsa_checks readme` -->", "<!-- end of claims -->"
WORDS = {HOLDS: "holds", CHANCE: "chance", REFUTED: "refuted", NOT_CHECKED: "not checked"}


def claims_table() -> str:
    """A Markdown table of all claims with the verdicts recorded of the embedded model's primary subjects.

    Raises VsaChecksError if claims or recorded verdicts cannot be read.
    """
    info, claims = describe(MODEL), load_claims()
    subjects = {claim: enumerate_subjects(claims[claim], info) for claim in claims}
    ids = [subject.id for found in subjects.values() for subject in found]
    known = read_recorded(recorded_path(MODEL), None, ids)
    twin = TwinValues(info, shipped=read_values(shipped_path(MODEL), shape_digest(MODEL), seed=0))
    lines = [
        f"| claim | section | what is measured | threshold | {MODEL}, {BASIS} |",
        "| --- | --- | --- | --- | --- |",
    ]
    for claim in claims.values():
        cells = [
            f"`{claim.id}`",
            claim.section,
            claim.metric,
            _threshold(claim),
            _verdicts(claim, [subject for subject in subjects[claim.id] if subject.basis == BASIS], known, twin),
        ]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _threshold(claim: Claim) -> str:
    unit = {"1": "", "reference": " × reference", "1/sqrt(d_model)": "/√d"}[claim.threshold_unit]
    nulls = f"; beats {' and '.join(claim.decisive)}" if claim.decisive else ""
    sign = "≤" if claim.direction == "<=" else "≥"
    return f"{sign} {claim.threshold:g}{unit} ({claim.threshold_origin}){nulls}"


def _verdicts(claim: Claim, subjects: list[Subject], known: Mapping[str, Known], twin: TwinValues) -> str:
    """The verdict of a single subject, or the number of each verdict: of primary subjects, or of all without these.

    Those that hold and that the untrained twin meets too are counted separately.
    """
    chosen = [subject for subject in subjects if subject.primary] or subjects
    counts = Counter(known[subject.id].verdict if subject.id in known else None for subject in chosen)
    if set(counts) == {None}:
        return "not recorded"
    held = [subject for subject in chosen if subject.id in known and known[subject.id].verdict == HOLDS]
    given = sum((twin.shipped(claim, subject) or {}).get("met", False) for subject in held)
    if len(chosen) == 1:
        return f"{WORDS[known[chosen[0].id].verdict]}{f' ({GIVEN})' if given else ''}"
    said = [f"{WORDS[verdict]} {count}" for verdict, count in counts.most_common() if verdict]
    return ", ".join(f"{one} ({given} {GIVEN})" if given and one.startswith(WORDS[HOLDS]) else one for one in said)


def in_readme(text: str) -> str:
    """`text` with a new table between its two marks. Raises UsageError if they are missing."""
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise UsageError(f"The marks for the table of claims are missing: put back {START!r} and {END!r}.")
    return f"{before}{START}\n\n{claims_table()}\n{END}{after}"


def write_readme(path: Path) -> bool:
    """Bring the table in a README up to date, and say whether that changed it. Raises UsageError without the marks."""
    old = path.read_text(encoding="utf-8")
    new = in_readme(old)
    if new != old:
        path.write_text(new, encoding="utf-8")
    return new != old
