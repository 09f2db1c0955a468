"""Try every intervention on one model, and name those that could not be tried."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np

from vsa_checks.errors import NotChecked, first_line
from vsa_checks.interventions import on_embeddings, on_heads, on_neurons, tasks
from vsa_checks.interventions.document import TASKS
from vsa_checks.interventions.losses import Item, predicted
from vsa_checks.interventions.running import Running
from vsa_checks.interventions.trials import Away, Plan, Setting
from vsa_checks.interventions.trying import Trying
from vsa_checks.models import Model
from vsa_checks.models.forward import CannotRun
from vsa_checks.models.texts import Text, Window, cut
from vsa_checks.statistics import stream
from vsa_checks.workbench.access import Workbench

INTERVENTIONS = ("neurons", "heads", "embeddings", "spoil", TASKS)
WINDOWS, WINDOW_TOKENS = 12, 48
"""Number of windows to read, and most tokens from the start of each."""
LEAST_WINDOWS = 2
"""Fewer windows have no interval."""
Tell = Callable[[str], None]
"""Is told in a few words what is done next."""
Keep = Callable[[dict[str, Any]], None]
"""Is given what is found so far, as `measure` returns it."""


@dataclass
class _Found:
    """What was measured so far, and why the rest was not: it does not apply, or it failed."""

    results: list[dict[str, Any]] = field(default_factory=list)
    not_checked: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def attempt(self, name: str, do: Callable[[], None]) -> None:
        """Do something; if it fails, note the reason under its name and continue."""
        try:
            do()
        except NotChecked as reason:
            self.not_checked[name] = str(reason)
        except CannotRun as reason:
            self.failed[name] = str(reason)
        except MemoryError as error:
            self.failed[name] = f"There is not enough memory for it ({first_line(error)})."


def measure(
    model: Model,
    text: Text,
    chosen: Sequence[str],
    n_windows: int,
    seed: int,
    tell: Tell = lambda _: None,
    earlier: Mapping[str, Any] | None = None,
    keep: Keep = lambda _: None,
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
    earlier : what an unfinished run handed to `keep`; its trials are not made again if the model, as it is, gives the
        same on the same text
    keep : called after each trial with what is found so far

    Returns
    -------
    dict : of `intervene.json`, the fields text, unchanged, results, not_checked and failed. What cannot be tried is
        named in the last two, one by one, and everything else is tried.
    """
    groups = [name for name in INTERVENTIONS if name in chosen and name != TASKS]
    made: list[tuple[Trying, Setting]] = []
    start, found = _Found(), _Found()
    tell("the unchanged model")
    start.attempt("", lambda: made.append(_begin(model, text, TASKS in chosen, n_windows, seed)))
    if not made:
        nothing: dict[str, Any] = {"text": None, "unchanged": None, "results": []}
        return nothing | {
            "not_checked": dict.fromkeys(groups, start.not_checked[""]) if start.not_checked else {},
            "failed": dict.fromkeys(groups, start.failed[""]) if start.failed else {},
        }
    trying, setting = made[0]
    of_the_model = {"text": _text(text, trying), "unchanged": _unchanged(trying)}
    same = earlier is not None and all(earlier[name] == value for name, value in of_the_model.items())
    known = {one["id"]: one for one in earlier["results"]} if earlier is not None and same else {}
    if earlier is not None and not same:
        tell("the unfinished run read other text, or gave other losses on it: this one starts anew")

    def so_far() -> dict[str, Any]:
        return of_the_model | asdict(found)

    def record(plan: Plan, away: Away) -> None:
        if plan.id in known:
            tell(f"{plan.id}: taken from the unfinished run")
            found.results.append(known[plan.id])
            return
        tell(plan.id)
        started = time.monotonic()
        one = trying.record(plan.make(), away)
        found.results.append(one | {"duration_s": round(time.monotonic() - started, 1)})
        made = {one["id"] for one in found.results}
        # What this run has not come to yet would be lost if it is interrupted as well.
        keep(so_far() | {"results": [*found.results, *(one for name, one in known.items() if name not in made)]})

    def try_all(group: str) -> None:
        plans, away = _plans(group, setting)
        if group == "heads" and on_heads.QK not in away:
            found.not_checked[on_heads.QK] = on_heads.NORMED
        for plan in plans:
            found.attempt(plan.id, partial(record, plan, away[plan.part]))

    for group in groups:
        found.attempt(group, partial(try_all, group))
    return so_far()


def _text(text: Text, trying: Trying) -> dict[str, Any]:
    tokens = [len(predicted(window)) for window in trying.windows]
    return {"name": text.name, "sha256": text.sha256, "windows": len(tokens), "tokens": sum(tokens)}


def _unchanged(trying: Trying) -> dict[str, Any]:
    """The results of the unchanged model."""
    return {
        "loss": trying.text.within.mean(trying.text.unchanged).value,
        "guess": trying.text.within.mean(trying.text.blind[None]).value,
        "tasks": [
            {
                "task": task,
                "items": losses.shape[1],
                "loss": float(losses.mean()),
                "guess": float(trying.asked[task].blind.mean()),
                "accuracy": float(right.mean()),
            }
            for task, (losses, right) in trying.unchanged.items.items()
        ],
    }


def _begin(model: Model, text: Text, with_tasks: bool, n_windows: int, seed: int) -> tuple[Trying, Setting]:
    """The model on the windows of the text and the tasks. Raises NotChecked or CannotRun if it reads none."""
    running = Running(model)
    if model.tokenizer is None:
        raise NotChecked(f"it reads no text: {model.text_reason}")
    n_positions = int(getattr(running.module.config, "max_position_embeddings", None) or 2**20)
    reading = cut(text, model.tokenizer, n_positions, model.info.d_vocab)
    windows = _spread(reading.windows, n_windows)
    if len(windows) < LEAST_WINDOWS:
        raise NotChecked(f"{text.name} gives it {len(windows)} windows that it could read; {LEAST_WINDOWS} are needed")
    bench = Workbench(model.info.name, seed=seed, loaded=model)
    asked: dict[str, list[Item]] = {}
    if with_tasks:
        ordinary = bench.tokens("processed").ids
        asked = tasks.items(model.tokenizer, ordinary, n_positions, stream(seed, "intervene", TASKS))
    read = [window.tokens for window in windows] + [item.tokens for some in asked.values() for item in some]
    lengths = tuple(len(window.tokens) for window in windows)
    return Trying(running, windows, asked), Setting(running, bench, lengths, np.unique(np.concatenate(read)))


def _plans(group: str, setting: Setting) -> tuple[list[Plan], dict[str, Away]]:
    if group == "neurons":
        return on_neurons.plans(setting)
    if group == "heads":
        return on_heads.plans(setting)
    aim = "spoil" if group == "spoil" else "idealise"
    return on_embeddings.plans(setting, tuple(name for name, (own, _, _) in on_embeddings.KINDS.items() if own == aim))


def _spread(windows: Sequence[Window], n: int) -> list[Window]:
    """The beginnings of at most n windows, evenly spread over the text."""
    places = np.unique(np.linspace(0, len(windows) - 1, min(n, len(windows))).round().astype(int))
    some = [windows[place] for place in places]
    return [
        Window(one.tokens[: one.first + WINDOW_TOKENS], one.first, min(one.last, one.first + WINDOW_TOKENS))
        for one in some
    ]
