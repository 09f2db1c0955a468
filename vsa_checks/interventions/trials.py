"""What one trial is: a change, others of the same size beside it, and what the part is worth."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal

Change = Callable[[], AbstractContextManager[None]]
"""Makes the change to the running model, and puts it back at the end of the `with` block."""
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
    nulls : other changes of the same size, by name
    distance : Frobenius norm of the change over that of what is changed
    cosine : mean cosine of what is there afterwards with what was there
    in_tasks : whether the tasks are tried too
    beside : other numbers to report
    """

    id: str
    part: str
    aim: Aim
    dose: dict[str, float]
    change: Change
    nulls: dict[str, Change]
    distance: float
    cosine: float
    in_tasks: bool = False
    beside: dict[str, Any] = field(default_factory=dict)

    @property
    def judged(self) -> bool:
        """Whether there is a verdict: not for the sizes of bundles at which stand-ins were not bundled."""
        return not self.id.startswith("neurons/") or SIGNS in self.nulls
