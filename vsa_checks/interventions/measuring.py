"""Tries every intervention on one model: losses of windows and of tasks' items, costs beside nulls, verdicts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from vsa_checks.errors import NotChecked
from vsa_checks.interventions import on_embeddings, on_heads, on_neurons, tasks
from vsa_checks.interventions.judging import Losses, Ruling, difference, judge_idealised, judge_spoiled
from vsa_checks.interventions.losses import Item, item_scores, window_losses
from vsa_checks.interventions.running import Running
from vsa_checks.interventions.trials import Away, Change, Trial
from vsa_checks.models import Model
from vsa_checks.models.forward import CannotRun
from vsa_checks.models.texts import Text, Window, cut
from vsa_checks.statistics import stream
from vsa_checks.workbench.access import Workbench

TASKS = "tasks"
INTERVENTIONS = ("neurons", "heads", "embeddings", "spoil", TASKS)
WINDOWS, WINDOW_TOKENS = 16, 64
"""How many windows are read, and at most so many tokens of the beginning of each."""
WINDOW, ITEM = "windows", "items"
Tell = Callable[[str], None]
"""Is told in a few words what is done next."""


@dataclass(frozen=True)
class Scores:
    """Losses of windows (n,), and of each task's items with the share of right answers; what one change gives."""

    windows: Losses
    items: dict[str, tuple[Losses, Losses]]


class Trying:
    """One model on one text: runs it, as it is and changed, and keeps what it gave as it is."""

    def __init__(self, running: Running, windows: Sequence[Window], asked: dict[str, list[Item]], seed: int) -> None:
        self.running, self.windows, self.asked, self.seed = running, windows, asked, seed
        self.unchanged = self.scores(True)
        self._gone: dict[str, Scores] = {}

    def scores(self, in_tasks: bool) -> Scores:
        """What the model gives as it is now."""
        found = window_losses(self.running.module, self.windows)
        asked = self.asked if in_tasks else {}
        return Scores(found, {name: item_scores(self.running.module, some) for name, some in asked.items()})

    def under(self, change: Change, in_tasks: bool) -> Scores:
        """What the model gives under a change."""
        with change():
            return self.scores(in_tasks)

    def gone(self, part: str, away: Away) -> Scores:
        """What the model gives without a part, found once. `away` also takes what runs the model over the text."""
        if part not in self._gone:
            self._gone[part] = self.under(
                partial(away, lambda: window_losses(self.running.module, self.windows)), bool(self.asked)
            )
        return self._gone[part]

    def record(self, trial: Trial, away: Away) -> dict[str, Any]:
        """The result of one trial as `intervene.json` has it."""
        in_tasks = trial.in_tasks and bool(self.asked)
        changed = self.under(trial.change, in_tasks)
        nulls = {name: self.under(null, in_tasks) for name, null in trial.nulls.items()}
        gone = self.gone(trial.part, away)
        compared = self._compared(
            trial,
            changed.windows,
            {name: one.windows for name, one in nulls.items()},
            gone.windows,
            self.unchanged.windows,
            np.full(len(self.windows), np.log(self.running.model.info.d_vocab)),
            WINDOW,
        )
        found = {
            "id": trial.id,
            "part": trial.part,
            "aim": trial.aim,
            "dose": trial.dose,
            "distance": trial.distance,
            "cosine": trial.cosine,
            "beside": trial.beside,
            **compared,
            "tasks": [],
        }
        for task in changed.items:
            entry = self._compared(
                trial,
                changed.items[task][0],
                {name: one.items[task][0] for name, one in nulls.items()},
                gone.items[task][0],
                self.unchanged.items[task][0],
                np.log([len(item.options) or self.running.model.info.d_vocab for item in self.asked[task]]),
                ITEM,
            )
            entry |= {"task": task, "accuracy": _mean(changed.items[task][1])}
            for null in entry["nulls"]:
                null["accuracy"] = _mean(nulls[null["name"]].items[task][1])
            entry["without"]["accuracy"] = _mean(gone.items[task][1])
            found["tasks"].append(entry)
        return found

    def _compared(
        self,
        trial: Trial,
        loss: Losses,
        nulls: Mapping[str, Losses],
        gone: Losses,
        unchanged: Losses,
        guess: Losses,
        unit: str,
    ) -> dict[str, Any]:
        """Losses and costs of a change, its nulls and ablation, and the verdict; `guess`: the loss of even guesses."""
        ruling: Ruling | None = None
        if trial.judged:
            judge = judge_idealised if trial.aim == "idealise" else judge_spoiled
            costs = {name: null - unchanged for name, null in nulls.items()}
            ruling = judge(loss - unchanged, costs, gone - unchanged, guess - unchanged, unit, self.seed)
        return {
            **self._cost(loss, unchanged, unit),
            "nulls": [
                {"name": name, **self._cost(null, unchanged, unit), "above_change": self._interval(null, loss, unit)}
                for name, null in nulls.items()
            ],
            "without": self._cost(gone, unchanged, unit),
            "verdict": ruling.verdict if ruling else None,
            "reason": ruling.reason if ruling else "not judged: stand-ins were not bundled at this size",
        }

    def _cost(self, loss: Losses, unchanged: Losses, unit: str) -> dict[str, Any]:
        return {"loss": _mean(loss), "cost": self._interval(loss, unchanged, unit)}

    def _interval(self, loss: Losses, other: Losses, unit: str) -> dict[str, float]:
        value, interval = difference(loss, other, unit, self.seed)
        return {"value": value, "low": interval.low, "high": interval.high}


def measure(
    model: Model, text: Text, chosen: Sequence[str], n_windows: int, seed: int, tell: Tell = lambda _: None
) -> dict[str, Any]:
    """Try the chosen interventions on a model.

    Parameters
    ----------
    model : a model in its processed basis
    text : what it reads
    chosen : of INTERVENTIONS; "tasks" adds the tasks to the others
    n_windows : at most so many windows of the text are read
    seed : of all random numbers
    tell : called before each trial

    Returns
    -------
    dict : of `intervene.json`, the fields text, unchanged, results and not_checked
    """
    groups = [name for name in INTERVENTIONS if name in chosen and name != TASKS]
    try:
        tell("the model, as it is")
        running = Running(model)
        if model.tokenizer is None:
            raise NotChecked(f"it reads no text: {model.text_reason}")
        n_positions = int(getattr(running.module.config, "max_position_embeddings", None) or 2**20)
        reading = cut(text, model.tokenizer, n_positions, model.info.d_vocab)
        if not reading.windows:
            raise NotChecked(f"{text.name} gives it no window that it could read")
    except (NotChecked, CannotRun) as reason:
        return {"text": None, "unchanged": None, "results": [], "not_checked": dict.fromkeys(groups, str(reason))}
    windows = _spread(reading.windows, n_windows)
    bench = Workbench(model.info.name, seed=seed, loaded=model)
    asked: dict[str, list[Item]] = {}
    if TASKS in chosen:
        asked = tasks.items(
            model.tokenizer, bench.tokens("processed").ids, n_positions, stream(seed, "intervene", TASKS)
        )
    trying = Trying(running, windows, asked, seed)
    results: list[dict[str, Any]] = []
    not_checked: dict[str, str] = {}
    for group in groups:
        try:
            if group == "neurons":
                tell("layer-0 neurons: bundles of their own and of stand-ins")
            trials, away = _trials(group, running, bench)
            if group == "heads" and on_heads.QK not in away:
                not_checked[on_heads.QK] = on_heads.NORMED
            for trial in trials:
                tell(trial.id)
                results.append(trying.record(trial, away[trial.part]))
        except NotChecked as reason:
            not_checked[group] = str(reason)
    n_tokens = sum(window.last - max(1, window.first) for window in windows)
    return {
        "text": {"name": text.name, "sha256": text.sha256, "windows": len(windows), "tokens": n_tokens},
        "unchanged": {
            "loss": _mean(trying.unchanged.windows),
            "tasks": [
                {"task": task, "items": len(losses), "loss": _mean(losses), "accuracy": _mean(right)}
                for task, (losses, right) in trying.unchanged.items.items()
            ],
        },
        "results": results,
        "not_checked": not_checked,
    }


def _trials(group: str, running: Running, bench: Workbench) -> tuple[Iterator[Trial], dict[str, Away]]:
    if group == "neurons":
        return on_neurons.trials(running, bench)
    if group == "heads":
        return on_heads.trials(running, bench.seed)
    aim = "spoil" if group == "spoil" else "idealise"
    kinds = tuple(name for name, (own, _, _) in on_embeddings.KINDS.items() if own == aim)
    return on_embeddings.trials(running, bench, kinds)


def _spread(windows: Sequence[Window], n: int) -> list[Window]:
    """The beginnings of at most n windows, evenly spread over the text."""
    places = np.unique(np.linspace(0, len(windows) - 1, min(n, len(windows))).round().astype(int))
    some = [windows[place] for place in places]
    return [
        Window(one.tokens[: one.first + WINDOW_TOKENS], one.first, min(one.last, one.first + WINDOW_TOKENS))
        for one in some
    ]


def _mean(values: Losses) -> float:
    return float(np.mean(values))
