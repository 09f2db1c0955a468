"""Count verdicts, find each claim's worst subject, correct exploratory p-values for their number."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vsa_checks.report.formatting import GIVEN, VERDICTS, WORST_FIRST, remarks
from vsa_checks.statistics import holm

Result = Mapping[str, Any]
WORST_KEYS = (
    *("id", "primary", "verdict", "fragile", "unsettled", "twin", "value", "direction", "threshold"),
    *("threshold_origin", "reference"),
)
MATRICES = ("W_E", "W_pos", "W_Q", "W_K", "W_V", "W_O", "QK", "OV", "W_gate", "W_in", "W_out", "W_U")


def count(results: Iterable[Result]) -> dict[str, int]:
    """How many results carry each verdict, how many of those that hold the shape gives, how many are unsettled."""
    counts = dict.fromkeys((*VERDICTS, "given_by_shape", "unsettled"), 0)
    for result in results:
        counts[result["verdict"]] += 1
        counts["given_by_shape"] += GIVEN in remarks(result)
        counts["unsettled"] += result["unsettled"]
    return counts


def lead(result: Result, value: float) -> float:
    """The margin by which the result beats another value in the claimed direction."""
    difference: float = result["value"] - value
    return difference if result["direction"] == ">=" else -difference


def hardest_null(result: Result, alpha: float | None) -> dict[str, Any] | None:
    """The null that decides: a decisive one that the value does not beat, else the one that it beats least surely.

    Among these it is the one with the largest p, then the one with the smallest lead. Without decisive nulls it is the
    one that comes closest to the value or passes it. `alpha` is that of the claim's record as the run had it.
    """
    if result["value"] is None or not result["nulls"]:
        return None
    decisive = [null for null in result["nulls"] if null["decisive"]]
    if not decisive:
        return dict(min(result["nulls"], key=lambda null: (lead(result, null["value"]), null["name"])))
    return dict(
        min(
            [null for null in decisive if not beaten(result, null, alpha)] or decisive,
            key=lambda null: (-(null["p_value"] or 0.0), lead(result, null["value"]), null["name"]),
        )
    )


def beaten(result: Result, null: Mapping[str, Any], alpha: float | None) -> bool:
    """Whether a value beats a null with a small enough p and a large enough margin."""
    told = null["p_value"] is None or alpha is None or null["p_value"] <= alpha
    return told and lead(result, null["value"]) >= (null["delta"] or 0.0)


def unfavourable(result: Result) -> tuple[int, float, tuple[Any, ...]]:
    """Sort key, least favourable to the claim first: verdict, then margin, then place in the model."""
    slack = 0.0 if result["value"] is None else lead(result, result["threshold"])
    return WORST_FIRST.index(result["verdict"]), slack, place(result)


def place(result: Result) -> tuple[Any, ...]:
    """Sort key by place in the model: basis, layer, expert, and matrix in the order in which the model uses them."""
    layer, matrix = result["subject"]["layer"], result["subject"]["matrix"]
    expert = result["subject"].get("expert")
    order = MATRICES.index(matrix) if matrix in MATRICES else len(MATRICES)
    places = [-1 if place is None else place for place in (layer, expert)]
    return result["basis"], *places, order, matrix or "", result["id"]


def worst(results: Sequence[Result], alpha: float | None) -> dict[str, Any]:
    """The least favourable primary subject, in short; for a claim without one, the least favourable exploratory one."""
    found = min([r for r in results if r["primary"]] or results, key=unfavourable)
    null = hardest_null(found, alpha)
    return {key: found[key] for key in WORST_KEYS} | {
        "null": null and {key: null[key] for key in ("name", "value", "p_value")}
    }


def worst_first(by_claim: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The claims of a summary: refuted, chance, holds, not-checked; those without primary subjects last."""

    def key(claim: str) -> tuple[Any, ...]:
        entry = by_claim[claim]
        return (WORST_FIRST.index(entry["verdict"]), not entry["worst"]["primary"], entry["record"]["section"], claim)

    return sorted(by_claim, key=key)


def largest_p(result: Result) -> float | None:
    """The largest p-value of the decisive nulls; None if there are none or one of them lacks it."""
    p_values = [null["p_value"] for null in result["nulls"] if null["decisive"]]
    if result["verdict"] == "not-checked" or not p_values or None in p_values:
        return None
    return float(max(p_values))


def add_q_values(results: Sequence[dict[str, Any]]) -> None:
    """Set details.q_value of the exploratory results of one claim that have p-values; this changes no verdict.

    The correction is that of Benjamini and Hochberg (1995). Earlier q-values are removed.
    """
    for result in results:
        result["details"].pop("q_value", None)
    tested = [(r, p) for r in results if not r["primary"] and (p := largest_p(r)) is not None]
    if not tested:
        return
    from scipy.stats import false_discovery_control

    for (result, _), q in zip(tested, false_discovery_control([p for _, p in tested], method="bh"), strict=True):
        result["details"]["q_value"] = float(q)


def exploratory_counts(results: Iterable[Result], alpha: float | None) -> dict[str, int]:
    """Counts of one claim's exploratory results, and how many of those that hold have a q-value within alpha."""
    exploratory = [r for r in results if not r["primary"]]
    limit = 1.0 if alpha is None else alpha
    kept = sum(r["verdict"] == "holds" and r["details"].get("q_value", 0.0) <= limit for r in exploratory)
    return count(exploratory) | {"holds_after_bh": kept}


def corrected_for_number(results: Iterable[Result], alpha: float | None) -> dict[str, int] | None:
    """Of one claim's primary subjects with p-values: how many there are, and how many are told from chance.

    Told apart are those with p <= alpha for each decisive null; after Holm's correction for their number, so are as
    many as cannot all be luck. Likewise those that hold. None where there are fewer than two.
    """
    tested = [(r["verdict"], p) for r in results if r["primary"] and (p := largest_p(r)) is not None]
    if len(tested) < 2 or alpha is None:
        return None
    after = [bool(p <= alpha) for p in holm([p for _, p in tested])]
    return {
        "n": len(tested),
        "told_apart": sum(p <= alpha for _, p in tested),
        "told_apart_after_holm": sum(after),
        "holds": sum(verdict == "holds" for verdict, _ in tested),
        "holds_after_holm": sum(verdict == "holds" and kept for (verdict, _), kept in zip(tested, after, strict=True)),
    }


def summarize(results: Sequence[Result], records: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The summary of results.json, from results with q-values and from the record of each claim."""
    of_claim: dict[str, list[Result]] = {}
    for result in results:
        of_claim.setdefault(result["claim"], []).append(result)
    by_claim = {}
    for claim, its_results in of_claim.items():
        its_worst = worst(its_results, records[claim]["alpha"])
        by_claim[claim] = {
            "record": records[claim],
            "verdict": its_worst["verdict"],
            "primary": count(r for r in its_results if r["primary"]),
            "exploratory": exploratory_counts(its_results, records[claim]["alpha"]),
            "worst": its_worst,
        }
        if (corrected := corrected_for_number(its_results, records[claim]["alpha"])) is not None:
            by_claim[claim]["corrected_for_number"] = corrected
    exploratory = count(r for r in results if not r["primary"])
    return {
        "primary": count(r for r in results if r["primary"]),
        "exploratory": exploratory
        | {"holds_after_bh": sum(entry["exploratory"]["holds_after_bh"] for entry in by_claim.values())},
        "by_claim": by_claim,
        "not_run": sorted(set(records) - set(of_claim)),
    }
