"""One trial: a change, its nulls of the same size, and the cost of the part's absence."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vsa_checks.interventions.running import Running
from vsa_checks.workbench.access import Workbench

Change = Callable[[], AbstractContextManager[None]]
"""Changes the running model, and restores it at the end of the `with` block."""
Draws = tuple[Change, ...]
"""One change for each random draw; a single one if nothing is random."""
Away = Callable[[Callable[[], object]], AbstractContextManager[None]]
"""Takes a part away; is given what runs the model over the text, for means that are held."""
Aim = Literal["idealise", "spoil"]

RANDOM = "random direction"
SIGNS = "bundles of sign-flipped neurons"
MATCHED = "bundles of covariance-matched neurons"


@dataclass(frozen=True)
class Trial:
    """One intervention at one dose.

    Attributes
    ----------
    id : what is changed and how much, as in "neurons/W_gate/k=5"
    part : what is changed, as in "neurons/W_gate"; trials of a part share what taking it away costs
    aim : whether the change brings the model closer to the theory, or away from it
    dose : in numbers, by name
    change : what is done
    nulls : other changes of the same size, by name; draw i is matched to draw i of a random change
    distance : Frobenius norm of the change over that of what is changed; of the first draw
    cosine : mean cosine of what is there afterwards with what was there; of the first draw
    in_tasks : whether the tasks are tried too
    unjudged : why there is no verdict; "" if there is one
    beside : other numbers to report, of the first draw
    """

    id: str
    part: str
    aim: Aim
    dose: dict[str, float]
    change: Draws
    nulls: dict[str, Draws]
    distance: float
    cosine: float
    in_tasks: bool = False
    unjudged: str = ""
    beside: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """A trial that is yet to be made, which may take long or turn out to be impossible: `make` raises NotChecked."""

    id: str
    part: str
    make: Callable[[], Trial]


@dataclass(frozen=True)
class Setting:
    """The inputs of trials: the model, and what it will read.

    Attributes
    ----------
    running, bench : the model, run and measured; `bench.seed` is that of all random numbers
    lengths : of the windows of text, in tokens
    read : array, ids of the tokens in windows and tasks, each once
    """

    running: Running
    bench: Workbench
    lengths: tuple[int, ...]
    read: NDArray[np.int64]
