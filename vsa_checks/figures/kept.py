"""What measures hand over for pictures while they have it in hand. The name of each array says what it is of.

`of(kind, basis, layer, matrix, expert)` begins every name; what follows it is the array's own. `CONTENT` describes them
all, for docs/results.md.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]
GRAM, HISTOGRAM, BUNDLES, BEST, LINKS = "gram", "histogram", "bundles", "best", "links"
PERCENTILES = (5, 25, 50, 75, 95)
CONTENT: dict[str, tuple[str, str]] = {
    "about": (
        "uint8 (bytes,)",
        "JSON: `version` of this file, and `results`, the sha256 of the results.json beside it.",
    ),
    "gram/PLACE/rows": (
        "int32 (blocks, r)",
        "The vectors of the matrix in each block of M^T M: head dimensions over all heads, neurons or token ids, "
        "at most 64, evenly spread; -1 after the last. For embeddings: first tokens that are frequent words of the "
        "text that ships with the checks, then a seeded sample.",
    ),
    "gram/PLACE/heads": ("int32 (blocks,)", "The head of each block; -1: vectors of the whole matrix."),
    "gram/PLACE/cosines": (
        "int8 (blocks, r(r-1)/2)",
        "Cosines above each block's diagonal, row by row, in units of `steps`.",
    ),
    "gram/PLACE/steps": ("float32 (blocks,)", "Step of each block: a cosine is its whole number times the step."),
    "gram/PLACE/names": (
        "uint8 (bytes,)",
        "For embeddings only. JSON: the tokens' text, and how many are frequent words.",
    ),
    "histogram/PLACE/counts": (
        "int64 (400,)",
        "All pairs of the matrix's vectors by cosine, in bins of .005 from -1 to 1.",
    ),
    "bundles/PLACE/percentiles": (
        "float32 (series, 5, k)",
        "5th, 25th, 50th, 75th and 95th percentile of the pursuit cosine after 1, 2, ... k tokens.",
    ),
    "bundles/PLACE/names": (
        "uint8 (bytes,)",
        "JSON: the name of each series: the neurons, each null, random directions.",
    ),
    "best/PLACE/neurons": ("int32 (n,)", "The twenty neurons that bundles of k tokens explain best, the best first."),
    "best/PLACE/tokens": ("int32 (n, k)", "Ids of their tokens in order of inclusion; -1 after the last."),
    "best/PLACE/cosines": ("float32 (n, k)", "The cosine after each token."),
    "best/PLACE/names": (
        "uint8 (bytes,)",
        "JSON: a list for each neuron of its tokens' text, at most 200 characters each.",
    ),
    "links/PLACE/shares": (
        "float32 (series, layers, layers)",
        "Share of the second layer's readers that are linked with a writer of the first.",
    ),
    "links/PLACE/names": ("uint8 (bytes,)", "JSON: the name of each series: the neurons, then each null."),
    "links/PLACE/strongest": (
        "int32 (n, 4)",
        "The most closely linked neurons, forward: writing layer and neuron, reading layer and neuron; one for each "
        "pair of layers, at most 200.",
    ),
    "links/PLACE/strongest_cosines": (
        "float32 (n,)",
        "Cosine between what the first writes and what the second reads.",
    ),
}


def of(kind: str, basis: str, layer: int | None = None, matrix: str | None = None, expert: int | None = None) -> str:
    """The beginning of the names of one kind of arrays: "gram/processed/L0/W_Q"; experts are L3.E5."""
    place = None if layer is None else f"L{layer}" + ("" if expert is None else f".E{expert}")
    return "/".join(part for part in (kind, basis, place, matrix) if part is not None)


def under(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Arrays with the beginning of their names put before them."""
    return {f"{prefix}/{name}": array for name, array in arrays.items()}


def places(arrays: Mapping[str, Array], kind: str) -> dict[str, dict[str, Array]]:
    """The arrays of one kind by place, such as "processed/L0/W_Q", with their own names."""
    found: dict[str, dict[str, Array]] = {}
    for name, array in arrays.items():
        start, _, rest = name.partition("/")
        if start == kind and "/" in rest:
            place, _, own = rest.rpartition("/")
            found.setdefault(place, {})[own] = array
    return found
