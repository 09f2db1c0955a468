"""A plugin of pytest for the run of one task: it ends, as by SIGTERM, when the worker that started it is gone.

So a worker that is killed leaves no run behind, and what the run had measured is kept.
"""

from __future__ import annotations

import os
import signal
import threading

PIPE = "VSA_CHECKS_SWEEP_PIPE"
"""Names the end of a pipe whose other end the worker holds open for as long as it lives."""


def _wait(pipe: int) -> None:
    os.read(pipe, 1)  # nothing is ever written: this returns when the other end is closed
    os.kill(os.getpid(), signal.SIGTERM)


_number = os.environ.pop(PIPE, "")
if _number:
    threading.Thread(target=_wait, args=(int(_number),), daemon=True).start()
