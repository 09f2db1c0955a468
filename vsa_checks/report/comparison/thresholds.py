"""For every threshold for near-orthogonality: how many matrices pass it, and what share of neurons is explained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from vsa_checks.report.comparison.runs import Json, Run
from vsa_checks.report.summary import hardest_null

OUTPUTS = "mlp-out-near-orthogonal"
MATRICES = ("attention-near-orthogonal", OUTPUTS)
UNIT = "1/sqrt(d_model)"
EXPLAINED = "neurons-beyond-chance"


def found_thresholds(runs: Sequence[Run]) -> list[Json]:
    """What passes each threshold, for each run and basis of which matrices were measured.

    Returns
    -------
    list of dict
        `run` (its number) and `basis`; `asked`, the thresholds of the run's own claims, and `thresholds`, the values at
        which another matrix passes, both in units of 1/sqrt(d), ascending; at each of the latter `passing`, the share
        of matrices whose rms cosine is no larger, `explained`, the share of neurons that are closer to a sum of tokens
        than chance, of the layers (and experts) whose W_out passes, and `chance`, that share of the hardest null (both
        null where no such layer passes); `matrices` and `neurons`, how many there are.
    """
    found = []
    for number, run in enumerate(runs):
        for basis in run.bases:
            results = [one for one in run.results.values() if one["basis"] == basis and one["value"] is not None]
            matrices = [one for one in results if one["claim"] in MATRICES]
            if matrices:
                neurons = [one for one in results if one["claim"] == EXPLAINED]
                records = [run.records[claim] for claim in {one["claim"] for one in matrices}]
                asked = {one["threshold"] for one in records if one["threshold_unit"] == UNIT and one["threshold"] > 0}
                found.append({"run": number, "basis": basis, "asked": sorted(asked), **_swept(matrices, neurons, run)})
    return found


def _swept(matrices: Sequence[Json], neurons: Sequence[Json], run: Run) -> Json:
    d, alpha = run.model["d_model"], run.records.get(EXPLAINED, {}).get("alpha")
    at = {one["id"]: one["value"] * math.sqrt(d) for one in matrices}
    outputs = {_place(one): at[one["id"]] for one in matrices if one["claim"] == OUTPUTS}
    read = [one for one in neurons if _place(one) in outputs]
    thresholds = sorted(set(at.values()))
    explained = [_explained([one for one in read if outputs[_place(one)] <= t], alpha) for t in thresholds]
    return {
        "thresholds": thresholds,
        "passing": [sum(value <= t for value in at.values()) / len(at) for t in thresholds],
        "explained": [share for share, _ in explained],
        "chance": [chance for _, chance in explained],
        "matrices": len(at),
        "neurons": sum(one["n_examined"] for one in read),
    }


def _place(result: Json) -> tuple[Any, Any]:
    return result["subject"]["layer"], result["subject"].get("expert")


def _explained(read: Sequence[Json], alpha: float | None) -> tuple[float | None, float | None]:
    """Share of all these neurons that are explained, and that chance explains; each layer by its neurons."""
    n = sum(one["n_examined"] for one in read)
    if not n:
        return None, None
    nulls = [(one["n_examined"], hardest_null(one, alpha)) for one in read]
    known = [(count, null["value"]) for count, null in nulls if null is not None]
    chance = sum(count * value for count, value in known) / n if len(known) == len(nulls) else None
    return sum(one["n_examined"] * one["value"] for one in read) / n, chance
