"""The columns of the test log, alone and inside pytest-html."""

import html
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.report import factory
from tests.report.browser import Browser
from tests.report.factory import FakeClaim
from tests.report.hostile import HOSTILE
from tests.report.parsed_page import Page
from vsa_checks.report.log_columns import cells, headers

ROOT = Path(__file__).resolve().parents[2]
CONFTEST = """
import json
from pathlib import Path
import pytest
from vsa_checks.report import log_columns

RESULTS = json.loads((Path(__file__).parent / "given.json").read_text())

def pytest_html_results_table_header(cells):
    cells[2:2] = log_columns.headers()

def pytest_html_results_table_row(report, cells):
    number = int(report.nodeid.split("[")[1].split("]")[0])
    cells[2:2] = log_columns.cells(RESULTS[number] if report.when == "call" else None)
"""
TESTS = """
import pytest

@pytest.mark.parametrize("number", range(6))
def test_it(number):
    assert number != 5
"""


def _shown(cell: str) -> str:
    """The text a reader sees in a cell."""
    return html.unescape(re.sub(r"<span hidden.*?</span>|<[^>]+>", "", cell))


def test_as_many_cells_as_headers_whatever_the_row() -> None:
    results = [*factory.everything()["results"], None]
    assert len(headers()) == 6
    for result in results:
        found = cells(result)
        assert len(found) == len(headers())
        for header, cell in zip(headers(), found, strict=True):
            name = re.search(r'data-column-type="(\w+)"', header)
            assert name
            assert cell.startswith(f'<td class="col-{name[1]}">')
            assert cell.endswith("</td>")
            assert "\n" not in cell


def test_cells_hold_claim_metric_value_threshold_null_and_verdict() -> None:
    claim = FakeClaim("claim-a", threshold_origin="paper")
    close = factory.null(value=0.55, p_value=0.3)
    found = [_shown(cell) for cell in cells(factory.result(claim, 0.9, nulls=[close, factory.null("easy", 0.1)]))]
    assert found == ["claim-a", "share", "0.9", "≥ 0.5 (paper)", "random directions: 0.55", "chance"]
    reference = factory.result(claim, 0.55, nulls=[], reference={"name": "law", "value": 0.6})
    assert [_shown(cell) for cell in cells(reference)][-2:] == ["none; reference 0.6", "holds, fragile"]


def test_a_row_without_a_result_is_empty() -> None:
    assert [_shown(cell) for cell in cells(None)] == [""] * 6


def test_hidden_keys_sort_as_the_figures_do() -> None:
    claim = FakeClaim("claim-a", decisive=())
    values = [-1e9, -2.5, -1e-9, 0.0, 1e-300, 9.0, 10.0, 100.5, 1e12]
    keys = [re.findall(r"<span hidden[^>]*>(\d+)</span>", cells(factory.result(claim, value))[2]) for value in values]
    assert all(len(found) == 1 and len(found[0]) == 20 for found in keys)
    assert keys == sorted(keys)
    assert len({key[0] for key in keys}) == len(values)
    unknown = re.findall(r"<span hidden[^>]*>(\d+)</span>", cells(factory.result(claim, None))[2])
    assert unknown < keys[0]


def test_hostile_text_stays_text() -> None:
    claim = FakeClaim("claim-a", metric=HOSTILE, decisive=(HOSTILE,))
    text = "<table><tr>" + "".join(cells(factory.result(claim, 0.9))) + "</tr></table>"
    page = Page(text)
    assert {tag for tag, _ in page.tags} == {"table", "tr", "td", "span"}
    assert {name for _, attributes in page.tags for name in attributes} == {"class", "hidden"}
    assert page.text.count(HOSTILE) == 2


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log that pytest-html wrote with these columns: values out of order, one hostile, one failure."""
    folder = tmp_path_factory.mktemp("log")
    claim = FakeClaim("claim-a", metric=HOSTILE, decisive=())
    values = [10.0, 9.0, -0.5, 100.0, None, 0.001]
    given = [factory.result(claim, value) for value in values]
    (folder / "given.json").write_text(json.dumps(given))
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_it.py").write_text(TESTS)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--rootdir=.",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
    ]
    done = subprocess.run(
        [*command, "--html=log.html", "--self-contained-html", "test_it.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "1 failed, 5 passed" in done.stdout, done.stdout + done.stderr
    return folder / "log.html"


def test_pytest_html_takes_the_columns(log: Path, browser: Browser) -> None:
    browser.open(log, 1200)
    shown = browser.evaluate("[...document.querySelectorAll('#results-table-head th')].map(th => th.textContent)")
    assert [name.strip() for name in shown] == [
        "Result",
        "Test",
        "Claim",
        "Metric",
        "Value",
        "Threshold",
        "Null",
        "Verdict",
        "Duration",
        "Links",
    ]
    assert browser.evaluate("document.querySelectorAll('td[class^=col-] :is(img, script, svg)').length") == 0
    assert browser.evaluate("document.querySelector('td.col-metric').textContent") == HOSTILE


def test_pytest_html_sorts_them_by_figure(log: Path, browser: Browser) -> None:
    browser.open(log, 1200)
    visible = "[...document.querySelectorAll('td.col-value')].map(td => td.lastChild.textContent)"
    browser.evaluate("document.querySelector('th[data-column-type=value]').click()")
    expected = ["–", "-0.5", "0.001", "9", "10", "100"]
    assert browser.evaluate(visible) == expected
    browser.evaluate("document.querySelector('th[data-column-type=value]').click()")
    assert browser.evaluate(visible) == expected[::-1]
