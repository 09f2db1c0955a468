"""index.html: one self-contained page from the document of a run. Nothing is measured or judged here."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from markupsafe import Markup

from vsa_checks.figures.store import NO_ARRAYS, Kept, read_file
from vsa_checks.report import formatting
from vsa_checks.report.charts import bars_by_layer, lanes, lines_by_layer, shares
from vsa_checks.report.details import details_view
from vsa_checks.report.document import schema, text_of
from vsa_checks.report.figures_view import figures_view
from vsa_checks.report.rendering import page_environment
from vsa_checks.report.summary import lead, place, worst_first
from vsa_checks.writing import write_whole

FILE_NAME = "index.html"
OPEN_ROWS = 12  # longer tables start closed
LISTED = 6  # subjects named in the overview where there are no layers to draw
Result = Mapping[str, Any]

FLAGS = {
    "fold_ln": "the scale and bias of each normalisation folded into the matrix that reads it",
    "center_writing_weights": "the mean taken out of what is written to the residual stream",
    "center_unembed": "the mean taken out of the unembedding",
    "fold_value_biases": "value biases folded into the output bias of attention",
}


def render(document: Mapping[str, Any], kept: Kept = NO_ARRAYS) -> str:
    """The page of a valid document (see document.validate) as HTML: no script, no network, all escaped.

    `kept` holds the arrays for its figures.
    """
    claims = claim_views(document)
    results = document["results"]
    return _template().render(
        model=dict.fromkeys(schema()["$defs"]["model"]["properties"]) | document["model"],
        environment=document["environment"],
        summary=document["summary"],
        paper=document["paper"],
        schema_version=document["schema_version"],
        paper_line=formatting.paper_line(document["model"]),
        headline=_headline(claims),
        partial=formatting.partial_line(document),
        bases=_bases(results),
        recorded=_recorded(results),
        n_results=len(results),
        claims=claims,
        not_checked=[(claim, groups) for claim in claims if (groups := _not_checked(claim["results"]))],
        verdicts=formatting.WORST_FIRST,
        figures=figures_view(document, kept),
    )


def write_page(document: Mapping[str, Any], directory: str | Path) -> Path:
    """Write the page of a valid document to `directory`/index.html, whole or not at all, and return the path.

    Its figures use the figures.npz that lies there, if it belongs to the document.
    """
    path = Path(directory) / FILE_NAME
    write_whole(path, render(document, read_file(Path(directory), text_of(document))))
    return path


@cache
def _template() -> Any:
    filters = {
        "number": formatting.number,
        "duration": formatting.duration,
        "visible": formatting.visible,
        "in_words": formatting.counts_in_words,
        "rule": formatting.threshold_rule,
        "remarks": formatting.remarks,
        "shape_in_words": formatting.shape_in_words,
        "glyph": _glyph,
        "section": _section,
    }
    environment = page_environment(filters)
    environment.globals["given"] = formatting.GIVEN
    return environment.get_template("index.html.j2")


def claim_views(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The claims as the page shows them, worst first."""
    of_claim: dict[str, list[Result]] = {}
    for result in document["results"]:
        of_claim.setdefault(result["claim"], []).append(result)
    by_claim = document["summary"]["by_claim"]
    return [_claim_view(claim, of_claim[claim], by_claim[claim]) for claim in worst_first(by_claim)]


def _claim_view(claim: str, results: Sequence[Result], entry: Mapping[str, Any]) -> dict[str, Any]:
    results = sorted(results, key=place)
    worst = next(result for result in results if result["id"] == entry["worst"]["id"])
    primary = [result for result in results if result["primary"]]
    both_bases = len({result["basis"] for result in results}) > 1
    strips = []
    charts = []
    for (basis, matrix), members in _by_matrix(results).items():
        name = " ".join(part for part in (matrix, f"({basis})" if both_bases else None) if part) or "all"
        charts.append((name, lines_by_layer(members, f"{claim}, {name}, by layer")))
        if basis == worst["basis"]:
            strips.append((name, bars_by_layer(members, f"{claim}, {name}, by layer"), _where(members)))
    return {
        "id": claim,
        "record": entry["record"],
        "verdict": entry["verdict"],
        "exploratory_only": not primary,
        "worst": worst,
        "effective": _effective(entry["record"], results),
        "worst_place": _place(worst, both_bases),
        "lanes": lanes(worst),
        "strips": strips,
        "listed": [
            {
                "place": _place(r, both_bases),
                "verdict": r["verdict"],
                "value": r["value"] and formatting.number(r["value"]),
            }
            for r in results[:LISTED]
        ],
        "shares": shares(entry["primary"] if primary else entry["exploratory"]),
        "charts": charts,
        "counts": {"primary": entry["primary"], "exploratory": entry["exploratory"]},
        "n_exploratory": len(results) - len(primary),
        "n_holds": entry["primary"]["holds"] + entry["exploratory"]["holds"],
        "n_given": entry["primary"]["given_by_shape"] + entry["exploratory"]["given_by_shape"],
        "corrected": entry.get("corrected_for_number"),
        "n_tested": sum("q_value" in result["details"] for result in results),
        "results": results,
        "tables": [
            (kind, rows, len(rows) <= OPEN_ROWS and kind == "primary")
            for kind, members in (("primary", primary), ("exploratory", [r for r in results if not r["primary"]]))
            if (rows := [_row(result, both_bases) for result in members])
        ],
    }


def _effective(record: Mapping[str, Any], results: Sequence[Result]) -> float | None:
    """The threshold as a plain number, if the claim gives it in a unit; None if subjects have different ones."""
    thresholds = {result["threshold"] for result in results if result["verdict"] != "not-checked"}
    return thresholds.pop() if record["threshold_unit"] != "1" and len(thresholds) == 1 else None


def _by_matrix(results: Sequence[Result]) -> dict[tuple[str, str | None], list[Result]]:
    """Results of the subjects that stand at two or more layers, by basis and matrix, in order of layers."""
    groups: dict[tuple[str, str | None], list[Result]] = {}
    for result in results:
        if result["subject"]["layer"] is not None:
            groups.setdefault((result["basis"], result["subject"]["matrix"]), []).append(result)
    return {key: members for key, members in groups.items() if len(members) > 1}


def _where(results: Sequence[Result]) -> str:
    """Which verdicts a strip shows, in few words: the rarer ones are named with their layers."""
    by_verdict = {
        verdict: [r["subject"]["layer"] for r in results if r["verdict"] == verdict] for verdict in formatting.VERDICTS
    }
    words = {"holds": "holds", "chance": "chance", "refuted": "refuted", "not-checked": "not checked"}
    found = {verdict: layers for verdict, layers in by_verdict.items() if layers}
    given = sum(formatting.GIVEN in formatting.remarks(result) for result in results)
    shape = f"; the shape gives {'all' if given == len(found['holds']) else given} that hold" if given else ""
    if len(found) == 1:
        return f"{words[next(iter(found))]} at all {len(results)} layers{shape}"
    most = max(found, key=lambda verdict: len(found[verdict]))
    parts = []
    for verdict, layers in found.items():
        if verdict == most:
            continue
        listed = formatting.layer_ranges(layers)
        where = f"layer {listed}" if len(layers) == 1 else f"layers {listed}"
        parts.append(f"{words[verdict]} at {where if len(listed) <= 24 else f'{len(layers)} layers'}")
    return "; ".join([*parts, f"{words[most]} at the other {len(found[most])}"]) + shape


def _place(result: Result, with_basis: bool) -> str:
    layer, matrix = result["subject"]["layer"], result["subject"]["matrix"]
    expert = result["subject"].get("expert")
    parts = [None if layer is None else f"layer {layer}", None if expert is None else f"expert {expert}", matrix]
    parts.append(result["basis"] if with_basis else None)
    return ", ".join(part for part in parts if part) or "the whole model"


def _row(result: Result, with_basis: bool) -> dict[str, Any]:
    """One row of a claim's table: a result, and the words for its cells."""
    nulls = []
    for null in sorted(result["nulls"], key=lambda null: (not null["decisive"], null["name"])):
        ahead = None if result["value"] is None else lead(result, null["value"])
        nulls.append({**null, "ahead": ahead})
    recorded = result["recorded"]
    return {
        "result": result,
        "anchor": result["id"].replace("/", "."),
        "place": _place(result, with_basis),
        "value": formatting.against(result["value"], result["threshold"]),
        "nulls": nulls,
        "differs": bool(recorded) and recorded["verdict"] != result["verdict"],
        "details": details_view(result),
    }


def _not_checked(results: Sequence[Result]) -> list[tuple[str, list[Result]]]:
    groups: dict[str, list[Result]] = {}
    for result in results:
        if result["verdict"] == "not-checked":
            groups.setdefault(result["reason"], []).append(result)
    return list(groups.items())


def _headline(claims: Sequence[Mapping[str, Any]]) -> str:
    """Counts of claims by the verdict of their worst subject, as one sentence."""
    phrases = {
        "refuted": "{} refuted on at least one primary subject",
        "chance": "{} met on at least one no better than chance meets it",
        "holds": "{} held on all that could be checked",
        "not-checked": "{} could not be checked at all",
    }
    judged = [claim for claim in claims if not claim["exploratory_only"]]
    counts = {verdict: sum(claim["verdict"] == verdict for claim in judged) for verdict in formatting.WORST_FIRST}
    given = sum(_shape_gives_all(claim) for claim in judged)
    phrases["holds"] += f" ({formatting.shape_in_words({'given_by_shape': given})})" if given else ""
    parts = [phrases[verdict].format(n) for verdict, n in counts.items() if n]
    noun = "claim" if len(judged) == 1 else "claims"
    sentence = (
        f"Of {len(judged)} {noun}: {'; '.join(parts)}." if judged else "No claim has primary subjects in this run."
    )
    if others := len(claims) - len(judged):
        sentence += f" {others} more {'is' if others == 1 else 'are'} exploratory only."
    return sentence


def _shape_gives_all(claim: Mapping[str, Any]) -> bool:
    """Whether a claim holds, and on every primary subject that holds so does it on the untrained twin."""
    counts = claim["counts"]["primary"]
    return claim["verdict"] == "holds" and bool(counts["holds"] == counts["given_by_shape"])


def _bases(results: Sequence[Result]) -> list[tuple[str, str]]:
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
            sentence = "The weights as they are stored, unchanged."
            sentence += f" But took effect: {'; '.join(done)}." if done else ""
        else:
            sentence = "The weights as TransformerLens prepares them; the model's predictions stay the same. "
            sentence += f"Took effect: {'; '.join(done)}. " if done else "None of its changes took effect. "
            sentence += f"Did not apply to this model: {', '.join(left)}." if left else ""
        found.append((basis, sentence.strip()))
    return found


def _recorded(results: Sequence[Result]) -> str:
    """How the verdicts compare with those recorded for the model."""
    known = [result for result in results if result["recorded"]]
    if not known:
        return "No verdicts are on record for this model, so there is nothing to compare with."
    differing = sum(result["verdict"] != result["recorded"]["verdict"] for result in known)
    without = len(results) - len(known)
    sentence = (
        f"All {len(known)} verdicts on record for these subjects came out the same."
        if not differing
        else f"{differing} of {len(known)} verdicts differ from those on record (marked below)."
    )
    return sentence + (f" {without} subjects have no verdict on record." if without else "")


def _section(section: str) -> str:
    """The place of a claim in the paper; a claim that goes beyond the paper has words instead of a section number."""
    return f"paper, section {formatting.visible(section)}" if section[:1].isdigit() else formatting.visible(section)


def _glyph(verdict: str) -> Markup:
    """A sign beside the word of a verdict, because colour must not be the only mark."""
    return Markup('<svg class="glyph" width="12" height="12" aria-hidden="true"><use href="#sign-{}"/></svg>').format(
        verdict
    )
