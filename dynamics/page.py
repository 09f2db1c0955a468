"""docs/dynamics.md, written from docs/dynamics.json: every number on the page comes from there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import jinja2

from calibration.page import table
from dynamics import summary
from dynamics.answers import guessing
from dynamics.concepts import BUNDLE, DRAWS, READING
from dynamics.grammar import QUESTIONS, Grammar
from dynamics.models import VARIANTS
from dynamics.short import earlier, in_short, not_run, wrapped
from dynamics.summary import LEVEL, LOST, NEVER, Json, Over

PAGE = Path(__file__).with_name("page.md.j2")


def render(document: Json) -> str:
    """The whole page in Markdown."""
    runs, settings = document["runs"], document["settings"]
    sizes, schedule = settings["sizes"], settings["schedule"]
    plain = summary.of_kind(runs, "grammar", "plain")
    there = summary.present(runs, "grammar")
    english = summary.of_kind(runs, "english", "plain")
    grammar = Grammar(**settings["grammar"])
    chance = guessing(grammar)
    changes = _changes(runs, there)
    shown = plain or (summary.of_kind(runs, "grammar", there[0]) if there else [])
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    return environment.from_string(PAGE.read_text(encoding="utf-8")).render(
        small=document["small"],
        steps=settings["checkpoints"],
        sizes=sizes,
        tokens=f"{schedule['steps'] * schedule['windows'] * sizes['n_positions']:,}",
        d_vocab=len(grammar.words()),
        not_run=not_run(runs),
        earlier=earlier(runs),
        short=in_short(shown, english) if shown else "",
        variants=_variants(runs, there),
        learned=_learned(runs, there, chance) if there else "",
        draws=DRAWS,
        concepts=_concepts(runs, there),
        overall=_overall(runs, there),
        conjunctions=_conjunctions(runs, there),
        claims=_claims(shown) if shown else "",
        claims_of=f"The variant {shown[0]['variant']} on the grammar's language" if shown else "",
        unchecked=wrapped(_unchecked(shown), len("Could not be checked on these networks: ")) if shown else "",
        first=_first(shown, chance) if shown else "",
        never=_listed(shown, NEVER) if shown else "",
        lost=_listed(shown, LOST) if shown else "",
        changes=table(["", "variant", "", "other", "", "difference, 95% interval"], [row for row, _ in changes])
        if changes
        else "",
        n_changes=sum(has_interval for _, has_interval in changes),
        expected=f"{(1 - LEVEL) * sum(has_interval for _, has_interval in changes):.1f}",
        flipped=_flipped(runs, there),
        english=_english(english) if english else "",
        strict=", ".join(str(summary.recovered_together(run, READING)) for run in shown),
        within=", ".join(
            str(round(one * summary.n_concepts(shown[0]))) for one in summary.recovered(shown, READING).values
        )
        if shown
        else "",
        shown=shown[0]["variant"] if shown else "",
        n_seeds=max((len(summary.of_kind(runs, "grammar", name)) for name in there), default=0),
    )


def _short(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.3g}"


def _values(over: Over) -> str:
    """The mean, and the single values where there are several."""
    if len(over.values) == 1:
        return f"{_short(over.mean)}"
    return f"{_short(over.mean)} ({', '.join(map(_short, over.values))})"


def _onsets(found: Sequence[int | str]) -> str:
    return ", ".join(str(one) for one in found)


def _variants(runs: Sequence[Json], there: Sequence[str]) -> str:
    seeds = {name: [str(one["seed"]) for one in summary.of_kind(runs, "grammar", name)] for name in there}
    return table(
        ["variant", "network", "trained with seeds", "differs from", "in"],
        [
            [name, VARIANTS[name].title, ", ".join(seeds[name]), VARIANTS[name].base, VARIANTS[name].change]
            for name in there
        ],
    )


def _learned(runs: Sequence[Json], there: Sequence[str], chance: dict[str, float]) -> str:
    rows = []
    for name in there:
        some = summary.of_kind(runs, "grammar", name)
        rows.append([name, "loss", _values(Over(tuple(run["loss"][-1] for run in some))), ""])
        rows += [
            [
                name,
                f"{kind} ({chance[kind]:.2g})",
                _values(Over(tuple(run["answers"][kind][-1] for run in some))),
                _onsets(summary.answer_onsets(some, kind, chance[kind])),
            ]
            for kind in QUESTIONS
        ]
    return table(["variant", "question", "at the last step", "from step"], rows)


def _concepts(runs: Sequence[Json], there: Sequence[str]) -> str:
    rows = []
    for name in there:
        some = summary.of_kind(runs, "grammar", name)
        for kind in some[0]["concepts"][READING]:
            row = [name, kind, str(some[0]["concepts"][READING][kind]["of"])]
            for score in (READING, BUNDLE):
                found = [run["concepts"][score][kind] for run in some]
                row += [
                    ", ".join(str(one["recovered"][0]) for one in found),
                    ", ".join(str(one["recovered"][-1]) for one in found),
                    f"{_short(Over(tuple(one['score'][-1] for one in found)).mean)} "
                    f"({_short(Over(tuple(one['chance'][-1] for one in found)).mean)})",
                ]
            row.append(_onsets(summary.concept_onsets(some, READING, kind)))
            rows.append(row)
    head = ["variant", "concepts", "of"]
    for score in (READING, BUNDLE):
        head += [f"{score}: untrained", "trained", "score (chance)"]
    return table([*head, "half of them by reading from step"], rows)


def _overall(runs: Sequence[Json], there: Sequence[str]) -> str:
    parts = []
    for name in there:
        some = summary.of_kind(runs, "grammar", name)
        for score in (READING, BUNDLE):
            before, after = summary.recovered(some, score, 0), summary.recovered(some, score)
            within = after.interval()
            spread = (
                ""
                if within is None
                else f", 95% interval of the mean {max(within[0], 0):.2f} to {min(within[1], 1):.2f}"
            )
            parts.append(f"{name}, {score}: untrained {before.mean:.1%}, trained {after.mean:.1%}{spread}")
    return wrapped("; ".join(parts) + ".", len("All concepts except placebos: "))


def _conjunctions(runs: Sequence[Json], there: Sequence[str]) -> str:
    return table(
        ["variant", "untrained", "trained"],
        [
            [name, *(", ".join(f"{run['and']['p'][at]:.2g}" for run in summary.of_kind(runs, "grammar", name))
                     for at in (0, -1))]
            for name in there
        ],
    )  # fmt: skip


def _claims(runs: Sequence[Json]) -> str:
    rows = []
    for claim in summary.in_order(summary.measured_claims(runs)):
        found = [run["claims"][claim] for run in runs]
        holds = [f"{', '.join(str(one['holds'][at]) for one in found)} of {found[0]['of']}" for at in (0, -1)]
        values = [_median_of(found, "value", at) for at in (0, -1)]
        chance = _median_of(found, "chance", -1)
        rows.append([f"`{claim}`", *holds, *values, chance, _onsets(summary.claim_onsets(runs, claim))])
    return table(
        ["claim", "holds at, first", "last", "value, first", "last", "its closest null, last", "from step"], rows
    )


def _median_of(found: Sequence[Json], name: str, at: int) -> str:
    values = [one[name][at] for one in found if one[name][at] is not None]
    return f"{Over(tuple(values)).mean:.3g}" if values else ""


def _unchecked(runs: Sequence[Json]) -> str:
    measured = summary.measured_claims(runs)
    return ", ".join(
        f"`{claim}`" for claim in summary.in_order([one for one in runs[0]["claims"] if one not in measured])
    )


def _first(runs: Sequence[Json], chance: dict[str, float]) -> str:
    """Everything that has an onset, the earliest first, by the median over the seeds that have one."""
    things: list[tuple[str, list[int | str]]] = [
        *(
            (f"answering *{kind}*", summary.answer_onsets(runs, kind, chance[kind]))
            for kind in QUESTIONS
            if "answers" in runs[0]
        ),
        *(
            (f"{kind} by {score}", summary.concept_onsets(runs, score, kind))
            for score in (READING, BUNDLE)
            for kind in runs[0]["concepts"][score]
        ),
        *((f"`{claim}`", summary.claim_onsets(runs, claim)) for claim in summary.measured_claims(runs)),
    ]
    dated = [(thing, [one for one in found if isinstance(one, int)]) for thing, found in things]
    dated = [(thing, found) for thing, found in dated if len(found) == len(runs)]
    ordered = sorted(dated, key=lambda one: (sorted(one[1])[len(one[1]) // 2], one[0]))
    parts = [f"{thing} (steps {_onsets(found)})" for thing, found in ordered]
    if not parts:
        return "Nothing, in all seeds."
    return wrapped("In all seeds, ordered by the median step: " + "; ".join(parts) + ".", len("**What comes first.** "))


def _listed(runs: Sequence[Json], which: str) -> str:
    found = [f"`{claim}`" for claim in summary.of_all(runs, which)]
    words = f"In all seeds: {', '.join(found)}." if found else "Nothing, in all seeds."
    return wrapped(words, len("**What never comes.** "))


def _headlines(runs: Sequence[Json]) -> dict[str, Over]:
    """What variants are compared in."""
    found = {"loss": Over(tuple(run["loss"][-1] for run in runs))}
    found |= {f"answering {kind}": Over(tuple(run["answers"][kind][-1] for run in runs)) for kind in QUESTIONS}
    found |= {f"concepts, {score}": summary.recovered(runs, score) for score in (READING, BUNDLE)}
    for claim in ("neurons-beyond-chance", "attention-ov-isometry", "embedding-near-orthogonal-centered"):
        values = [run["claims"].get(claim, {}).get("value", [None])[-1] for run in runs]
        if None not in values:
            found[f"`{claim}`"] = Over(tuple(values))
    return found


def _changes(runs: Sequence[Json], there: Sequence[str]) -> list[tuple[list[str], bool]]:
    """Rows of the table, and whether each has an interval."""
    rows: list[tuple[list[str], bool]] = []
    for name in there:
        base = VARIANTS[name].base
        if base not in there:
            continue
        ours, theirs = (_headlines(summary.of_kind(runs, "grammar", one)) for one in (name, base))
        for thing in ours:
            if thing not in theirs:
                continue
            interval = summary.difference(ours[thing], theirs[thing])
            words = "" if interval is None else f"{_short(interval[0])} to {_short(interval[1])}"
            apart = interval is not None and not interval[0] <= 0 <= interval[1]
            rows.append(
                (
                    [
                        thing,
                        name,
                        _values(ours[thing]),
                        base,
                        _values(theirs[thing]),
                        f"**{words}**" if apart else words,
                    ],
                    interval is not None,
                )
            )
    return rows


def _flipped(runs: Sequence[Json], there: Sequence[str]) -> str:
    def holds(run: Json, claim: str) -> bool:
        found = run["claims"][claim]
        return bool(2 * found["holds"][-1] > found["of"])

    parts = []
    for name in there:
        base = VARIANTS[name].base
        if base not in there:
            continue
        ours, theirs = (summary.of_kind(runs, "grammar", one) for one in (name, base))
        both = set(summary.measured_claims(ours)) & set(summary.measured_claims(theirs))
        for claim in summary.in_order(sorted(both)):
            here, other = ([holds(run, claim) for run in some] for some in (ours, theirs))
            if len(ours) > 1 and len(theirs) > 1 and all(here) != all(other) and any(here) != any(other):
                parts.append(f"`{claim}` ({name if all(here) else base}, not {base if all(here) else name})")
    return "; ".join(parts) + "." if parts else "none."


def _english(runs: Sequence[Json]) -> str:
    first, last = (", ".join(_short(run["loss"][at]) for run in runs) for at in (0, -1))
    seeds = ", ".join(str(run["seed"]) for run in runs)
    text = ", ".join(dict.fromkeys(run["text"] for run in runs))
    rows = _claims(runs)
    return (
        f"The plain variant, seeds {seeds}, on {text}, with a tokenizer trained on it. Loss on held-out "
        f"text, by seed: {first} untrained, {last} after the last step.\n\n{rows}\n\n**What comes first.** "
        + _first_claims(runs)
    )


def _first_claims(runs: Sequence[Json]) -> str:
    parts = [f"`{claim}` (steps {_onsets(steps)})" for claim, steps in summary.dated(runs)]
    return "; ".join(parts) + "." if parts else "In no claim do all seeds go from not holding to holding."
