"""The Dask cluster on which the tasks of a sweep run: one of this process alone, or one that is there already."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from distributed import Client, Future, LocalCluster

from vsa_checks.cli.sweep.task import do_task
from vsa_checks.errors import UsageError, first_line

LOOPBACK = "127.0.0.1"
CONNECT_S = 10
MEMORY = "memory"
"""What a task takes of a local cluster beside a thread, in bytes."""


@dataclass(frozen=True)
class Engine:
    """A cluster: how many tasks it runs at once (0 where it has no worker yet), and the address of its dashboard.

    counts_memory: whether tasks say how much memory they take, and wait until there is so much.
    """

    client: Client
    at_once: int
    dashboard: str
    counts_memory: bool

    def submit(self, task: Mapping[str, Any], key: str, memory: int) -> Future:
        """Hand a task to the cluster: plain data, and the name of the function that takes it."""
        taken = {"resources": {MEMORY: memory}} if self.counts_memory else {}
        return self.client.submit(do_task, dict(task), key=key, pure=False, **taken)


@contextmanager
def local(at_once: int, memory: int) -> Iterator[Engine]:
    """A cluster in this process: a scheduler and a worker that speak with each other in memory.

    It has no port by which another user of the machine could hand it a task. Each task is a process of its own.
    """
    with (
        _quiet(),
        LocalCluster(
            n_workers=1,
            threads_per_worker=at_once,
            processes=False,
            resources={MEMORY: memory},
            memory_limit=0,  # of this process, which measures nothing
            dashboard_address=f"{LOOPBACK}:0",
            worker_dashboard_address=f"{LOOPBACK}:0",
            silence_logs=logging.ERROR,
        ) as cluster,
        Client(cluster) as client,
    ):
        dashboard = cluster.scheduler.services.get("dashboard")
        link = f"http://{LOOPBACK}:{dashboard.port}/status" if dashboard is not None else ""
        yield Engine(client, at_once, link, True)


@contextmanager
def existing(address: str) -> Iterator[Engine]:
    """A cluster whose scheduler is there already. Raises UsageError where it is not."""
    with _quiet():
        try:
            client = Client(address, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError, TypeError, RuntimeError, ImportError) as error:
            raise UsageError(
                f"No Dask scheduler answers at {address!r} ({first_line(error)}). Start one with `dask scheduler`, "
                "and name the address that it prints, such as tcp://127.0.0.1:8786; without --scheduler the sweep runs "
                "on this machine alone."
            ) from error
        with client:
            scheduler = client.scheduler_info(n_workers=-1)
            places = sum(one["nthreads"] for one in scheduler["workers"].values())
            link = client.dashboard_link if "dashboard" in scheduler["services"] else ""
            yield Engine(client, places, link, False)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the log of Dask: what a reader must know of it the sweep says itself."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
