"""Prints what the last `make mutants` found, module by module, as the table of docs/mutation.md."""

from __future__ import annotations

import json
import sys
from pathlib import Path

FOUND = Path("mutants")
FAILED = (1, 3)
ENDLESS = (-24, 24, 36, 152, 255)
"""Exit codes by which mutmut knows tests that failed, and those that ran out of time; None was not tried."""


def main() -> int:
    """Print the table, and all survivors by name where asked with --survivors."""
    rows: list[tuple[str, int, int, int, int, int]] = []
    survivors: list[str] = []
    for file in sorted(FOUND.rglob("*.meta")):
        codes: dict[str, int | None] = json.loads(file.read_text(encoding="utf-8"))["exit_code_by_key"]
        done = {name: code for name, code in codes.items() if code is not None}
        alive = [name for name, code in done.items() if code not in (*FAILED, *ENDLESS)]
        endless = sum(code in ENDLESS for code in done.values())
        survivors += alive
        if codes:
            module = file.relative_to(FOUND).with_suffix("").as_posix()
            rows.append((module, len(codes), len(codes) - len(done), len(done) - len(alive), endless, len(alive)))
    if not rows:
        print("No mutants were made: run `make mutants` first.", file=sys.stderr)
        return 1
    made, untried, dead, late, left = (sum(int(row[column]) for row in rows) for column in range(1, 6))
    rows.append(("all", made, untried, dead, late, left))
    print("| module | mutants | not tried | killed | of these endless | survived | killed, share |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for module, made, untried, dead, late, left in rows:
        share = f"{dead / (dead + left):.1%}" if dead + left else ""
        print(f"| `{module}` | {made} | {untried} | {dead} | {late} | {left} | {share} |")
    if "--survivors" in sys.argv:
        print(*survivors, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
