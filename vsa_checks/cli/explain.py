"""`vsa-checks explain`: the explanation of one neuron as tables for the terminal, or as JSON."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vsa_checks.errors import ModelError, VsaChecksError, first_line, require_seed
from vsa_checks.models import load
from vsa_checks.report.escaping import quoted, visible
from vsa_checks.report.formatting import readable_width
from vsa_checks.workbench.loading import raised_for_the_model

if TYPE_CHECKING:
    from vsa_checks.cli.neuron import Explanation


def run(options: argparse.Namespace) -> int:
    """Explain the neuron that the options name, and print it. Raises VsaChecksError if there is no such neuron."""
    require_seed(options.seed)
    try:
        model = load(options.model, options.basis, check=False)
        from vsa_checks.cli.neuron import explain  # slow (compiled loops): an unknown name is reported first

        found = explain(
            model,
            options.layer,
            options.neuron,
            options.matrix,
            options.method,
            options.max_tokens,
            expert=options.expert,
            seed=options.seed,
        )
    except VsaChecksError:
        raise
    except Exception as error:
        if not raised_for_the_model(error):
            raise
        raise ModelError(
            f"The model {options.model} cannot be read in the {options.basis} basis: {first_line(error)}. Check that"
            " its files are complete and that there is enough free memory, or give another model."
        ) from error
    if options.json:
        print(json.dumps(found.as_dict(), indent=1, allow_nan=False))
    else:
        print_explanation(found, Console(highlight=False, width=readable_width(Console().width)))
    return 0


def print_explanation(found: Explanation, console: Console) -> None:
    """Print the bundle next to its nulls, then what feeds the neuron and what it promotes."""
    layer = f"layer {found.layer}" + ("" if found.expert is None else f", expert {found.expert}")
    place = f"{visible(found.model)}, {layer}, neuron {found.neuron}, {found.matrix} ({found.basis} basis)"
    console.print(Text(place, style="bold"), soft_wrap=True)
    more = found.bundle_size - len(found.steps)
    console.print(
        Text(
            f"Bundle of token embeddings by {'greedy pursuit' if found.method == 'pursuit' else 'the ranked scan'}"
            f" over {found.n_tokens:,} tokens{f'; {more:,} more follow' if more else ''}"
        ),
        soft_wrap=True,
    )
    table = Table("", "token", "alone", "bundle", "random directions", "covariance-matched", box=None, pad_edge=False)
    for column in table.columns[2:]:
        column.justify = "right"
    table.columns[0].justify = "right"
    for count, step in enumerate(found.steps, 1):
        beyond = step.cosine > step.matched[1] and step.cosine > step.random[1]
        table.add_row(
            str(count),
            Text(quoted(step.name)),
            f"{step.alone:.3f}",
            Text(f"{step.cosine:.3f}", style="bold green" if beyond else ""),
            _range(step.random),
            _range(step.matched),
        )
    console.print(table)
    console.print(Text("bundle: cosine after adding the token; the bands contain 90% of the null neurons", style="dim"))
    _section(console, "Heads that write what it reads (1 is chance), and the tokens they bind")
    for head in found.heads:
        _line(console, f"{head.layer}.{head.head}", f"{head.strength:.2f}", _tokens(head.tokens))
    _note(console, found.heads_note)
    if found.sources:
        _section(console, f"Earlier neurons that write what it reads (best by chance: {found.source_bar:.3f})")
        for source in found.sources:
            parts = (source.layer, source.expert, source.neuron)
            name = "-".join(str(part) for part in parts if part is not None)
            _line(console, name, f"{source.cosine:.3f}", "")
    _section(console, "What it writes, compared with the unembedding")
    if found.promotes:
        _line(console, "up", "", _tokens(found.promotes))
        _line(console, "down", "", _tokens(found.suppresses))
    _note(console, found.writes_note)


def _section(console: Console, title: str) -> None:
    console.print()
    console.print(Text(title, style="bold"))


def _line(console: Console, name: str, number: str, rest: str) -> None:
    console.print(Text(f"  {name:>8}  {number:>6}  {rest}".rstrip()), soft_wrap=True)


def _note(console: Console, words: str) -> None:
    """If a section has no lines, print why."""
    if words:
        console.print(Text(f"  none: {visible(words)}"), soft_wrap=True)


def _range(band: tuple[float, float]) -> str:
    return f"{band[0]:.3f} to {band[1]:.3f}"


def _tokens(tokens: Sequence[tuple[str, float]]) -> str:
    return "  ".join(f"{quoted(name)} {cosine:.2f}" for name, cosine in tokens)
