"""Make signals end a run like Ctrl-C, so that the finished measurements are reported."""

from __future__ import annotations

import signal
import threading
from functools import partial
from types import FrameType
from typing import Any

import pytest

ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_USUAL = (signal.SIG_DFL, signal.default_int_handler)


class Interruption:
    """The first signal that came, if any; a second one of its kind ends the process at once."""

    def __init__(self, config: pytest.Config) -> None:
        self.came: signal.Signals | None = None
        if threading.current_thread() is not threading.main_thread():
            return
        for number in ENDING:
            before = signal.getsignal(number)
            if before in _USUAL:  # and not where somebody, such as nohup, has said otherwise
                signal.signal(number, self._end)
                config.add_cleanup(partial(_restore, number, before))

    def _end(self, number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        self.came = signal.Signals(number)
        raise KeyboardInterrupt(self.came.name)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logfinish(self) -> None:
        """End the run if a library has swallowed the exception."""
        if self.came is not None:
            raise KeyboardInterrupt(self.came.name)


def _restore(number: signal.Signals, before: Any) -> None:
    signal.signal(number, before)
