"""Values of the untrained twin for the subjects measured on a model: known already, or measured on demand.

The layers of an untrained network with the same shape have the same distribution. So a claim on weights is measured on
the twin's first layer that has the matrix, which represents all of them (on more layers if the verdict is close); a
claim on text is measured layer by layer.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict  # pydantic takes typing's own from Python 3.12 on only

from vsa_checks import paths
from vsa_checks.errors import ModelError, first_line
from vsa_checks.judging.claim import Claim
from vsa_checks.judging.judge import HOLDS, ExaminedNothing, Judgement, judge, near_margin
from vsa_checks.judging.subjects import Subject, enumerate_subjects
from vsa_checks.models import ModelInfo
from vsa_checks.models.texts import Text, shipped_text
from vsa_checks.reading import MB, Unreadable, read_json
from vsa_checks.workbench.access import Workbench
from vsa_checks.workbench.kept_measurements import KeptMeasurements
from vsa_checks.workbench.outcome import Measure, Outcome, measure_subject
from vsa_checks.workbench.stored import stored_outcome
from vsa_checks.workbench.twin import NoTwin, TwinBench

LAYERS_NEAR_MARGIN = 5
"""If the twin's own verdict might depend on luck, the majority of this many equivalent layers counts."""
Stored = dict[str, Any]
MOST_BYTES = 64 * MB


class _File(TypedDict):
    shape: str
    seed: int
    values: dict[str, Stored]


@dataclass(frozen=True)
class Beside:
    """The twin's part of a result.

    twin: the twin's value and whether it meets the claim; None if there is no twin. details: which of its subjects was
    measured and how it was judged, or why not. looked_at: everything measured for this, for `write_values`.
    """

    twin: dict[str, Any] | None
    details: dict[str, Any]
    looked_at: dict[str, Stored]


def stand_ins(claim: Claim, subject: Subject, info: ModelInfo) -> list[Subject]:
    """The twin's subjects with the same distribution as a subject, any of which can represent it, in order."""
    if subject.layer is None or "text" in claim.needs:
        return [subject]
    return [
        one
        for one in enumerate_subjects(claim, info, [subject.basis])
        if one.matrix == subject.matrix and (one.expert is None) == (subject.expert is None)
    ]


class TwinValues:
    """The values of one model's twin. If no twin can be built, `why_not` says why from then on."""

    def __init__(
        self,
        info: ModelInfo,
        kept: KeptMeasurements | None = None,
        shipped: Mapping[str, Stored] | None = None,
        text: Text | None = None,
        why_not: str = "",
    ) -> None:
        """Values come from `shipped` or `kept`; otherwise they are measured with `text` (None: the shipped text)."""
        self.why_not = why_not
        self._info, self._text = info, text
        self._kept, self._shipped = kept or KeptMeasurements(), dict(shipped or {})
        self._known: dict[str, Outcome] = {}
        self._bench: TwinBench | None = None

    def beside(
        self, trained: Workbench, claim: Claim, subject: Subject, measure: Measure, options: Mapping[str, Any]
    ) -> Beside:
        """The twin's value for a subject that was measured on the trained model.

        Parameters
        ----------
        trained : Workbench
            The model's own bench.
        claim, subject, measure, options
            As the subject itself was measured.

        Returns
        -------
        Beside

        Raises
        ------
        Exception
            Whatever a broken measure raises.
        """
        return self._decide(claim, subject, lambda one: self._outcome(trained, claim, one, measure, options))

    def shipped(self, claim: Claim, subject: Subject) -> dict[str, Any] | None:
        """The twin's value for a subject from the shipped values only, and whether it meets the claim."""
        return self._decide(claim, subject, lambda one: self._from_shipped(claim, one)).twin

    def _decide(self, claim: Claim, subject: Subject, outcome: Callable[[Subject], Outcome | None]) -> Beside:
        looked_at: dict[str, Stored] = {}
        judged: list[tuple[Subject, float, Judgement]] = []
        reason, wanted = "", 1
        for one in stand_ins(claim, subject, self._info):
            if len(judged) == wanted or self.why_not:
                break
            try:
                found = outcome(one)
                if found is None:
                    continue
                looked_at[one.id] = self._stored(claim, found)
                if found.measurement is None:
                    reason = reason or found.reason
                    continue
                judgement = judge(claim, found.measurement, self._info.d_model)
                if near_margin(claim, found.measurement, self._info.d_model):
                    wanted = LAYERS_NEAR_MARGIN
                judged.append((one, float(found.measurement.value), judgement))
            except NoTwin as problem:
                self.why_not = str(problem)
            except (ModelError, ExaminedNothing) as problem:
                reason = reason or first_line(problem)
        if not judged:
            return Beside(None, {"not_measured": reason} if reason and not self.why_not else {}, looked_at)
        verdicts = Counter(judgement.verdict for _, _, judgement in judged)
        most, _ = verdicts.most_common(1)[0]
        chosen, value, judgement = next(one for one in judged if one[2].verdict == most)
        details = {"subject": chosen.id, "verdict": most, "reason": judgement.reason}
        if len(judged) > 1:
            details["verdicts_of_layers"] = ", ".join(f"{count} {name}" for name, count in verdicts.most_common())
        return Beside({"value": value, "met": most == HOLDS}, details, looked_at)

    def to_measure(self, claims: Mapping[str, Claim], subjects: Iterable[Subject]) -> list[Subject]:
        """The twin's subjects that must be measured for these, unless an earlier run has kept them."""
        if self.why_not:
            return []
        firsts = {stand_ins(claims[one.claim], one, self._info)[0] for one in subjects}
        return sorted(
            (one for one in firsts if self._from_shipped(claims[one.claim], one) is None), key=lambda one: one.id
        )

    def close(self) -> None:
        """Remove the twin itself; its values remain."""
        if self._bench is not None:
            self._bench.close()
            self._bench = None

    def _outcome(
        self, trained: Workbench, claim: Claim, subject: Subject, measure: Measure, options: Mapping[str, Any]
    ) -> Outcome:
        found = (
            self._known.get(subject.id)
            or self._from_shipped(claim, subject)
            or self._kept.find(claim, subject, {}, measure, options)
        )
        if found is None:
            if self._bench is None:
                self._bench = TwinBench(trained, self._info)
            self._bench.model(subject.basis)
            found = _plain(measure_subject(self._bench, subject, measure, options))
            if found.measurement is None or found.measurement.n_examined:
                self._kept.keep(claim, subject, {}, measure, options, found)
        self._known[subject.id] = found
        return found

    def _from_shipped(self, claim: Claim, subject: Subject) -> Outcome | None:
        stored = self._shipped.get(subject.id)
        if stored is None or stored.get("version") != claim.version or stored.get("text") not in (None, self._sha256):
            return None
        return stored_outcome(stored.get("outcome"), claim)

    def _stored(self, claim: Claim, found: Outcome) -> Stored:
        return {
            "version": claim.version,
            "text": self._sha256 if found.text_asked else None,
            "outcome": found.as_json(),
        }

    @property
    def _sha256(self) -> str:
        self._text = self._text or shipped_text()
        return self._text.sha256


def _plain(found: Outcome) -> Outcome:
    """An outcome without details, which are not needed."""
    return found if found.measurement is None else replace(found, measurement=replace(found.measurement, details={}))


# --- values that ship with the package --------------------------------------------------------------------------------


def shipped_path(model: str) -> Path:
    """The file of a registered model's twin values; it may not exist."""
    return paths.TWINS / f"{model}.json"


def read_values(path: Path, shape: str, seed: int) -> dict[str, Stored]:
    """A file's values for the twin of this shape and seed, by subject; empty if it is for another, or damaged."""
    try:
        content = read_json(path, limit=MOST_BYTES, what="The file of the twin's values", schema=_File)
    except Unreadable:
        return {}  # it is measured
    if (content["shape"], content["seed"]) != (shape, seed):
        return {}
    values: dict[str, Stored] = content["values"]
    return values


def values_text(
    path: Path | None,
    shape: str,
    seed: int,
    values: Mapping[str, Stored],
    claims: Mapping[str, Claim],
    ids: Collection[str],
) -> str:
    """The new text of a file of twin values, one line for each subject.

    Values in the existing file, if it can be trusted, are kept if they are for the same twin and claim version and the
    subject exists.
    """
    known = {**(read_values(path, shape, seed) if path is not None else {}), **values}
    kept = {
        name: one
        for name, one in sorted(known.items())
        if name in ids and one.get("version") == claims[name.split("/")[0]].version
    }
    lines = [f"{json.dumps(name)}: {json.dumps(one, sort_keys=True)}" for name, one in kept.items()]
    return f'{{"shape": "{shape}", "seed": {seed}, "values": {{\n' + ",\n".join(lines) + "\n}}\n"
