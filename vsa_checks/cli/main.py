"""The command line of `vsa-checks` and of `python -m vsa_checks`: what can be asked for, and who answers."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

import vsa_checks
from vsa_checks.errors import VsaChecksError
from vsa_checks.printing import printing

USAGE_ERROR = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments
        The words after the program's name; by default those that it was started with.

    Returns
    -------
    int
        The exit code: pytest's for `run`, else 0, or 2 for input that cannot be used, which is said in one paragraph.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    # Each command is a module of this folder, imported when it is asked for: most need libraries that take seconds.
    if words[:1] == ["run"]:  # every other word is pytest's, --help too
        return int(importlib.import_module("vsa_checks.cli.run").run(words[1:]))
    if words == ["--version"]:
        print(vsa_checks.__version__)
        return 0
    options = _parser().parse_args(words)
    try:
        with printing():
            return int(importlib.import_module(f"vsa_checks.cli.{options.command}").run(options))
    except VsaChecksError as error:
        print(error, file=sys.stderr)
        return USAGE_ERROR


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vsa-checks", description=vsa_checks.__doc__)
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    commands.add_parser("run", help="measure the claims on a model (--model NAME|PATH, and all pytest options)")
    one = commands.add_parser("explain", help="what one MLP neuron reads and writes")
    one.add_argument("model", metavar="MODEL", help="a short name, ORG/NAME[@REVISION] or a path")
    one.add_argument("layer", metavar="LAYER", type=int)
    one.add_argument("neuron", metavar="NEURON", type=int)
    one.add_argument("--matrix", help="W_in, or on a gated model W_gate (the default there) or W_in")
    one.add_argument("--expert", type=int, metavar="N", help="which expert, if the layer is a mixture of experts")
    one.add_argument("--method", choices=("pursuit", "scan"), default="pursuit", help="default: pursuit")
    one.add_argument("--max-tokens", type=int, default=10, metavar="N", help="most tokens in the bundle (default: 10)")
    one.add_argument("--basis", choices=("processed", "raw"), default="processed", help="default: processed")
    one.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the nulls (default: 0)")
    one.add_argument("--no-cache", action="store_true", help=argparse.SUPPRESS)  # earlier versions kept weights
    one.add_argument("--json", action="store_true", help="print JSON")
    _add_intervene(commands)
    models = commands.add_parser("models", help="list the models with a short name, or describe one model")
    models.add_argument("model", metavar="MODEL", nargs="?", help="a short name, ORG/NAME[@REVISION] or a path")
    _add_sweep(commands)
    _add_reports(commands)
    commands.add_parser("readme", help="in a checkout: bring the table of claims in README.md up to date")
    return parser


def _add_sweep(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    sweep = commands.add_parser("sweep", help="measure the claims on several models and revisions, and compare them")
    sweep.add_argument("--models", metavar="A,B,...", required=True, help="comma-separated names or paths")
    sweep.add_argument("--revisions", metavar="R,S,...", help="measure each model at each of these revisions")
    sweep.add_argument("--claims", metavar="IDS", help="only these: comma-separated ids, where * matches anything")
    sweep.add_argument("--layers", metavar="LIST", help="only these layers: 0,3,10-14, where -1 is the last")
    sweep.add_argument("--primary-only", action="store_true", help="only the primary subjects")
    sweep.add_argument("--basis", choices=("processed", "raw", "both"), default="processed", help="default: processed")
    sweep.add_argument("--seed", type=int, default=0, metavar="N", help="seed of nulls and intervals (default: 0)")
    sweep.add_argument("--no-twin", action="store_true", help="do not measure the untrained twin")
    sweep.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="run on this Dask cluster, which is trusted: SECURITY.md (default: only on this machine)",
    )
    sweep.add_argument(
        "--workers", type=int, metavar="N", help="simultaneous runs on this machine (default: one for every four cores)"
    )
    sweep.add_argument(
        "--memory-limit",
        type=_gigabytes,
        metavar="GB",
        help="memory that all runs on this machine may take together (default: 80%% of what is free); on a cluster, "
        "each run",
    )
    sweep.add_argument("--report-dir", metavar="DIR", help="the folder of all reports (default: reports/)")


def _gigabytes(text: str) -> float:
    from vsa_checks.plugin.options import gigabytes  # loads pytest, which other commands do without

    return gigabytes(text)


def _add_intervene(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command that changes a model and measures what it costs."""
    some = commands.add_parser(
        "intervene", help="change a model towards and away from the theory, and measure the cost"
    )
    some.add_argument("model", metavar="MODEL", help="a short name, ORG/NAME[@REVISION] or a path")
    some.add_argument("--text", metavar="FILE", help="the text that it reads (default: the texts in this package)")
    some.add_argument(
        "--interventions",
        metavar="NAMES",
        help="any of neurons, heads, embeddings, spoil and tasks, comma-separated (default: all)",
    )
    some.add_argument("--windows", type=int, default=12, metavar="N", help="windows of text to read (default: 12)")
    some.add_argument("--seed", type=int, default=0, metavar="N", help="seed of all random numbers (default: 0)")
    some.add_argument("--out", metavar="DIR", help="the folder of intervene.json (default: reports/MODEL/)")


def _add_reports(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The commands that read reports of earlier runs."""
    table = commands.add_parser("table", help="the results of a run as a table for a paper or a program")
    table.add_argument("report", metavar="REPORT", help="a results.json, or the folder of a report")
    forms = ("markdown", "latex", "csv", "parquet", "json")
    table.add_argument("--format", choices=forms, default="markdown", help="default: markdown")
    table.add_argument("--claims", metavar="IDS", help="only these: comma-separated ids, where * matches anything")
    table.add_argument(
        "--layers",
        metavar="LIST",
        nargs="?",
        const="all",
        help="one row per subject instead of one per claim; with a LIST (0,3,10-14), only for these layers",
    )
    table.add_argument("-o", "--output", metavar="FILE", help="write to this file (default: print)")
    plot = commands.add_parser("plot", help="write one figure of a report to a file, for a paper")
    plot.add_argument("report", metavar="REPORT", help="a results.json, or the folder of a report")
    plot.add_argument("figure", metavar="FIGURE", nargs="?", help="which figure; --list names them")
    plot.add_argument("--list", action="store_true", help="list the figures, and which of them this report can draw")
    plot.add_argument("-o", "--output", metavar="FILE", help="file.pdf, file.svg or file.png")
    plot.add_argument(
        "--layer", type=int, metavar="N", help="for this layer (--list says which options a figure takes)"
    )
    plot.add_argument("--head", type=int, metavar="N", help="for this head (gram)")
    plot.add_argument("--matrix", metavar="NAME", help="for this matrix: W_Q, W_in, W_E, ...")
    plot.add_argument("--basis", choices=("processed", "raw"), help="for weights in this basis (default: the report's)")
    compare = commands.add_parser("compare", help="compare several reports: writes reports/index.html, compare.json")
    compare.add_argument(
        "reports",
        metavar="REPORT",
        nargs="*",
        help="a results.json, the folder of a report, or a folder of several (default: all in reports/)",
    )
    compare.add_argument("-o", "--output", metavar="DIR", help="the folder to write into (default: reports/)")
    schema = commands.add_parser("schema", help="print the JSON Schema of results.json or compare.json")
    of_what = schema.add_mutually_exclusive_group()
    of_what.add_argument("--compare", action="store_true", help="the schema of compare.json")
    of_what.add_argument("--arrays", action="store_true", help="print the arrays of figures.npz as a Markdown table")
    schema.add_argument("--markdown", action="store_true", help="print the schema's fields as Markdown tables")
