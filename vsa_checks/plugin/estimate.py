"""Estimate the remaining time of a run from the checks that it has measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from statistics import median_low


def kind(node_id: str) -> str:
    """The kind of a check, whose members take about equally long: the test without its subject."""
    return node_id.split("[", 1)[0]


class Estimate:
    """Counts the checks and the seconds that they took, by kind."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._waiting: dict[str, str] = {}
        self._measured: dict[str, list[float]] = {}
        self._last_was_kept: dict[str, bool] = {}

    def expect(self, node_ids: Iterable[str]) -> None:
        """Note checks that will run; each process reports all of them, including a replacement process."""
        for node_id in node_ids:
            if node_id not in self._known:
                self._known.add(node_id)
                self._waiting[node_id] = kind(node_id)

    @property
    def n_checks(self) -> int:
        """All checks of the run."""
        return len(self._known)

    @property
    def n_done(self) -> int:
        """Checks that have ended."""
        return len(self._known) - len(self._waiting)

    def took(self, node_id: str, seconds: float, kept: bool) -> None:
        """Note how long a check took, or that its measurement was kept from an earlier run."""
        self._last_was_kept[kind(node_id)] = kept
        if not kept:
            self._measured.setdefault(kind(node_id), []).append(seconds)

    def ended(self, node_id: str) -> None:
        """Note that a check has ended."""
        self._waiting.pop(node_id, None)

    def left_s(self, at_work: str | None = None, for_s: float = 0.0) -> tuple[float, bool]:
        """Estimate the seconds of work that are left, and whether that covers all kinds of checks that are left.

        at_work: the check that is running. for_s: how many seconds it has been running.

        The first check of a kind often does work for the others, so each is estimated by the median (the lower of two),
        and nothing is known of several that are left after a single one. If the last one came from the cache, those
        after it are assumed to as well, and take no time.
        """
        left, whole = 0.0, True
        for name, n in Counter(self._waiting.values()).items():
            if self._last_was_kept.get(name):
                continue
            measured = self._measured.get(name, [])
            if len(measured) < min(n, 2):
                whole = False
                continue
            each = median_low(measured)
            left += each * n
            if at_work is not None and name == kind(at_work):
                left -= min(each, for_s)
        return left, whole


def in_words(seconds: float, whole: bool) -> str:
    """The time left in words; empty if too little is known or the run is nearly over."""
    if seconds < (1 if whole else 60):
        return ""
    if seconds < 55:
        span = f"{5 * -int(-seconds // 5)} s"
    elif seconds < 3570:
        span = f"{round(seconds / 60)} min"
    else:
        span = f"{round(seconds / 60) // 60} h {round(seconds / 60) % 60} min"
    return f"{'about' if whole else 'more than'} {span} left"
