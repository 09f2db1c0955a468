"""docs/reliability.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def counts_table(readers: dict[str, Any]) -> str:
    """What came of the inputs of each reader."""
    lines = []
    for name, one in sorted(readers.items()):
        words = ", ".join(
            f"{word} {count:,}" for word, count in sorted(one["outcomes"].items(), key=lambda kind: (-kind[1], kind[0]))
        )
        lines.append(f"{name}: {one['tried']:,} inputs, slowest {one['slowest_s']:.2f} s: {words}")
    return "\n".join(lines)


def write(state: Path) -> int:
    return 0
