"""Measure calibration and power again, and write docs/calibration.json, .md and .svg, and docs/nulls.md."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from calibration import nulls_page
from calibration.figure import draw
from calibration.page import as_json, read, render
from calibration.run import (
    MODELS,
    POWER_MODELS,
    SEED,
    SUPPORT_MODELS,
    measure,
    measure_again,
    of_present_claims,
    unmeasured,
)
from fixtures.cases import CASES
from vsa_checks.judging.claim import load_claims, load_nulls
from vsa_checks.paths import DOCS


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m calibration", description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED, help=f"of all random numbers (default {SEED})")
    parser.add_argument("--models", type=int, help=f"null models per rate (default {MODELS}, with --claims as before)")
    parser.add_argument("--power-models", type=int, help=f"per level (default {POWER_MODELS}, with --claims as before)")
    parser.add_argument("--support-models", type=int, default=SUPPORT_MODELS, help=f"(default {SUPPORT_MODELS})")
    parser.add_argument("--workers", type=int, default=2, help="processes; the result is the same (default 2)")
    parser.add_argument("--out", type=Path, default=DOCS, help="folder to write into (default docs/)")
    parser.add_argument("--render", action="store_true", help="write .md and .svg again from the .json that is there")
    parser.add_argument(
        "--claims", nargs="+", metavar="ID", help="measure these claims anew, and keep all else in the .json there is"
    )
    options = parser.parse_args(arguments)
    numbers = (options.models, options.power_models, options.support_models, options.workers)
    if options.seed < 0 or min(1 if number is None else number for number in numbers) < 1:
        parser.error("--seed must be 0 or more, all other numbers 1 or more")
    target = options.out / "calibration.json"
    if (options.render or options.claims) and not target.exists():
        parser.error(f"there is no {target}; run the command without --render and --claims first")
    unknown = sorted(
        set(options.claims or ()) - {claim for claim, entry in CASES.items() if entry.nulls or entry.trials}
    )
    if unknown:
        parser.error(f"--claims: nothing is measured here of {', '.join(unknown)}")
    if options.claims:
        results = measure_again(
            read(target), options.claims, options.workers, _say, options.models, options.power_models
        )
        results = of_present_claims(results)
        target.write_text(as_json(results), encoding="utf-8")
    elif not options.render:
        results = measure(
            options.seed,
            options.models or MODELS,
            options.power_models or POWER_MODELS,
            options.support_models,
            options.workers,
            say=_say,
        )
        options.out.mkdir(parents=True, exist_ok=True)
        target.write_text(as_json(results), encoding="utf-8")
    results = read(target)
    target.with_suffix(".md").write_text(render(results, unmeasured(results)), encoding="utf-8")
    target.with_suffix(".svg").write_text(draw(results), encoding="utf-8")
    (options.out / "nulls.md").write_text(nulls_page.render(load_claims(), load_nulls(), results), encoding="utf-8")
    _say(f"written: {target.with_suffix('.md')}, .json, .svg; nulls.md")
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
