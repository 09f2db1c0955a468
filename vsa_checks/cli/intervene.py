"""`vsa-checks intervene`: a model made more and less what the theory says, and whether it still works."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vsa_checks.errors import ModelError, UsageError, VsaChecksError, first_line, require_seed, visible
from vsa_checks.interventions import document, figure, tables
from vsa_checks.interventions.judging import LEAST_UNITS
from vsa_checks.models import Model
from vsa_checks.models.texts import read_text, shipped_text
from vsa_checks.paths import folder_name, reports
from vsa_checks.report.formatting import readable_width
from vsa_checks.workbench.loading import load, raised_for_the_model
from vsa_checks.writing import require_writable


def run(options: argparse.Namespace) -> int:
    """Try the interventions, write intervene.json and its figure, and print tables.

    Each trial is kept as it ends, so that a run which is interrupted goes on where it was. Returns 1 where something
    failed that should have been tried; the rest is written. Raises VsaChecksError for bad input.
    """
    require_seed(options.seed)
    from vsa_checks.interventions import measuring  # not needed where the seed is wrong

    if options.windows < measuring.LEAST_WINDOWS:
        raise UsageError(
            f"--windows {options.windows} cannot be used: an interval needs {measuring.LEAST_WINDOWS} windows of text, "
            f"a verdict {LEAST_UNITS}."
        )

    chosen = _chosen(options.interventions, measuring.INTERVENTIONS)
    text = shipped_text() if options.text is None else read_text(Path(options.text))
    started = time.monotonic()
    model = load(options.model, "processed", "cpu")
    folder = Path(options.out) if options.out else reports() / folder_name(model.info.name)
    try:
        for name in (document.FILE_NAME, document.UNFINISHED, figure.FILE_NAME):
            require_writable(folder / name)
    except OSError as error:
        raise _unwritable(folder, error) from error
    import torch

    def made_of(found: dict[str, Any]) -> dict[str, Any]:
        duration_s = time.monotonic() - started
        return document.assemble(model.info, chosen, options.seed, torch.get_num_threads(), duration_s, found)

    def keep(found: dict[str, Any]) -> None:
        try:
            document.keep(made_of(found), folder)
        except OSError as error:
            raise _unwritable(folder, error) from error

    earlier = document.unfinished(folder, made_of({}))
    if earlier is None and (folder / document.UNFINISHED).exists():
        print(f"{visible(folder / document.UNFINISHED)} is of another run: this one starts anew", file=sys.stderr)
    made = made_of(_measured(measuring, model, text, chosen, options, earlier, keep))
    try:
        path = document.write(made, folder)
    except OSError as error:
        raise _unwritable(folder, error) from error
    _print(made, Console(highlight=False, width=max(150, readable_width(Console().width))))
    drawn = f", as curves in {figure.FILE_NAME} beside it" if made["results"] else ""
    print(f"\nWritten to {visible(path)}{drawn}")
    for name, reason in made["failed"].items():
        print(f"vsa-checks: {visible(name)} could not be tried: {visible(reason)}", file=sys.stderr)
    return 1 if made["failed"] else 0


def _measured(
    measuring: Any,
    model: Model,
    text: Any,
    chosen: list[str],
    options: argparse.Namespace,
    earlier: dict[str, Any] | None,
    keep: Any,
) -> dict[str, Any]:
    def tell(what: str) -> None:
        print(visible(what), file=sys.stderr, flush=True)

    try:
        return dict(measuring.measure(model, text, chosen, options.windows, options.seed, tell, earlier, keep))
    except VsaChecksError:
        raise
    except Exception as error:
        if not raised_for_the_model(error):
            raise
        raise ModelError(
            f"The model {options.model} cannot be run: {first_line(error)}. Check that its files are complete and that "
            "there is enough free memory, or give another model."
        ) from error


def _chosen(words: str | None, known: tuple[str, ...]) -> list[str]:
    if words is None:
        return list(known)
    asked = [word.strip() for word in words.split(",") if word.strip()]
    unknown = [word for word in asked if word not in known]
    if unknown or not set(asked) - {"tasks"}:
        wrong = (
            f"{unknown[0]!r} is not one of them"
            if unknown
            else "tasks are measured under the other changes: name one of these too"
        )
        raise UsageError(f"--interventions takes a comma-separated list of {', '.join(known)}; {wrong}.")
    return [name for name in known if name in asked]


def _unwritable(folder: Path, error: OSError) -> UsageError:
    return UsageError(
        f"The results cannot be written to {folder} ({error.strerror}). Name another folder with --out DIR."
    )


def _print(found: dict[str, Any], console: Console) -> None:
    name = visible(found["model"]["name"])
    for what, reason in found["not_checked"].items():
        console.print(Text(f"{name}: {what} not checked: {visible(reason)}."), soft_wrap=True)
    if found["unchanged"] is None:
        return
    text, loss = found["text"], found["unchanged"]["loss"]
    console.print(
        Text(f"{name}: loss {loss:.3f} nats a token over {text['windows']} windows of {visible(text['name'])}"),
        soft_wrap=True,
    )
    console.print(
        Text(
            "Costs are increases of the loss, paired by window; nulls change the same part by the same amount, and are "
            f"means over {found['rule']['draws']} draws."
        )
    )
    _table(console, tables.LOSS_HEADS, tables.loss_rows(found))
    doses, tasks = tables.dose_rows(found), tables.task_rows(found)
    if doses:
        _table(console, tables.DOSE_HEADS, doses)
    if tasks:
        _table(console, tables.TASK_HEADS, tasks)


def _table(console: Console, heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    table = Table(*heads, box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        table.add_row(*(Text(visible(cell)) for cell in row))
    console.print()
    console.print(table)
