"""Run one model on one text and some tasks, unchanged and changed: losses, and costs compared with the nulls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsa_checks.errors import NotChecked
from vsa_checks.interventions.crossed import Mean, Table
from vsa_checks.interventions.judging import Ruling, Sides, judge_idealised, judge_spoiled
from vsa_checks.interventions.losses import Item, blind_losses, fixed_guess, item_scores, predicted, window_losses
from vsa_checks.interventions.running import Running
from vsa_checks.interventions.trials import Away, Change, Draws, Trial
from vsa_checks.models.texts import Window

WINDOW, ITEM = "windows", "items"


@dataclass(frozen=True)
class Scores:
    """What changes, one a draw, give: losses of windows (draws, n), and of each task's items, with right answers."""

    windows: Table
    items: dict[str, tuple[Table, Table]]


@dataclass(frozen=True)
class Asked:
    """What is read of one kind: the loss of the model as it is, of a guess without context (n,), and the weights."""

    unchanged: Table
    blind: NDArray[np.float64]
    within: Sides


class Trying:
    """One model on one text: runs it, as it is and changed, and keeps what it gave as it is.

    Raises CannotRun where the model cannot be run, and NotChecked where a loss is not finite.
    """

    def __init__(self, running: Running, windows: Sequence[Window], tasks: Mapping[str, list[Item]]) -> None:
        self.running, self.windows, self.tasks = running, windows, tasks
        self.unchanged = _stacked([self._scores(True)])
        wanted = [predicted(window) for window in windows]
        tokens = np.array([len(one) for one in wanted], np.float64)
        self.text = Asked(self.unchanged.windows, fixed_guess(wanted), Sides(WINDOW, tokens))
        # Each item counts alike: it is answered as one, whatever its tokens.
        self.asked = {
            name: Asked(self.unchanged.items[name][0], blind_losses(items), Sides(ITEM, np.ones(len(items))))
            for name, items in tasks.items()
        }
        self._gone: dict[str, Scores] = {}

    def _scores(self, in_tasks: bool) -> Scores:
        """The results of the model in its present state: arrays (n,)."""
        found = window_losses(self.running.module, self.windows)
        tasks = self.tasks if in_tasks else {}
        scores = Scores(found, {name: item_scores(self.running.module, some) for name, some in tasks.items()})
        if not all(np.isfinite(losses).all() for losses in (found, *(losses for losses, _ in scores.items.values()))):
            raise NotChecked("its loss is not a finite number")
        return scores

    def _under(self, changes: Draws, in_tasks: bool) -> Scores:
        """The results of the model under each of some changes."""
        found = []
        for change in changes:
            with change():
                found.append(self._scores(in_tasks))
        return _stacked(found)

    def _without(self, part: str, away: Away) -> Scores:
        """What the model gives without a part, found once. `away` also takes what runs the model over the text."""
        if part not in self._gone:
            change: Change = partial(away, lambda: window_losses(self.running.module, self.windows))
            self._gone[part] = self._under((change,), True)
        return self._gone[part]

    def record(self, trial: Trial, away: Away) -> dict[str, Any]:
        """The result of one trial as `intervene.json` has it."""
        gone = self._without(trial.part, away)
        changed = self._under(trial.change, trial.in_tasks)
        nulls = {name: self._under(null, trial.in_tasks) for name, null in trial.nulls.items()}
        found = {
            "id": trial.id,
            "part": trial.part,
            "aim": trial.aim,
            "dose": trial.dose,
            "distance": trial.distance,
            "cosine": trial.cosine,
            "beside": trial.beside,
            **_compared(
                trial,
                self.text,
                changed.windows,
                {name: one.windows for name, one in nulls.items()},
                gone.windows,
            ),
            "tasks": [],
        }
        for task in changed.items:
            entry = _compared(
                trial,
                self.asked[task],
                changed.items[task][0],
                {name: one.items[task][0] for name, one in nulls.items()},
                gone.items[task][0],
            )
            entry |= {"task": task, "accuracy": _mean(changed.items[task][1])}
            for null in entry["nulls"]:
                null["accuracy"] = _mean(nulls[null["name"]].items[task][1])
            entry["without"]["accuracy"] = _mean(gone.items[task][1])
            found["tasks"].append(entry)
        return found


def _compared(trial: Trial, asked: Asked, loss: Table, nulls: Mapping[str, Table], gone: Table) -> dict[str, Any]:
    """Losses and costs of a change, its nulls and ablation, and the verdict."""
    ruling: Ruling | None = None
    before, within = asked.unchanged, asked.within
    if not trial.unjudged:
        judge = judge_idealised if trial.aim == "idealise" else judge_spoiled
        costs = {name: null - before for name, null in nulls.items()}
        ruling = judge(loss - before, costs, gone - before, asked.blind - before, within)
    return {
        **_cost(loss, asked),
        "nulls": [
            {"name": name, **_cost(null, asked), "above_change": interval(within.mean(null - loss))}
            for name, null in nulls.items()
        ],
        "without": _cost(gone, asked),
        "verdict": ruling.verdict if ruling else None,
        "reason": ruling.reason if ruling else trial.unjudged,
    }


def _cost(loss: Table, asked: Asked) -> dict[str, Any]:
    return {
        "loss": asked.within.mean(loss).value,
        "cost": interval(asked.within.mean(loss - asked.unchanged)),
    }


def interval(found: Mean) -> dict[str, Any]:
    """A mean, its interval, and where something was drawn several times the mean of each draw."""
    draws = [float(one) for one in found.by_draw] if len(found.by_draw) > 1 else []
    return {"value": found.value, "low": found.interval.low, "high": found.interval.high, "draws": draws}


def _stacked(found: Sequence[Scores]) -> Scores:
    """What several draws gave, arrays (n,), as one of arrays (draws, n)."""
    return Scores(
        np.stack([one.windows for one in found]),
        {
            name: (np.stack([one.items[name][0] for one in found]), np.stack([one.items[name][1] for one in found]))
            for name in found[0].items
        },
    )


def _mean(values: Table) -> float:
    return float(np.mean(values))
