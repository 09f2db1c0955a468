"""The end of a run: results.json and the page, recorded verdicts, the summary on the terminal."""

from __future__ import annotations

import hashlib
import io
import platform
from contextlib import suppress
from dataclasses import replace
from importlib import metadata
from typing import Any

import pytest
from rich.console import Console

from vsa_checks.errors import VsaChecksError, visible
from vsa_checks.judging.claim import load_claims
from vsa_checks.judging.recorded import Known, Recorded, read_recorded, recorded_text
from vsa_checks.judging.subjects import enumerate_subjects
from vsa_checks.plugin.run import ClaimsRun
from vsa_checks.plugin.tally import Tally
from vsa_checks.plugin.twins import twin_to_record
from vsa_checks.report.formatting import readable_width
from vsa_checks.writing import write_together

VERSIONS = ("vsa-checks", "torch", "transformer-lens", "transformers", "numpy", "scipy", "numba", "gguf", "pytest")


def write_report(run: ClaimsRun, tally: Tally, duration_s: float) -> dict[str, Any] | None:
    """Write results.json and index.html; None, and nothing written, if no claim was tried.

    If everything crashed, a report is still written: that of an earlier run must not be taken for this one's.
    """
    if not tally.claims_tried:
        return None
    from vsa_checks.figures import store
    from vsa_checks.report import assemble, document, page

    info = replace(run.info, notes=" ".join(filter(None, (run.info.notes, *sorted(tally.notes)))))
    found = assemble(info, _environment(run, tally, duration_s), list(tally.results.values()), load_claims())
    text = document.as_text(found)
    arrays = store.file_of((one for _, one in sorted(tally.arrays.items())), text)
    write_together(
        {
            run.report_dir / document.FILE_NAME: text,
            run.report_dir / store.FILE_NAME: arrays,
            run.report_dir / page.FILE_NAME: page.render(found, store.of_results(arrays, text)),
        }
    )
    return found


def record(run: ClaimsRun, tally: Tally) -> None:
    """Write measured verdicts as recorded ones; subjects that were not run keep their recorded verdicts."""
    if run.recorded_file is None or run.info.sha256 is None or not tally.results:
        return
    ids = {s.id for claim in load_claims().values() for s in enumerate_subjects(claim, run.info)}
    known = Recorded()
    if run.recorded_file.exists():
        with suppress(VsaChecksError):  # other weights or ids that are gone: nothing in it is known any more
            known = read_recorded(run.recorded_file, run.info.sha256, ids)
    found = {**known, **{name: _known(result) for name, result in tally.results.items()}}
    twin = twin_to_record(run, tally, known)
    digest = known.twin if twin is None else hashlib.sha256(twin[1].encode()).hexdigest()
    # The verdicts name the twin's file: what was ended between the two is noticed by the next run.
    write_together(
        {
            **({} if twin is None else {twin[0]: twin[1]}),
            run.recorded_file: recorded_text(run.info.name, run.info.sha256, found, digest),
        }
    )
    tally.recorded = True
    tally.twin_file = None if twin is None else twin[0]


def not_written(what: str, place: object, error: Exception, run: ClaimsRun) -> str:
    """The message for a file that could not be written: the reason and the remedy."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    again = "takes the measurements from the cache" if run.kept.keeps else "measures everything again"
    return visible(
        f"{what} could not be written to {place} ({reason.rstrip('.')}); earlier files there are unchanged. Free some "
        f"space there, or name another place; the same command {again}."
    )


def why_not_recorded(tally: Tally) -> str:
    """Why a run with --record did not record verdicts."""
    if tally.failed or tally.missing or not tally.results:
        return "a test failed or did not run, or nothing was measured"
    return "the run did not end normally"


def _known(result: dict[str, Any]) -> Known:
    drawn = result["details"].get("seeds", {}).get("verdicts", {})
    return Known(result["verdict"], result["reason"], tuple(one for one in drawn if one != result["verdict"]))


def tell(run: ClaimsRun, tally: Tally, document: dict[str, Any] | None, reporter: pytest.TerminalReporter) -> None:
    """Print the summary of the run, and what should have been measured but was not."""
    if document is not None:
        from vsa_checks import report

        reporter.section("claims")
        console = Console(
            file=io.StringIO(),
            width=readable_width(reporter._tw.fullwidth),
            force_terminal=bool(reporter.isatty),
            no_color=not reporter.isatty,
        )
        report.summary(document, console, run.report_dir / "index.html", len(tally.from_cache))
        reporter.write_line(console.file.getvalue().rstrip())  # type: ignore[attr-defined]
    if tally.twin_file is not None:
        reporter.write_line(f"Values of the untrained twin written to {visible(tally.twin_file)}.")
    if run.record and run.recorded_file is not None:
        reporter.write_line(
            f"Recorded verdicts written to {visible(run.recorded_file)}."
            if tally.recorded
            else f"{visible(run.recorded_file)} was NOT written: {why_not_recorded(tally)}."
        )
    for reason in tally.load_failures:
        reporter.write_line(f"ERROR: {reason}", red=True)  # made visible where it was raised
    if tally.ended_early:
        n_done = f"{len(tally.done)} of {len(tally.collected)} checks were done"
        reporter.write_line(
            f"Ended early: {n_done}. Their measurements are kept, and the same command resumes from there."
            if run.kept.keeps
            else f"Ended early: {n_done}. Nothing is kept (no cache): the same command measures everything again.",
            yellow=True,
        )
    elif tally.missing and not tally.refused:
        reporter.write_line(
            f"{len(tally.missing)} of {len(tally.collected)} collected tests were never reported, so the run fails. "
            f"The first is {tally.missing[0]}.",
            red=True,
        )


def _environment(run: ClaimsRun, tally: Tally, duration_s: float) -> dict[str, Any]:
    versions = {"python": platform.python_version()}
    for name in VERSIONS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    partial: dict[str, Any] = {"selection": run.selection.words} if run.selection else {}
    if tally.ended_early:
        partial["interrupted"] = True
    no_twin = tally.why_no_twin or (run.twins.why_not if run.twins is not None else "")
    subjects = sum(len(enumerate_subjects(claim, run.info, run.bases)) for claim in load_claims().values())
    return {
        **({} if tally.text is None else {"text": tally.text}),
        **partial,
        **({"no_twin": no_twin} if no_twin else {}),
        "versions": versions,
        "device": run.device,
        "threads": run.ask_threads(),
        "seed": run.seed,
        "duration_s": round(duration_s, 3),
        "n_subjects": subjects,
        "crashed": [{"test": test, "message": message} for test, message in sorted(tally.crashed.items())],
    }
