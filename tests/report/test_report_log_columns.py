"""The columns of the test log; tests/plugin looks at them inside pytest-html."""

import html
import re

from tests.report import factory
from tests.report.factory import HOSTILE, null, plain, told
from tests.report.parsed_page import Page
from vsa_checks.judging.measurement import Reference
from vsa_checks.report.log_columns import cells, headers


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
    claim = told(threshold_origin="paper", decisive=("random directions", "easy"))
    nulls = [null(value=0.55, p_value=0.3), null("easy", 0.1)]
    found = [_shown(cell) for cell in cells(factory.result(claim, 0.9, nulls=nulls))]
    assert found == ["claim-a", "share", "90%", "≥ 50% (paper)", "random directions: 55%", "chance"]
    reference = factory.result(plain(), 0.55, reference=Reference("law", 0.6))
    assert [_shown(cell) for cell in cells(reference)][-2:] == ["none; reference 60%", "holds, fragile"]
    ranked = factory.result(plain(metric="median rank of the own token", threshold=10.0, direction="<="), 44653.0)
    assert [_shown(cell) for cell in cells(ranked)][2:4] == ["44,653rd", "≤ 10th (ours)"]
    assert [_shown(cell) for cell in cells(None)] == [""] * 6


def test_hidden_keys_sort_as_the_numbers_do() -> None:
    values = [None, -1e9, -2.5, -1e-9, 0.0, 1e-300, 9.0, 10.0, 100.5, 1e12]
    rows = [cells(factory.result(plain(), value)) for value in values]
    keys = [re.findall(r"<span hidden[^>]*>(\d+)</span>", row[2]) for row in rows]
    assert all(len(found) == 1 and len(found[0]) == 20 for found in keys)
    assert keys == sorted(keys) and len({key[0] for key in keys}) == len(values)


def test_hostile_text_stays_text() -> None:
    claim = told(metric=HOSTILE, decisive=(HOSTILE,))
    page = Page("<table><tr>" + "".join(cells(factory.result(claim, 0.9))) + "</tr></table>")
    assert {tag for tag, _ in page.tags} == {"table", "tr", "td", "span"}
    assert {name for _, attributes in page.tags for name in attributes} == {"class", "hidden"}
    assert page.text.count(HOSTILE) == 2
