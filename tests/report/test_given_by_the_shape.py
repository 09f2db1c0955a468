"""What the untrained twin meets too is counted apart in every summary, and results of earlier versions are read."""

from __future__ import annotations

import copy
import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.report import factory
from tests.report.factory import Json, null, plain, told
from tests.report.parsed_page import Page
from vsa_checks.report import read, render, summary, validate, write
from vsa_checks.report.formatting import GIVEN, counts_in_words, remarks

MET, NOT_MET = {"value": 0.7, "met": True}, {"value": 0.1, "met": False}


def of_both(twins: list[Json | None], **changes: Any) -> Json:
    """Layers of one claim that holds, with these twins; layer 0 is primary."""
    claim = plain(primary="layer-0")
    results = [factory.result(claim, 0.7, layer=layer, twin=twin, **changes) for layer, twin in enumerate(twins)]
    return factory.document(results, [claim])


def printed(document: Json, width: int = 120) -> str:
    stream = io.StringIO()
    summary(document, Console(file=stream, width=width))
    return stream.getvalue()


def test_only_what_holds_and_is_met_by_the_twin_is_given_by_the_shape() -> None:
    lost = [null(value=0.69, p_value=0.3)]
    assert remarks(factory.result(told(), 0.7, twin=MET)) == [GIVEN]
    assert remarks(factory.result(told(), 0.7, twin=NOT_MET)) == remarks(factory.result(told(), 0.7)) == []
    for value, nulls in ((0.1, None), (0.7, lost)):  # refuted, chance
        assert GIVEN not in remarks(factory.result(told(), value, nulls=nulls, twin=MET))
    assert remarks(factory.result(told(), None)) == []
    assert remarks(factory.result(told(), 0.7, twin=MET, unsettled=True, fragile=True)) == [
        "fragile",
        "unsettled",
        GIVEN,
    ]


def test_counts_stand_in_the_summary_for_primary_and_exploratory_subjects_and_for_each_claim() -> None:
    document = of_both([MET, MET, NOT_MET, None, MET])
    validate(document)
    for part in (document["summary"], document["summary"]["by_claim"]["claim-a"]):
        assert (part["primary"]["holds"], part["primary"]["given_by_shape"]) == (1, 1)
        assert (part["exploratory"]["holds"], part["exploratory"]["given_by_shape"]) == (4, 2)
    assert document["summary"]["by_claim"]["claim-a"]["worst"]["twin"] == MET


def test_unsettled_verdicts_are_counted_whatever_they_are() -> None:
    claim = told(primary="layer-0")
    values = (0.7, 0.1, None)
    results = [factory.result(claim, value, layer=at, unsettled=value is not None) for at, value in enumerate(values)]
    document = factory.document(results, [claim])
    assert [document["summary"][kind]["unsettled"] for kind in ("primary", "exploratory")] == [1, 1]
    assert "Unsettled: 2 of all" in printed(document) and "Unsettled" not in printed(factory.document())


def test_words_count_apart_what_the_shape_gives() -> None:
    counts = {"holds": 27, "chance": 0, "refuted": 1, "not-checked": 2, "given_by_shape": 20}
    assert counts_in_words(counts) == "1 refuted, 27 hold (of which 20 are given by the shape), 2 not checked"
    assert counts_in_words({**counts, "holds": 1, "given_by_shape": 1}) == (
        "1 refuted, 1 holds (of which 1 is given by the shape), 2 not checked"
    )
    assert counts_in_words({**counts, "given_by_shape": 0}) == "1 refuted, 27 hold, 2 not checked"


@pytest.mark.parametrize("width", [80, 120])
def test_the_terminal_counts_it_apart(width: int) -> None:
    found = printed(of_both([MET, MET, NOT_MET]), width)
    assert max(map(len, found.splitlines())) <= width
    words = " ".join(found.split())
    (line,) = (one for one in found.splitlines() if one.startswith("claim-a "))
    assert line.split()[1:6] == ["1", "1", "0", "0", "0"]
    assert "Primary subjects: 1 holds (of which 1 is given by the shape)." in words
    assert "Exploratory subjects: 2 hold (of which 1 is given by the shape) (2 after Benjamini-Hochberg)." in words
    assert "an untrained network of the same shape meets it too" in found
    without = printed(of_both([NOT_MET, None]), width)
    assert "shape meets" not in without and "given by" not in without


def test_the_page_marks_it_and_counts_it_apart() -> None:
    page = Page(render(of_both([MET, NOT_MET, None])))
    text = " ".join(page.text.split())
    found = "Of 1 claim checked on this model, 1 holds wherever checked (which an untrained network of the same shape"
    assert f"{found} meets too)." in text
    assert "1 primary subject, of which 1 is given by the shape" in text
    assert text.count("An untrained network of the same shape meets this too, so it is given by the shape.") == 1
    assert (
        text.count("70% (met)") == 1 and "1 of the 3 that hold: an untrained network meets the claim there too." in text
    )
    assert "the shape gives 1 that hold" in text


def test_a_claim_is_given_by_the_shape_only_where_all_that_holds_is() -> None:
    claim = plain()
    results = [factory.result(claim, 0.7, layer=layer, twin=twin) for layer, twin in enumerate((MET, NOT_MET))]
    text = " ".join(Page(render(factory.document(results, [claim]))).text.split())
    assert "1 holds wherever checked." in text
    assert "2 primary subjects, of which 1 is given by the shape" in text


def test_page_and_terminal_say_once_why_there_is_no_twin() -> None:
    document = factory.document(no_twin="it would take 28 GB")
    text = " ".join(Page(render(document)).text.split())
    assert text.count("it would take 28 GB") == 1
    assert printed(document).count("The results have no untrained twin: it would take 28 GB.") == 1


# --- schema version 1 -----------------------------------------------------------------------------------------


def first_version(document: Json) -> Json:
    """A document as schema version 1 had it."""
    old = copy.deepcopy(document) | {"schema_version": 1}
    old["environment"].pop("no_twin", None)
    summaries = [old["summary"], *old["summary"]["by_claim"].values()]
    for part in (counts for one in summaries for counts in (one["primary"], one["exploratory"])):
        del part["given_by_shape"], part["unsettled"]
    for part in [*old["results"], *(one["worst"] for one in old["summary"]["by_claim"].values())]:
        del part["unsettled"], part["twin"]
    return old


def test_a_document_of_the_first_version_is_read_with_what_it_lacks_filled_in(tmp_path: Path) -> None:
    claims = [told("claim-a"), told("claim-b", primary="layer-0")]
    results = [factory.result(claims[0]), *(factory.result(claims[1], 0.4, layer=layer) for layer in range(2))]
    now = factory.document(results, claims)
    (tmp_path / "results.json").write_text(json.dumps(first_version(now)))
    found = read(tmp_path)
    why = found["environment"].pop("no_twin")
    assert found == now
    assert "predates untrained twins" in why
    assert all(result["twin"] is None and result["unsettled"] is False for result in found["results"])


def test_what_is_read_of_the_first_version_makes_a_page_a_table_and_a_new_file(tmp_path: Path) -> None:
    from vsa_checks.report import table

    (tmp_path / "results.json").write_text(json.dumps(first_version(factory.everything())))
    found = read(tmp_path)
    assert GIVEN not in {remark for result in found["results"] for remark in remarks(result)}
    assert "predates untrained twins" in render(found)
    assert table(found).twin_met.isna().all()
    assert read(write(found, tmp_path / "again")) == found


def test_a_file_of_the_first_version_is_checked_as_strictly(tmp_path: Path) -> None:
    from vsa_checks.report import ReportError

    old = first_version(factory.everything())
    old["summary"]["primary"]["holds"] += 1
    (tmp_path / "results.json").write_text(json.dumps(old))
    with pytest.raises(ReportError, match=r"summary.primary.holds"):
        read(tmp_path)
