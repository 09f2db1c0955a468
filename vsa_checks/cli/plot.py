"""`vsa-checks plot`: one figure of a report as a file for a paper."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from vsa_checks.cli.table import refuse_report
from vsa_checks.errors import UsageError, VsaChecksError, first_line, visible
from vsa_checks.figures import store
from vsa_checks.figures.every import EVERY, OPTIONS, WHAT
from vsa_checks.figures.gram_picture import EMBEDDINGS
from vsa_checks.figures.picture import Choice, NothingToDraw, Report
from vsa_checks.figures.style import FORMATS, as_file
from vsa_checks.report import document
from vsa_checks.writing import write_whole


def run(options: argparse.Namespace) -> int:
    """Write the figure, or list the figures that the report can give. Raises VsaChecksError if it cannot."""
    choice = Choice(options.layer, options.head, options.matrix, options.basis)
    if options.list:
        _require_list_alone(options, choice)
        _list(read_report(Path(options.report)), choice)
        return 0
    if options.figure is None:
        raise UsageError(f"Name a figure: {', '.join(EVERY)}. --list describes them.")
    if options.figure not in EVERY:
        raise UsageError(f"There is no figure {options.figure!r}. There are {', '.join(EVERY)}; --list describes them.")
    _require_heeded(options.figure, choice)
    if options.output is None:
        raise UsageError("Name the output file with -o FILE; its ending, .pdf, .svg or .png, sets the format.")
    path = Path(options.output)
    form = path.suffix.lower().removeprefix(".")
    if form not in FORMATS:
        raise UsageError(
            f"{options.output} does not say which format to write: name a file that ends in .pdf, .svg or .png."
        )
    refuse_report(path, Path(options.report), "figure")
    report = read_report(Path(options.report))
    try:
        picture = EVERY[options.figure](report, choice)
        content = as_file(picture.draw(), form)
    except VsaChecksError:
        raise
    except Exception as error:
        raise UsageError(
            f"The figure cannot be drawn ({first_line(error)}). The arrays may not fit their "
            "results, or matplotlib's settings (MPLBACKEND, matplotlibrc) may be wrong: run the claims again, or set "
            "MPLBACKEND=agg."
        ) from error
    try:
        write_whole(path, content)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"The figure cannot be written to {path} ({reason}). Name another file with -o.") from error
    print(f"{visible(path)}: {visible(picture.title)}. {visible(picture.message)}")
    return 0


def read_report(path: Path) -> Report:
    """A report's results and arrays. Raises ReportError if the results cannot be read."""
    results, content = document.read_with_content(path)
    folder = path if os.path.isdir(path) else path.parent
    return Report(results, store.read_file(folder, content))


def _require_heeded(figure: str, choice: Choice) -> None:
    """Raise UsageError for an option that the figure would ignore."""
    asked = [name for name, value in vars(choice).items() if value is not None]
    unheeded = [name for name in asked if name not in OPTIONS[figure]]
    if unheeded:
        named = " and no ".join(f"--{name}" for name in unheeded)
        raise UsageError(
            f"The figure {figure} takes no {named}: its options are {_options(figure)}. Leave the others out, "
            "or name another figure; --list says which options each takes."
        )
    if choice.matrix == EMBEDDINGS and choice.layer is not None:
        raise UsageError(f"The embeddings belong to no layer. Leave --layer or --matrix {EMBEDDINGS} out.")


def _require_list_alone(options: argparse.Namespace, choice: Choice) -> None:
    """Raise UsageError if --list is given together with anything but a basis."""
    given = [f"--{name}" for name, value in vars(choice).items() if value is not None and name != "basis"]
    given += ["-o"] if options.output is not None else []
    given += [] if options.figure is None else [f"the figure {visible(options.figure)}"]
    if given:
        raise UsageError(f"--list only lists the figures. Leave out either --list or {', '.join(given)}.")


def _options(figure: str) -> str:
    return ", ".join(f"--{name}" for name in OPTIONS[figure])


def _list(report: Report, choice: Choice) -> None:
    """Print each figure's name, what it shows and its options, or why this report cannot give it."""
    for name, make in EVERY.items():
        try:
            make(report, choice)
            print(f"{name:<14} {WHAT[name]}; {_options(name)}")
        except NothingToDraw as problem:
            print(f"{name:<14} not in this report: {problem}")
