"""How much memory is free for this process."""

from __future__ import annotations

import os
import sys
from pathlib import Path

GB = 10**9


def free_memory() -> int:
    """Bytes of memory that are free for this process: the machine's, or what its control group leaves."""
    free = _meminfo("MemAvailable")
    for top, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        limit, taken = (_number(Path("/sys/fs/cgroup") / name) for name in (top, used))
        if limit is not None and taken is not None:
            free = min(free, max(limit - taken, 0))
    return free


def most_taken() -> int | None:
    """The most bytes of memory that this process has taken so far; None on a system that does not tell."""
    try:
        import resource
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def _meminfo(field: str) -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
    except (OSError, StopIteration, ValueError):  # another system than Linux
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 8 * GB


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
