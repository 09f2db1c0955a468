"""Train small networks from scratch, measure every claim along the way, and write docs/dynamics.json, .md and .svg."""

from __future__ import annotations

import os
import sys


def main() -> int:
    """Run the command; returns its exit status."""
    # Networks this small wait longer for threads than they gain from them, and measurements reach for no network.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from dynamics.command import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
