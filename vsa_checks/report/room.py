"""Choose the subjects whose details fit on a page: all in a usual run, the most important ones in a very large run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MOST_BYTES, EACH, LEAST_BYTES = 2_600_000, 700, 300_000
"""Of all rows of subjects together, of one without its details, and of all details however many rows there are."""
_CELL, _PART = 12, 250


def leave_out(claims: Sequence[Mapping[str, Any]]) -> None:
    """Set `left_out` of the rows whose details the page has no room for.

    Each claim's worst subject comes first, then those of the first, the middle and the last layer, then all others;
    primary ones before exploratory ones.

    Parameters
    ----------
    claims
        As `claim_view.claim_views` makes them; their rows are changed.
    """
    ranked: list[tuple[tuple[int, bool, int], dict[str, Any]]] = []
    for claim in claims:
        layers = sorted({one["subject"]["layer"] for one in claim["results"]} - {None})
        chosen = {layers[at] for at in (0, len(layers) // 2, -1)} if layers else set()
        for _, rows, *_ in claim["tables"]:
            for row in rows:
                one = row["result"]
                rank = 0 if one is claim["worst"] else 1 if one["subject"]["layer"] in {None, *chosen} else 2
                ranked.append(((rank, not one["primary"], len(ranked)), row))
    left = max(LEAST_BYTES, MOST_BYTES - EACH * len(ranked))
    for _, row in sorted(ranked, key=lambda item: item[0]):
        size = _size(row["details"])
        row["left_out"] = size > left
        left -= 0 if row["left_out"] else size


def _size(details: Mapping[str, Any]) -> int:
    """Approximate number of HTML characters in the details of one subject."""
    if not details["any"]:
        return 0
    across = [cell for _, cells in details["by_head"] or () for cell in cells]
    down = [cell for _, table in details["tables"] for cells in table["rows"] for cell in cells]
    listed = [part for one in details["values"] for part in one]
    size = sum(len(cell) + _CELL for cell in (*across, *down, *listed))
    parts = 1 + bool(across) + len(details["tables"])
    return size + _PART * parts + sum(len(details[name] or "") for name in ("curve", "histogram"))
