"""Workers of pytest-xdist as forks of a process that has imported what they need, in place of new interpreters."""

from __future__ import annotations

import os
import signal
import sys
import types
from typing import Any, BinaryIO

from execnet import gateway_io
from execnet.gateway_base import Popen2IO
from xdist import workermanage


class Worker:
    """A fork that waits for what execnet tells a new interpreter, with what execnet asks of a process."""

    stdin: BinaryIO
    stdout: BinaryIO

    def __init__(self, others: list[Worker]) -> None:
        told, tells = os.pipe()
        hears, said = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            for other in others:  # held open here, they would never seem to end
                other.stdin.close()
                other.stdout.close()
            os.close(tells)
            os.close(hears)
            _serve(told, said)
        os.close(told)
        os.close(said)
        self.stdin, self.stdout = os.fdopen(tells, "wb"), os.fdopen(hears, "rb")

    def wait(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


def _serve(told: int, said: int) -> None:
    """Be `python -u -c` with execnet's first line, and end."""
    code = 1
    try:
        os.dup2(told, 0)
        os.dup2(said, 1)
        sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", closefd=False)
        sys.argv = ["-c"]
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(gateway_io.popen_bootstrapline, main.__dict__)
        sys.stdout.flush()
        code = 0
    finally:
        os._exit(code)


def prepared(arguments: list[str]) -> None:
    """Fork as many workers as `-n` asks for, and let execnet take them; those that it starts later are new ones."""
    if "-n" not in arguments:
        return
    ready: list[Worker] = []
    for _ in range(int(arguments[arguments.index("-n") + 1])):
        ready.append(Worker(ready))

    class FromFork(gateway_io.Popen2IOMaster):
        def __init__(self, args: Any, execmodel: Any) -> None:
            if not ready:
                super().__init__(args, execmodel)
                return
            self.popen = ready.pop(0)
            Popen2IO.__init__(self, self.popen.stdin, self.popen.stdout, execmodel=execmodel)

    gateway_io.Popen2IOMaster = FromFork  # type: ignore[misc]
    workermanage._sys_path[:] = sys.path  # it took that of the process that imported it
