"""Time the explanation engine against other implementations, and write docs/benchmarks.json, .md and .svg."""

from __future__ import annotations

import os
import sys

UNWANTED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""Settings that keep OpenBLAS from using all that the processor has; they are dropped before it is loaded."""


def main() -> int:
    """Run the command, in a new process if there are unwanted settings, and return its exit status."""
    if any(name in os.environ for name in UNWANTED):
        kept = {name: value for name, value in os.environ.items() if name not in UNWANTED}
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks", *sys.argv[1:]], kept)
    from benchmarks.command import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
