"""The command: its options, and the files that it writes."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from dynamics.collected import FILE, MOST_BYTES, VERSION, Json, known, merged, run_record
from dynamics.figure import draw
from dynamics.grammar import Grammar
from dynamics.models import VARIANTS, Sizes
from dynamics.page import render
from dynamics.training import Schedule
from dynamics.work import ENGLISH, GRAMMAR, Job, Settings, do_all
from vsa_checks.errors import UsageError, VsaChecksError, first_line, visible
from vsa_checks.paths import DOCS, reports
from vsa_checks.reading import Unreadable, read_json
from vsa_checks.writing import write_together

SEEDS = 3
FULL = Settings(Sizes(), Schedule(), Grammar())
SMALL = Settings(
    Sizes(n_layers=2, d_model=32, n_heads=2, n_positions=32),
    Schedule(steps=16, windows=8, warm_up=4, first=4),
    Grammar(noun_categories=8, verb_categories=4, lemmas=2, names=8),
    ("attention-next-token", "embedding-near-orthogonal", "mlp-out-artifacts"),
    400,
)
"""Tiny: it shows that all parts work together, and nothing about language."""


def run(arguments: Sequence[str]) -> int:
    """Train, measure and write; returns the exit status: 1 if a training failed, 2 for bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m dynamics",
        description="Trains small networks from scratch and measures every claim on the way.",
        epilog="The same command goes on where it was ended.",
    )
    parser.add_argument("--small", action="store_true", help="tiny networks, in about a minute, into --out only")
    parser.add_argument(
        "--only", metavar="NAMES", help=f"variants, of {', '.join(VARIANTS)}, and {ENGLISH}; others stay as they were"
    )
    parser.add_argument("--missing", action="store_true", help="only trainings that the .json does not have yet")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"trainings of each kind (default {SEEDS})")
    parser.add_argument("--out", type=Path, help="folder to write into (default docs/; none with --small)")
    parser.add_argument("--work", type=Path, help="folder of checkpoints (default reports/dynamics/)")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each (default 2)")
    parser.add_argument("--text", type=Path, metavar="FILE", help=f"what {ENGLISH} is trained on (default: what ships)")
    parser.add_argument("--render", action="store_true", help="write .md and .svg again from the .json that is there")
    options = parser.parse_args(arguments)
    if min(options.seeds, options.workers) < 1:
        parser.error("--seeds and --workers must be 1 or more")
    wanted = [*VARIANTS, ENGLISH] if options.only is None else [one.strip() for one in options.only.split(",")]
    unknown = [one for one in wanted if one not in (*VARIANTS, ENGLISH)]
    if unknown:
        parser.error(f"--only: there is no {', '.join(unknown)}; there are {', '.join((*VARIANTS, ENGLISH))}")
    settings = SMALL if options.small else FULL
    if options.text is not None:
        settings = Settings(**{**vars(settings), "text": options.text})
    out = options.out or (None if options.small else DOCS)
    try:
        if options.render:
            return _render(parser, out or DOCS)
        return _measure(settings, wanted, options, out)
    except (VsaChecksError, Unreadable, OSError) as problem:
        _say(visible(problem))
    except KeyboardInterrupt:
        _say("Ended. The same command goes on from the last checkpoint.")
    return 2


def _measure(settings: Settings, wanted: Sequence[str], options: argparse.Namespace, out: Path | None) -> int:
    plain = settings.as_json()
    runs = known(out, plain) if out is not None else []
    jobs = [
        Job(ENGLISH if name == ENGLISH else GRAMMAR, "plain" if name == ENGLISH else name, seed)
        for seed in range(options.seeds)
        for name in wanted
    ]
    if options.missing:
        have = {(run["language"], run["variant"], run["seed"]) for run in runs}
        jobs = [job for job in jobs if (job.language, job.variant, job.seed) not in have]
        if not jobs:
            _say(f"Nothing is missing from {out / FILE if out else 'a run that keeps nothing'}.")
            return 0
    if any(job.language == ENGLISH for job in jobs):
        settings.language(ENGLISH)  # a text that cannot be used is told before anything is done
    failed, document = 0, {}
    with closing(do_all(jobs, settings, options.work or reports() / "dynamics", options.workers, _say)) as results:
        for job, found, trouble in results:
            if found is None:
                failed += 1
                _say(f"{job.name} failed: {trouble}")
                continue
            runs = merged(runs, [run_record(found)], list(VARIANTS))
            document = {"dynamics_version": VERSION, "small": options.small, "settings": plain, "runs": runs}
            if out is not None:  # after each training, so that nothing is lost
                _write(out, document)
    if out is None:
        print(json.dumps(document, indent=1))
    return 1 if failed else 0


def _write(out: Path, document: Json) -> None:
    out.mkdir(parents=True, exist_ok=True)
    content = json.dumps(document, indent=None, allow_nan=False, separators=(",", ":"))
    place = out / FILE
    write_together(
        {
            place: content.replace('{"language"', '\n{"language"') + "\n",
            place.with_suffix(".md"): render(document),
            place.with_suffix(".svg"): draw(document),
        }
    )


def _render(parser: argparse.ArgumentParser, out: Path) -> int:
    source = out / FILE
    if not source.exists():
        parser.error(f"there is no {source} to render; run the command without --render first")
    document = read_json(source, limit=MOST_BYTES, what="The numbers of the trainings", schema=dict[str, Any])
    try:
        _write(out, document)
    except (KeyError, TypeError, IndexError) as problem:
        raise UsageError(
            f"{source} is not as this version writes it ({first_line(problem)}). Run the command without --render."
        ) from problem
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
