"""`python -m fuzz`: try a given number of corrupted files on every reader, and count the outcomes."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from math import ceil
from pathlib import Path
from threading import Lock

from fuzz import page, trial
from fuzz.cases import Reader
from fuzz.trial import Counts, Finding
from vsa_checks.paths import ROOT
from vsa_checks.writing import write_whole

ALL = 1_000_000
STATE = ROOT / ".fuzz" / "state.json"
BATCH = 400


def prepared(folder: Path) -> dict[str, Reader]:
    """All readers, in a process that has imported what they need and takes one thread."""
    import torch

    from fuzz.readers import all_readers

    torch.set_num_threads(1)
    readers = all_readers(folder)
    for reader in readers.values():  # the sound files, so that no fork has to import anything
        place = trial.Place(folder)
        for case in reader.cases:
            trial.outcome(case, place.put(case, case.content))
    return readers


def shares(readers: dict[str, Reader], total: int) -> dict[str, int]:
    """How many of all inputs, or one more, go to each reader."""
    whole = sum(reader.share for reader in readers.values())
    return {name: ceil(total * reader.share / whole) for name, reader in readers.items()}


def read_state(path: Path, seed: int) -> dict[str, Counts]:
    """What was counted before with this seed, by reader."""
    if not path.exists():
        return {}
    stored = json.loads(path.read_text(encoding="utf-8"))
    if stored["seed"] != seed:
        raise SystemExit(f"{path} is of the seed {stored['seed']}: take that, name another --state, or remove it.")
    return {
        name: Counts(
            one["tried"], Counter(one["outcomes"]), one["slowest_s"], [Finding(**each) for each in one["findings"]]
        )
        for name, one in stored["readers"].items()
    }


def write_state(path: Path, seed: int, counted: dict[str, Counts]) -> None:
    """Write the counts, whole or not at all."""
    readers = {name: one.as_json() for name, one in sorted(counted.items())}
    write_whole(path, json.dumps({"seed": seed, "readers": readers}, indent=1, sort_keys=True) + "\n")


def run(total: int, seed: int, state: Path, only: list[str], jobs: int) -> int:
    """Try inputs until there are `total` of them, those of earlier runs among them; the exit status."""
    with tempfile.TemporaryDirectory(dir=trial.scratch_folder(), prefix="fuzz-") as name:
        roots = [Path(name) / str(job) for job in range(jobs)]
        roots[0].mkdir()
        readers = prepared(roots[0])
        for root in roots[1:]:
            shutil.copytree(roots[0], root)
        wanted = shares(readers, total)
        counted = read_state(state, seed)
        chosen = [one for one in readers if not only or any(word in one for word in only)]
        for one in chosen:
            counted.setdefault(one, Counts())
        start, before = time.monotonic(), sum(counted[one].tried for one in chosen)
        # The next inputs of a reader follow those that were counted, so that none is at work twice.
        idle, turn = set(chosen), Lock()

        def next_reader() -> str | None:
            with turn:
                behind = [one for one in idle if counted[one].tried < wanted[one]]
                found = min(behind, key=lambda one: counted[one].tried / wanted[one], default=None)
                if found is not None:
                    idle.remove(found)
                return found

        def work(root: Path) -> None:
            while (one := next_reader()) is not None:
                first = counted[one].tried
                counts = trial.run(readers[one], seed, range(first, min(first + BATCH, wanted[one])), root)
                with turn:
                    counted[one].add(counts)
                    idle.add(one)
                    write_state(state, seed, counted)
                for finding in counts.findings:
                    print(f"FOUND: {finding.reader} {finding.number}: {finding.what} at {finding.place}", flush=True)

        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(work, roots))
        tried = sum(counted[one].tried for one in chosen)
        print(f"{tried:,} inputs, {tried - before:,} of them now, in {time.monotonic() - start:.0f} s")
    print(page.counts_table({one: counted[one].as_json() for one in chosen}))
    return 1 if any(counted[one].findings for one in chosen) else 0


def show(name: str, number: int, seed: int) -> int:
    """Read one input in this process and show what comes of it."""
    with tempfile.TemporaryDirectory(dir=trial.scratch_folder(), prefix="fuzz-") as folder:
        reader = prepared(Path(folder))[name]
        case, content = reader.input(seed, number)
        path = trial.Place(Path(folder)).put(case, content)
        print(f"{case.place}, {len(content):,} bytes: {content[:2000]!r}")
        try:
            print(case.read(path) or "read")
        except Exception:
            traceback.print_exc()
            return 1
    return 0


def main(arguments: list[str]) -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("inputs", nargs="?", type=int, default=ALL, help=f"how many in all (default: {ALL:,})")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time (default: 1)")
    parser.add_argument(
        "--readers", default="", metavar="WORDS", help="only readers with one of these words in their names"
    )
    parser.add_argument(
        "--state", type=Path, default=STATE, help="counts are kept here, and a later run goes on from them"
    )
    parser.add_argument(
        "--show", nargs=2, metavar=("READER", "NUMBER"), help="read one input and show what comes of it"
    )
    parser.add_argument("--page", action="store_true", help="write docs/reliability.json and .md from the counts")
    given = parser.parse_args(arguments)
    if given.show:
        return show(given.show[0], int(given.show[1]), given.seed)
    if given.page:
        return page.write(given.state)
    only = [word.strip() for word in given.readers.split(",") if word.strip()]
    return run(given.inputs, given.seed, given.state, only, given.jobs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
