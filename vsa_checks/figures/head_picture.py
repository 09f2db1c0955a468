"""What each head copies: how strongly it writes the token that it attends to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vsa_checks.figures.gram_picture import ABOVE, BELOW, CHANCE
from vsa_checks.figures.picture import Choice, NothingToDraw, Picture, Report
from vsa_checks.figures.style import panels, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME, SECTION, CLAIM = "heads", "2.2", "attention-rebinds"
COLUMNS = {
    "value": "cos² with the source's bound token, minus another's",
    "copies": "cosine of what it writes with the source's unembedding, minus another's",
    "ov_eigenvalues": "how far W_V W_O maps tokens to themselves, −1 to 1",
}
"""What of a head the results hold, and what it says."""
MOST_HEADS = 1_000
MOST = 2.01
"""All are cosines, or differences of two."""


def picture(report: Report, choice: Choice) -> Picture:
    """Layers by heads, as far as the results of attention-rebinds hold them.

    Raises NothingToDraw where they hold none.
    """
    layers, tables = head_tables(report, choice)
    parts = []
    for name, table in tables.items():
        layer, head = np.unravel_index(np.nanargmax(table), table.shape)
        parts.append(
            f"{COLUMNS[name]}: highest {np.nanmax(table):.3g} in layer {layers[layer]} head {head}, median "
            f"{np.nanmedian(table):.3g}"
        )
    message = f"Each square is a head. {'; '.join(parts)}. Squares without colour were not measured."
    return Picture(NAME, "What each head copies", message, SECTION, lambda: _draw(layers, tables))


def head_tables(report: Report, choice: Choice) -> tuple[list[int], dict[str, NDArray[np.float64]]]:
    """The layers that have numbers of heads, and these (layers, heads), NaN where there is none.

    Raises NothingToDraw for none at all.
    """
    found: dict[str, dict[tuple[int, int], float]] = {}
    n_heads = min(int(report.document["model"]["n_heads"] or 0), MOST_HEADS)
    for one in report.results(CLAIM, Choice(choice.layer, None, None, choice.basis)):
        layer = one["subject"]["layer"]
        if type(layer) is not int or not 0 <= layer < report.n_layers:
            continue
        entries: Any = one["details"].get("by_head")
        for entry in entries if isinstance(entries, list) else []:
            head = entry.get("head") if isinstance(entry, dict) else None
            if type(head) is not int or not 0 <= head < n_heads:
                continue
            for name in COLUMNS:
                value = entry.get(name)
                if type(value) in (int, float) and abs(value) <= MOST:
                    found.setdefault(name, {})[layer, head] = float(value)
    if not found:
        raise NothingToDraw(f"The report has no heads for {CLAIM}, which reads text.")
    layers = sorted({layer for table in found.values() for layer, _ in table})
    row = {layer: at for at, layer in enumerate(layers)}
    tables = {name: np.full((len(layers), n_heads), np.nan) for name in COLUMNS if name in found}
    for name, table in tables.items():
        for (layer, head), value in found[name].items():
            table[row[layer], head] = value
    return layers, tables


def _draw(layers: list[int], tables: dict[str, NDArray[np.float64]]) -> Figure:
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.ticker import MaxNLocator

    n_layers, n_heads = len(layers), next(iter(tables.values())).shape[1]
    steps = [(*BELOW, 1.0), (*BELOW, 0.5), (*CHANCE, 0.12), (*ABOVE, 0.5), (*ABOVE, 1.0)]
    shown = LinearSegmentedColormap.from_list("heads", steps)
    with styled():
        height = min(6.0, max(2.0, 2.2 * n_layers / max(n_heads, 1)))
        figure, axes = panels(
            len(tables), columns=3, width=7.6, height=height, below=1.0, gap=(0.45, 0.65), shared=True
        )
        for axis, (name, table) in zip(axes, tables.items(), strict=True):
            most = float(np.nanmax(np.abs(table))) or 1.0
            image = axis.imshow(table, cmap=shown, aspect="auto", interpolation="none", vmin=-most, vmax=most)
            axis.set_title(_TITLES[name], fontsize=8)
            axis.set_xlabel("head")
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
            every = range(0, n_layers, 1 if n_layers <= 16 else 5)
            axis.set_yticks(every, [str(layers[at]) for at in every])
            box = axis.get_position()
            bar = figure.add_axes((box.x0, 0.28 / figure.get_figheight(), box.width, 0.1 / figure.get_figheight()))
            figure.colorbar(image, cax=bar, orientation="horizontal", ticks=[-most, 0, most], format="%.2g")
        axes[0].set_ylabel("layer")
    return figure


_TITLES = {
    "value": "writes its source, bound",
    "copies": "writes its source's unembedding",
    "ov_eigenvalues": "W_V W_O copies tokens",
}
