"""The readers of the project's own output and lists, which anybody may have changed since."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from fuzz.cases import Case, Reader
from fuzz.changes import change_bytes, change_json, change_toml, changed_value, dump
from fuzz.containers import change_kept
from vsa_checks import paths

SHA256 = "ab" * 32


def readers(folder: Path) -> Iterator[Reader]:
    """The readers by name."""
    yield Reader("claims", 9, tuple(_claims()))
    yield Reader("published figures", 4, tuple(_published()))
    yield Reader("recorded verdicts", 9, tuple(_verdicts()))
    yield Reader("kept measurements", 7, tuple(_kept(folder)))
    yield Reader("values of the twin", 7, tuple(_twin_values()))
    yield Reader("results.json", 5, tuple(_results()))


def _claims() -> Iterator[Case]:
    from vsa_checks.judging.claim import read_claims, read_nulls
    from vsa_checks.judging.subjects import enumerate_subjects
    from vsa_checks.models import describe

    info = describe("smollm2-135m")

    def read(path: Path) -> None:
        assert read_nulls(path)
        for claim in read_claims(path).values():
            assert all(subject.id.startswith(f"{claim.id}/") for subject in enumerate_subjects(claim, info))

    whole = paths.CLAIMS_FILE.read_bytes()
    claims, _, nulls = whole.partition(b"\n[[null]]")
    parts = [b"[[claim]]" + part for part in claims.split(b"\n[[claim]]")[1:]]
    few = b"\n".join(part for part in parts if b"decisive" not in part)[:3000].rpartition(b"[[claim]]")[0]
    for at, content in enumerate((few + b"\n[[null]]" + nulls, parts[0] + b"\n[[null]]" + nulls, whole)):
        yield Case(f"claims-{at}.toml", content, change_toml, read)


def _published() -> Iterator[Case]:
    from vsa_checks.sections.published import published

    def read(path: Path) -> None:
        before = paths.PUBLISHED_FILE
        paths.PUBLISHED_FILE = path
        published.cache_clear()
        try:
            found = published()
        finally:
            paths.PUBLISHED_FILE = before
            published.cache_clear()
        assert all(len(link["source"]) == 2 for link in found["link"])

    yield Case("published.toml", paths.PUBLISHED_FILE.read_bytes(), change_toml, read)


def _verdicts() -> Iterator[Case]:
    from vsa_checks.judging.recorded import Known, read_recorded, write_recorded

    ids = ["embedding-mean-zero/raw", "neurons-cos50/raw/L0/W_in", "mlp-out-artifacts/raw/L1", "x/raw/L2"]
    entries = (Known("holds", ".9 >= .5", ("chance",)), Known("refuted", 'a "word"\n'), Known("chance", ""))

    def read(path: Path) -> None:
        known = read_recorded(path, SHA256, ids)
        write_recorded(path, "a model", SHA256, known)
        assert read_recorded(path, SHA256, ids) == known

    written = [f"sha256 = {json.dumps(SHA256)}", "[verdicts]", f'"{ids[0]}" = {{ verdict = "holds" }}']
    yield Case("verdicts-0.toml", "\n".join(written).encode(), change_toml, read)
    whole = ['model = "a model"', written[0], "", "[verdicts]"]
    for name, one in zip(ids, entries, strict=False):
        also = ', also = ["chance"]' if one.also else ""
        whole.append(
            f"{json.dumps(name)} = {{ verdict = {json.dumps(one.verdict)}, reason = {json.dumps(one.reason)}{also} }}"
        )
    yield Case("verdicts-1.toml", "\n".join(whole).encode(), change_toml, read)


# --- measurements -----------------------------------------------------------------------------------------------------


def _outcomes() -> list[Any]:
    """Outcomes with every part that one may have."""
    from tests.report import factory
    from vsa_checks.judging.measurement import Measurement, NullMeasurement, Reference
    from vsa_checks.statistics import Interval
    from vsa_checks.workbench.outcome import Outcome

    details = [one["details"] for one in (factory.everything()["results"][0], factory.hostile()["results"][0])]
    interval, nulls = Interval(0.6, 0.8, "tokens"), (NullMeasurement("Gaussian matrices", 0.2, 0.01, 99, 0.01, 0.99),)
    plain = Measurement(0.7, interval, 300)
    return [
        Outcome(plain, "", False, None, 0.5),
        Outcome(Measurement(0.7, interval, 300, 2, Reference("Gaussian", 0.6), nulls, details[0]), "", True, 64, 0.5),
        Outcome(Measurement(0.7, interval, 300, 2, None, nulls, details[1]), "", False, None, 0.5, True, (plain,)),
        Outcome(None, "It has no such part.", False, None, 0.1),
    ]


def _reported(claim: Any, subject: Any, outcome: Any) -> str:
    """Whatever is taken from a file is judged, and written and shown as a report."""
    from tests.report import factory
    from vsa_checks.judging.judge import judge, near_margin
    from vsa_checks.report.result_record import not_checked_record, result_record

    info, flags = factory.INFO, factory.FLAGS["raw"]
    if outcome.measurement is None:
        result = not_checked_record(claim, subject, flags, outcome.reason, outcome.duration_s)
    else:
        near_margin(claim, outcome.measurement, info.d_model, outcome.redrawn)
        judgement = judge(claim, outcome.measurement, info.d_model, outcome.redrawn)
        result = result_record(claim, subject, flags, outcome.measurement, judgement, outcome.duration_s)
    shown(factory.document([result], [claim]))
    return f"taken, {result['verdict']}"


def shown(document: Any) -> None:
    """Every form that a report has."""
    from rich.console import Console

    from vsa_checks.report import document as documents
    from vsa_checks.report import page, summary
    from vsa_checks.report.table import table

    documents.as_text(document)
    rendered = page.render(document)
    assert rendered.lower().count("<script") == 1, "the page's own, and no other"
    table(document)
    out = io.StringIO()
    summary(document, Console(file=out, width=100, no_color=True), Path("index.html"), 0)
    assert all(one.isprintable() for one in out.getvalue().split("\n"))


def _kept(folder: Path) -> Iterator[Case]:
    from tests.claims_at_hand import a_claim
    from vsa_checks.judging.subjects import Subject
    from vsa_checks.sections import embeddings
    from vsa_checks.workbench.kept_measurements import FOLDER, KeptMeasurements

    subject = Subject("embedding-mean-zero", "raw")
    plain = a_claim("embedding-mean-zero")
    told = replace(plain, decisive=("Gaussian matrices",), delta=0.05, threshold_unit="reference")
    claims = (plain, told, plain, told)

    def entry(at: int) -> KeptMeasurements:
        return KeptMeasurements(folder / f"kept-{at}", {"at": at})

    def read(path: Path) -> str:
        at = int(path.parent.parent.name.removeprefix("kept-"))
        kept = KeptMeasurements(path.parent.parent, {"at": at})
        kept.loaded("raw")
        kept.threads()
        claim = claims[at]
        outcome = kept.find(claim, subject, {}, embeddings.mean_zero, {})
        return "passed over" if outcome is None else _reported(claim, subject, outcome)

    for at, outcome in enumerate(_outcomes()):
        entry(at).keep(claims[at], subject, {}, embeddings.mean_zero, {}, outcome)
        (file,) = (folder / f"kept-{at}" / FOLDER).iterdir()
        yield Case(str(file.relative_to(folder)), file.read_bytes(), change_kept, read)


def _twin_values() -> Iterator[Case]:
    from vsa_checks.judging.claim import load_claims
    from vsa_checks.judging.subjects import enumerate_subjects
    from vsa_checks.models import describe
    from vsa_checks.workbench.twin_values import TwinValues, read_values, shipped_path

    info, claims = describe("smollm2-135m"), load_claims()
    whole = json.loads(shipped_path(info.name).read_text(encoding="utf-8"))
    names = [name for name in ("embedding-mean-zero/raw", "mlp-out-beyond-random/raw/L0") if name in whole["values"]]
    names += [name for name in whole["values"] if name.startswith("neurons-beyond-chance/raw/L0")][:1]
    subjects = [one for claim in claims.values() for one in enumerate_subjects(claim, info) if one.id in names]
    content = json.dumps({**whole, "values": {name: whole["values"][name] for name in names}}).encode()

    def change(content: bytes, draw: Random, others: Any) -> bytes:
        if draw.random() < 0.4:
            return change_json(content, draw, others)
        found = json.loads(content)
        name = draw.choice(names)
        found["values"][name]["outcome"] = changed_value(found["values"][name]["outcome"], draw)
        return dump(found, draw)

    def read(path: Path) -> str:
        values = TwinValues(info, shipped=read_values(path, whole["shape"], whole["seed"]))
        found = [values.shipped(claims[subject.claim], subject) for subject in subjects]
        return f"{sum(one is not None for one in found)} of {len(subjects)} taken"

    yield Case("twin.json", content, change, read)


def _results() -> Iterator[Case]:
    from tests.report import factory
    from vsa_checks.report import document
    from vsa_checks.report.summary import summarize

    def change(content: bytes, draw: Random, others: Any) -> bytes:
        """Mostly with a summary that fits the changed results: else that alone is what is wrong with them."""
        kind = draw.random()
        if kind < 0.1:
            return change_bytes(content, draw, others)
        if kind < 0.4:
            return change_json(content, draw)
        found = json.loads(content)
        for _ in range(draw.choice((1, 1, 2))):
            at = draw.randrange(len(found["results"]))
            found["results"][at] = changed_value(found["results"][at], draw)
        try:
            records = {claim: entry["record"] for claim, entry in found["summary"]["by_claim"].items()}
            found["summary"] = summarize(found["results"], records) | {"not_run": found["summary"]["not_run"]}
        except Exception:  # so wrong that there is no summary of it
            pass
        return dump(found, draw)

    def read(path: Path) -> None:
        shown(document.read(path))

    for at, one in enumerate((factory.document(), factory.everything(), factory.hostile())):
        yield Case(f"results-{at}.json", document.as_text(one).encode(), change, read)
