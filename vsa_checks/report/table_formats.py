"""Tables of a run for papers and programs: Markdown, LaTeX, CSV, Parquet and JSON."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vsa_checks.report import formatting
from vsa_checks.report.escaping import csv_cell, latex, markdown
from vsa_checks.report.quantities import Quantity, probability, quantity
from vsa_checks.report.table import claims_frame, table

if TYPE_CHECKING:
    from pandas import DataFrame

FORMATS = ("markdown", "latex", "csv", "parquet", "json")
LONG = 40  # rows from which a LaTeX table goes over pages
Row = Mapping[str, Any]


def write_table(
    document: Row,
    form: str,
    *,
    claims: Collection[str] | None = None,
    layers: Collection[int] | None = None,
    subjects: bool = False,
) -> str | bytes:
    """Give a table of a run in one of `FORMATS`.

    Parameters
    ----------
    document : mapping
        The content of results.json.
    form : str
        One of `FORMATS`. Markdown and LaTeX have the columns of a paper's table with numbers as a reader sees them; the
        others have all columns (`vsa_checks.report.table`) and numbers in full.
    claims : collection of str, optional
        Only these claims.
    layers : collection of int, optional
        Of subjects, only those of these layers, and those that have no layer.
    subjects : bool
        One row for each subject; otherwise one for each claim and basis, with counts and the least favourable subject.

    Returns
    -------
    str or bytes
        Bytes for Parquet. LaTeX is a `table` with booktabs rules, or a `longtable` where it is long.
    """
    frame = table(document) if subjects else claims_frame(document)
    if claims is not None:
        frame = frame[frame["claim"].isin(list(claims))]
    if layers is not None and subjects:
        frame = frame[frame["layer"].isna() | frame["layer"].isin(list(layers))]
    if form == "parquet":
        buffer = io.BytesIO()
        frame.to_parquet(buffer, engine="pyarrow", index=False)
        return buffer.getvalue()
    if form == "json":
        return json.dumps(_records(frame), indent=1) + "\n"  # ASCII: nothing in it can act on a terminal
    if form == "csv":
        cells = frame.map(csv_cell, na_action="ignore")
        return str(cells.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC))
    return _LAYOUTS[form](_for_readers(frame, subjects, document), document)


def _records(frame: DataFrame) -> list[dict[str, Any]]:
    """The rows, with None for what is missing."""
    records: list[dict[str, Any]] = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return records


def _for_readers(frame: DataFrame, subjects: bool, document: Row) -> list[dict[str, str]]:
    """The cells of a paper's table, by the headings of their columns."""
    if subjects:
        frame = frame.sort_values(["section", "claim", "basis", "layer", "expert", "matrix"], na_position="first")
    records = _records(frame)
    several = frame["basis"].nunique() > 1
    by_claim, d_vocab = document["summary"]["by_claim"], document["model"]["d_vocab"]
    made = [_subject_cells(one) if subjects else _claim_cells(one) for one in records]
    for cells, one in zip(made, records, strict=True):
        if not several:
            del cells["Basis"]
        cells.update(_judged(one, quantity(by_claim[one["claim"]]["record"]["metric"], d_vocab)))
    return made


def _claim_cells(row: Row) -> dict[str, str]:
    n = sum(row[name] for name in ("holds", "chance", "refuted", "not_checked"))
    star = "" if row["counted"] == "primary" else "*"
    return {
        "Section": row["section"],
        "Claim": row["claim"] + star,
        "Basis": row["basis"],
        "Holds": f"{row['holds']} of {n}",
    }


def _subject_cells(row: Row) -> dict[str, str]:
    layer = formatting.NOTHING if row["layer"] is None else str(row["layer"])
    layer += "" if row["expert"] is None else f", expert {row['expert']}"
    place = {"Layer": layer, "Matrix": row["matrix"] or formatting.NOTHING}
    return {"Section": row["section"], "Claim": row["claim"], "Basis": row["basis"], **place}


def _judged(row: Row, kind: Quantity) -> dict[str, str]:
    """Value, threshold, chance and verdict; a dash where a row has no such thing."""
    value, unchecked = row["value"], row["verdict"] == "not-checked"
    origin = {"paper": " (paper)", "ours": ""}[row["threshold_origin"]]
    remarks = [name for name in ("fragile", "unsettled") if row[name] is True]
    return {
        "Value": kind.short(value, row["threshold"]),
        "Threshold": formatting.NOTHING if unchecked else kind.rule(row) + origin,
        "Chance": kind.short(row["null_value"], value),
        "p": formatting.NOTHING if row["p_value"] is None else probability(row["p_value"]),
        "Verdict": ", ".join([row["verdict"].replace("-", " "), *remarks]),
    }


def _as_markdown(rows: Sequence[Mapping[str, str]], document: Row) -> str:
    if not rows:
        return f"{markdown(_about(document))}\n"
    lines = [list(rows[0]), ["---:" if name in _NUMBERS else "---" for name in rows[0]]]
    lines += [[markdown(cell) for cell in row.values()] for row in rows]
    notes = [markdown(_about(document)), *_notes(rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n\n" + " ".join(notes) + "\n"


def _as_latex(rows: Sequence[Mapping[str, str]], document: Row) -> str:
    import pandas

    names = list(rows[0]) if rows else ["Section", "Claim", *_NUMBERS, "Verdict"]
    cells = [{name: _in_latex(cell, name in _NUMBERS) for name, cell in row.items()} for row in rows]
    frame = pandas.DataFrame(cells, columns=names)
    caption = " ".join([latex(_about(document)), *map(latex, _notes(rows))])
    text = frame.to_latex(
        index=False,
        escape=False,
        longtable=len(frame) > LONG,
        column_format="".join("r" if name in _NUMBERS else "l" for name in names),
        caption=caption,
        label="tab:vsa-checks",
        position=None if len(frame) > LONG else "tbp",
    )
    if len(frame) > LONG:
        return f"% needs: \\usepackage{{booktabs,longtable}}\n{{{_NARROW}{_WIDE_CAPTION}\n{text}}}\n"
    # Before a table its size of type is set anew.
    return "% needs: \\usepackage{booktabs}\n" + text.replace("[tbp]\n", f"[tbp]\n{_NARROW}\n", 1)


def _in_latex(cell: str, numbers: bool) -> str:
    """A cell for LaTeX; negative numbers and powers of ten in it as mathematics."""
    # Behind \\ and \midrule these two would be read as part of the command.
    escaped = re.sub(r"^(\s*)([\[*])", r"\1{\2}", latex(cell))
    if not numbers:
        return escaped
    powers = re.sub(r"(-?\d[\d.]*)e(-?\d+)", r"$\1 \\times 10^{\2}$", escaped)
    return re.sub(r"(?<![\w${^])-(?=\d)", "$-$", powers)


_NARROW = r"\footnotesize\setlength{\tabcolsep}{3pt}\setlength{\belowcaptionskip}{6pt}"
"""Nine columns have no room on a page otherwise."""
_WIDE_CAPTION = r"\setlength{\LTcapwidth}{\linewidth}"
_NUMBERS = ("Holds", "Value", "Threshold", "Chance", "p")
_LAYOUTS: dict[str, Callable[[Sequence[Mapping[str, str]], Row], str]] = {"markdown": _as_markdown, "latex": _as_latex}


def _about(document: Row) -> str:
    """The table's subject: it must not be taken for the paper's own model, nor a partial run for a complete one."""
    partial = formatting.partial_line(document)
    return " ".join(
        filter(None, (f"Model: {document['model']['name']}.", formatting.paper_line(document["model"]), partial))
    )


def _notes(rows: Sequence[Mapping[str, str]]) -> list[str]:
    notes = []
    if rows and "Holds" in rows[0]:
        notes.append("Value, threshold, chance and verdict are those of a claim's least favourable subject.")
    if any(row["Claim"].endswith("*") for row in rows):
        notes.append("*: a claim without primary subjects; exploratory ones are counted.")
    notes.append("Chance: the decisive null that is hardest to beat.")
    return notes
