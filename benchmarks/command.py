"""The command: its options, and the files that it writes."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.figure import draw
from benchmarks.machine import machine
from benchmarks.page import render
from benchmarks.pieces import NOT_SMALL, PIECES
from benchmarks.sizes import FULL, SMALL, BenchmarkSizes
from vsa_checks.errors import VsaChecksError
from vsa_checks.paths import DOCS


def run(arguments: list[str]) -> int:
    """Measure and write; returns the exit status: 1 if some answers did not agree, 2 if a model cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Times pursuit, scan and pairs beside other ways."
    )
    parser.add_argument("--small", action="store_true", help="tiny sizes, in under a minute, into --out only")
    parser.add_argument("--only", choices=PIECES, action="append", help="one piece (may be given several times)")
    parser.add_argument("--layers", type=int, default=0, help="layers really run; the rest is scaled (default: all)")
    parser.add_argument(
        "--model", metavar="NAME|PATH", help="whose weights real-weights takes, any that pytest claims/ takes"
    )
    parser.add_argument(
        "--device", metavar="NAME", help="run the pieces for a torch device there (cuda, cuda:1), and no others"
    )
    parser.add_argument("--out", type=Path, help="folder to write into (default docs/; none with --small)")
    parser.add_argument("--render", action="store_true", help="write .md and .svg again from the .json that is there")
    options = parser.parse_args(arguments)
    if options.layers < 0:
        parser.error("--layers must be 1 or more")
    # The documentation is about the embedded model: another one is not written there.
    out = options.out or (None if options.small or options.model else DOCS)
    if options.render:
        return _render(parser, out or DOCS)
    sizes = SMALL if options.small else FULL
    if options.model:
        if options.only != ["real-weights"]:
            parser.error("--model is for the piece real-weights alone: give --only real-weights beside it")
        sizes = replace(sizes, model=options.model)
    if options.device:
        if options.only:
            parser.error("--device names its pieces itself: leave --only out")
        return _on_device(sizes, options.device, out)
    names = options.only or [name for name in PIECES if not (options.small and name in NOT_SMALL)]
    # Pieces that are not run again stay as they were.
    found = _known(out) if options.only else _on_devices(_known(out))
    for name in names:
        _say(f"{name} ...")
        try:
            found[name] = PIECES[name](sizes, options.layers, _say) | {"machine": machine()}
        except VsaChecksError as problem:
            _say(str(problem))
            return 2
        if out is not None:
            ordered = {key: found[key] for key in PIECES if key in found} | _on_devices(found)
            _write(out, {"small": options.small, "pieces": ordered})
    if out is None:
        print(json.dumps(found, indent=1))
    wrong = [name for name in names if not found[name]["agrees"]]
    if wrong:
        _say(f"answers do not agree: {', '.join(wrong)}")
    return 1 if wrong else 0


def _on_device(sizes: BenchmarkSizes, name: str, out: Path | None) -> int:
    """Run the pieces for a device, and write or print them beside what is known of other pieces."""
    import torch

    from benchmarks.on_device import DEVICE_PIECES, device_name

    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (AssertionError, NotImplementedError, RuntimeError) as problem:
        _say(f"the device {name!r} cannot be used: {str(problem).splitlines()[0]}")
        return 2
    found = _known(out)
    for piece, work in DEVICE_PIECES.items():
        _say(f"{piece} ...")
        try:
            made = work(sizes, device, _say)
        except VsaChecksError as problem:
            _say(str(problem))
            return 2
        here = machine()
        found[piece] = made | {"machine": here | {"processor": f"{device_name(device)}, {here['processor']}"}}
    if out is None:
        print(json.dumps(found, indent=1))
    else:
        _write(out, {"small": sizes == SMALL, "pieces": found})
    wrong = [piece for piece in DEVICE_PIECES if not found[piece]["agrees"]]
    if wrong:
        _say(f"answers do not agree: {', '.join(wrong)}")
    return 1 if wrong else 0


def _known(out: Path | None) -> dict[str, Any]:
    """Pieces in the folder as they are, with the machines that they ran on."""
    if out is None or not (out / "benchmarks.json").exists():
        return {}
    pieces: dict[str, Any] = json.loads((out / "benchmarks.json").read_text(encoding="utf-8"))["pieces"]
    return pieces


def _write(out: Path, results: dict[str, Any]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "benchmarks.json").write_text(json.dumps(results, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    (out / "benchmarks.md").write_text(render(results), encoding="utf-8")
    (out / "benchmarks.svg").write_text(draw(results), encoding="utf-8")


def _on_devices(found: dict[str, Any]) -> dict[str, Any]:
    return {key: found[key] for key in found if key not in PIECES}


def _render(parser: argparse.ArgumentParser, out: Path) -> int:
    source = out / "benchmarks.json"
    if not source.exists():
        parser.error(f"there is no {source} to render; run the command without --render first")
    _write(out, json.loads(source.read_text(encoding="utf-8")))
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
