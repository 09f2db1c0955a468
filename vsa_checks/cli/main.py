"""The command line of `python -m vsa_checks`: explain one neuron; bring the README's table of claims up to date."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vsa_checks.errors import VsaChecksError
from vsa_checks.models.weights_cache import WeightsCache
from vsa_checks.paths import cache_folder
from vsa_checks.report.text import visible

if TYPE_CHECKING:
    from vsa_checks.cli.explain import Explanation

USAGE_ERROR = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, or 2 for input that cannot be used, said in one paragraph."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except VsaChecksError as error:
        print(f"{visible(error)}", file=sys.stderr)
        return USAGE_ERROR
    except BrokenPipeError:  # the reader has seen enough (a pager, head)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m vsa_checks")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    one = commands.add_parser("explain", help="what one MLP neuron reads and writes")
    one.add_argument("model", metavar="MODEL", help="a registered model, or a path")
    one.add_argument("layer", metavar="LAYER", type=int)
    one.add_argument("neuron", metavar="NEURON", type=int)
    one.add_argument("--matrix", help="W_in, or on a gated model W_gate (the default there) or W_in")
    one.add_argument("--method", choices=("pursuit", "scan"), default="pursuit", help="default: pursuit")
    one.add_argument("--max-tokens", type=int, default=10, metavar="N", help="tokens of the bundle (default: 10)")
    one.add_argument("--basis", choices=("processed", "raw"), default="processed", help="default: processed")
    one.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the nulls (default: 0)")
    one.add_argument("--no-cache", action="store_true", help="neither read nor keep weights in the cache")
    one.add_argument("--json", action="store_true", help="print JSON")
    one.set_defaults(run=_explain)
    readme = commands.add_parser("readme", help="bring the table of claims in README.md up to date")
    readme.set_defaults(run=_readme)
    return parser


def _explain(options: argparse.Namespace) -> int:
    from vsa_checks.cli.explain import explain
    from vsa_checks.models.weights import load_weights

    weights = load_weights(options.model, options.basis, WeightsCache(None if options.no_cache else cache_folder()))
    found = explain(
        weights,
        options.layer,
        options.neuron,
        options.matrix,
        options.method,
        options.max_tokens,
        seed=max(options.seed, 0),
    )
    if options.json:
        print(json.dumps(found.as_dict(), indent=1, allow_nan=False))
        return 0
    console = Console(highlight=False)
    _print(found, console)
    return 0


def _readme(_: argparse.Namespace) -> int:
    from vsa_checks.paths import ROOT
    from vsa_checks.report.claims_table import write_readme

    print("README.md: the table of claims was", "written." if write_readme(ROOT / "README.md") else "current.")
    return 0


def _print(found: Explanation, console: Console) -> None:
    place = f"{visible(found.model)}, layer {found.layer}, neuron {found.neuron}, {found.matrix} ({found.basis} basis)"
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
            Text(_quoted(step.name)),
            f"{step.alone:.3f}",
            Text(f"{step.cosine:.3f}", style="bold green" if beyond else ""),
            _range(step.random),
            _range(step.matched),
        )
    console.print(table)
    console.print(Text("bundle: cosine after the token; the bands hold nine of ten null neurons", style="dim"))
    _section(console, "Heads that write what it reads (1 is chance), and tokens so bound")
    for head in found.heads:
        _line(console, f"{head.layer}.{head.head}", f"{head.strength:.2f}", _tokens(head.tokens))
    if found.sources:
        _section(
            console, f"Earlier neurons that write what it reads (chance would give {found.source_bar:.3f} at best)"
        )
        for source in found.sources:
            _line(console, f"{source.layer}-{source.neuron}", f"{source.cosine:.3f}", "")
    if found.promotes:
        _section(console, "What it writes, beside the unembedding")
        _line(console, "up", "", _tokens(found.promotes))
        _line(console, "down", "", _tokens(found.suppresses))


def _section(console: Console, title: str) -> None:
    console.print()
    console.print(Text(title, style="bold"))


def _line(console: Console, name: str, figure: str, rest: str) -> None:
    console.print(Text(f"  {name:>8}  {figure:>6}  {rest}".rstrip()), soft_wrap=True)


def _range(band: tuple[float, float]) -> str:
    return f"{band[0]:.3f} to {band[1]:.3f}"


def _tokens(tokens: Sequence[tuple[str, float]]) -> str:
    return "  ".join(f"{_quoted(name)} {cosine:.2f}" for name, cosine in tokens)


def _quoted(name: str) -> str:
    return f"'{visible(name)}'"
