"""Starts pytest runs in forks of a process that has imported what they need.

A run is a process of its own, with its own environment, directory and output, as `python -m pytest` is; only the
seconds for importing PyTorch and TransformerLens are spent once, for all workers of the tests. Requests and answers are
lines of JSON on a socket. Usage: server.py NAME [--warm DIRECTORY], where DIRECTORY is a model to load beforehand. The
socket NAME.socket is in the current folder, and so is NAME.users: the server ends when nobody holds a lock on it.
"""

from __future__ import annotations

import fcntl
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from tests.plugin.forked_workers import prepared

LIBRARIES = (
    *("jsonschema_rs", "numba", "scipy.stats", "mpl_toolkits.mplot3d", "PIL.PngImagePlugin"),
    *("matplotlib.figure", "matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg"),
    "transformer_lens.model_bridge",
)
"""What a run imports when it needs it."""


def warm_up(model: str) -> None:
    """Import what a run of the claims imports, and do once what each would do again: read, write a twin, draw a page.

    No compiled loop is run: with threads of OpenMP about, a fork is ended. Plugins are left to pytest, which rewrites
    them when it imports them.
    """
    from numba.core.registry import cpu_target

    from tests.report import figures_made
    from vsa_checks import figures, models, premise, report, sections
    from vsa_checks.workbench.twin import write_twin

    for name in LIBRARIES:
        importlib.import_module(name)
    for package in (figures, premise, report, sections):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    for context in (cpu_target.typing_context, cpu_target.target_context):
        context.refresh()
    for basis in models.BASES:
        models.load(model, basis=basis)
    with tempfile.TemporaryDirectory() as folder:
        write_twin(model, models.describe(model), 0, Path(folder))
    report.render(figures_made.document(), figures_made.report_arrays())


def run(request: dict[str, Any]) -> int:
    """Be `python -m` with this module and these arguments; returns its exit code."""
    output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 2)
    os.dup2(os.open(request["stdout"], os.O_WRONLY) if request["stdout"] else output, 1)
    for name, value in request["env"].items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    os.chdir(request["cwd"])
    # as `python -m` and PYTHONPATH would have it
    sys.path[:0] = [request["cwd"], *filter(None, (request["env"].get("PYTHONPATH") or "").split(os.pathsep))]
    prepared(request["args"])
    sys.argv = [request["module"], *request["args"]]
    code = 0
    try:
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
    except SystemExit as done:
        code = int(done.code or 0)
    except BaseException:
        traceback.print_exc()
        code = 70
    if request["modules"]:
        Path(request["modules"]).write_text("\n".join(sorted(sys.modules)))
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def wait(child: int, seconds: float) -> int:
    """Exit code of a child; -9 for one that took too long and was killed with what it started."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -9


def answer(connection: socket.socket) -> None:
    """Do what one worker asks for, until it hangs up."""
    with connection.makefile("rw") as lines:
        for line in lines:
            request = json.loads(line)
            children = []
            for copy in range(request["copies"]):
                child = os.fork()
                if child == 0:
                    os.setpgid(0, 0)
                    signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background ignores it
                    own = {} if copy == 0 else {"output": f"{request['output']}.{copy}"}
                    os._exit(run({**request, **own}))
                children.append(child)
            code, *others = [wait(child, request["timeout"]) for child in children]
            print(json.dumps({"code": code, "others": others}), file=lines)
            lines.flush()


def main() -> None:
    name = sys.argv[1]
    if sys.argv[2:3] == ["--warm"]:
        warm_up(sys.argv[3])
    else:
        import numba  # noqa: F401
        import scipy.stats  # noqa: F401
    for module in ("anyio", "hypothesis.extra.numpy", "jinja2", "pytest_html.plugin", "xdist.plugin"):
        importlib.import_module(module)
    # What is there is there for good: a run that looks for garbage would copy every page of it.
    gc.collect()
    gc.freeze()

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listening, open(f"{name}.users") as users:
        listening.bind(f"{name}.socket")
        listening.listen()
        listening.settimeout(1.0)
        while True:
            try:
                connection, _ = listening.accept()
            except TimeoutError:
                try:
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                os.unlink(f"{name}.socket")  # who comes now waits for the lock, and starts another
                return
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                listening.close()
                users.close()
                answer(connection)
                os._exit(0)
            connection.close()


if __name__ == "__main__":
    main()
