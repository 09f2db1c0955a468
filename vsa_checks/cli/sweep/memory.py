"""How much memory each task of a sweep may take, so that as many run at once as memory has room for."""

from __future__ import annotations

from collections.abc import Collection

from vsa_checks.errors import UsageError
from vsa_checks.judging.claim import load_claims
from vsa_checks.judging.subjects import Subject
from vsa_checks.models import ModelInfo
from vsa_checks.workbench.resources import Plan, plan
from vsa_checks.workbench.twin_values import TwinValues

STEP = 16 * 10**6
"""Bytes to which a need is told."""


def share(info: ModelInfo, subjects: Collection[Subject], twin: bool, allowed: int, at_once: int) -> int:
    """Bytes that a task may take of those that all may take together.

    Parameters
    ----------
    info : ModelInfo
    subjects : collection of Subject
        What the task measures.
    twin : bool
        Whether the untrained twin is measured too.
    allowed : int
        Bytes that all tasks together may take.
    at_once : int
        How many tasks run at once if memory allows.

    Returns
    -------
    int
        An equal share, or more where the model would not be run in that, or its twin not be made; all where even that
        is too little to run it.

    Raises
    ------
    UsageError
        If the task cannot do with all that is allowed.
    """
    firsts = TwinValues(info).to_measure(load_claims(), subjects) if twin else []

    def planned(limit: int) -> Plan:
        return plan(info, subjects, load_claims(), limit, firsts)

    if not _whole(planned(allowed)):
        return allowed
    low, high = 0, -(-allowed // STEP)  # in steps; too little, and enough
    while high - low > 1:
        middle = (low + high) // 2
        try:
            enough = _whole(planned(middle * STEP))
        except UsageError:
            enough = False
        low, high = (low, middle) if enough else (middle, high)
    return min(allowed, max(high * STEP, allowed // at_once))


def _whole(chosen: Plan) -> bool:
    return not (chosen.no_run or chosen.no_twin)
