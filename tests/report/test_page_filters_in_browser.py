"""The page's filters, sorting, links and keys in a browser; and all of it without script."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.report import factory
from tests.report.browser import Browser
from tests.report.factory import Json, null, plain, result, told
from vsa_checks.report import write_page

pytestmark = pytest.mark.browser
SHOWN = "[...document.querySelectorAll('article.claim')].filter(e => e.getClientRects().length).map(e => e.dataset.id)"
ROWS = """[...document.querySelectorAll('#claim-claim-a .subjects > tbody')].filter(e => !e.hidden)
    .map(e => e.id.split('.').slice(2).join('.'))"""
SET = "(f => {{ f.elements.{0}.value = {1}; f.dispatchEvent(new Event('input')) }})(document.querySelector('#filters'))"


def planted() -> Json:
    """claim-a (3.2) at three layers with three verdicts, claim-b (2.1) refuted, claim-c (3.1) not checked."""
    a, b, c = (
        told("claim-a", section="3.2", primary="layer-0"),
        plain("claim-b", section="2.1", title="Something about means"),
        plain("claim-c", section="3.1"),
    )
    spots: list[Json] = [{"layer": layer, "matrix": "W_in"} for layer in range(3)]
    rows = [
        result(a, 0.9, nulls=[null(p_value=0.002)], **spots[0]),
        result(a, 0.7, nulls=[null(value=0.69, p_value=0.4)], **spots[1]),
        result(a, 0.2, nulls=[null(p_value=0.009)], **spots[2]),
    ]
    return factory.document([*rows, result(b, 0.1), result(c, None)], [a, b, c])


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(planted(), tmp_path_factory.mktemp("page"))


@pytest.fixture
def page(path: Path, browser: Browser) -> Browser:
    browser.open(path, 1400)
    return browser


def go_to(browser: Browser, path: Path, fragment: str) -> None:
    """Opens the page anew at a place of it, as a link from elsewhere does."""
    browser.call("Page.navigate", url="about:blank")
    browser.events.clear()
    browser.call("Page.navigate", url=path.as_uri() + fragment)
    while browser.evaluate("document.readyState + location.protocol") != "completefile:":
        pass


def press(browser: Browser, key: str, code: int, **more: Any) -> None:
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **more)


def test_claims_and_subjects_are_filtered_and_the_address_remembers_it(path: Path, page: Browser) -> None:
    assert page.evaluate(SHOWN) == ["claim-b", "claim-c", "claim-a"], "sections as the paper has them"
    for change, claims, rows in [
        (("verdict", "'chance'"), ["claim-a"], ["L1.W_in"]),
        (("verdict", "'refuted'"), ["claim-b", "claim-a"], ["L2.W_in"]),
        (("section", "'1'"), ["claim-b"], []),
        (("section", "''"), ["claim-b", "claim-a"], ["L2.W_in"]),
        (("verdict", "''"), ["claim-b", "claim-c", "claim-a"], ["L0.W_in", "L1.W_in", "L2.W_in"]),
        (("text", "'ABOUT means'"), ["claim-b"], []),
        (("text", "'claim-a/processed/l1'"), ["claim-a"], ["L1.W_in"]),
        (("text", "''"), ["claim-b", "claim-c", "claim-a"], ["L0.W_in", "L1.W_in", "L2.W_in"]),
        (("layer", "'0'"), ["claim-a"], ["L0.W_in"]),
    ]:
        page.evaluate(SET.format(*change))
        assert (page.evaluate(SHOWN), page.evaluate(ROWS)) == (claims, rows), change
    page.evaluate(SET.format("section", "'3'"))
    assert page.evaluate("document.querySelector('#found').textContent") == "1 of 3 claims, 1 of 5 subjects shown"
    kept = page.evaluate("location.hash")
    assert kept == "#?section=3.2&layer=0"
    go_to(page, path, kept)
    assert (page.evaluate(SHOWN), page.evaluate(ROWS)) == (["claim-a"], ["L0.W_in"])
    page.evaluate("document.querySelector('#filters [type=reset]').click()")
    page.call("Runtime.evaluate", expression="new Promise(done => setTimeout(done, 50))", awaitPromise=True)
    assert page.evaluate(SHOWN) == ["claim-b", "claim-c", "claim-a"]


@pytest.mark.parametrize(
    "fragment", ["#s-claim-a.processed.L2.W_in", "#claim-a/processed/L2/W_in", "#claim-claim-a", "#claim-a"]
)
def test_a_link_leads_to_its_place_though_it_was_closed_or_filtered_away(
    fragment: str, path: Path, page: Browser
) -> None:
    go_to(page, path, fragment)
    for _ in range(2):
        box = page.evaluate("document.querySelector(':target').getBoundingClientRect().toJSON()")
        assert box["height"] > 0 and 0 <= box["top"] < 900
        assert page.evaluate("document.querySelector(':target').id").startswith(("s-claim-a", "claim-claim-a"))
        go_to(page, path, "#?section=2.1")
        page.evaluate(f"location.hash = {fragment!r}")
        page.call("Runtime.evaluate", expression="new Promise(done => setTimeout(done, 100))", awaitPromise=True)


def test_subjects_are_sorted_by_numbers_and_back(page: Browser) -> None:
    order = "[...[...document.querySelectorAll('#claim-claim-a table.subjects')].at(-1).tBodies].map(e => e.dataset.l)"
    click = "[...document.querySelectorAll('#claim-claim-a table.subjects')].at(-1).querySelector('[data-sort={}]')"
    assert page.evaluate(order) == ["1", "2"]
    for key, layers, said in [
        ("x", ["2", "1"], "ascending"),
        ("x", ["1", "2"], "descending"),
        ("p", ["2", "1"], "ascending"),
        ("q", ["2", "1"], "ascending"),
        ("q", ["1", "2"], "descending"),
        ("v", ["2", "1"], "ascending"),
        ("at", ["1", "2"], "ascending"),
    ]:
        page.evaluate(click.format(key) + ".click()")
        assert page.evaluate(order) == layers
        assert page.evaluate(click.format(key) + ".closest('th').getAttribute('aria-sort')") == said


def test_all_is_opened_and_closed_at_once(page: Browser) -> None:
    closed = "document.querySelectorAll('#claims details:not([open])').length"
    click = "document.querySelector('#expand').click()"
    assert page.evaluate(closed) > 3
    page.evaluate(click)
    assert page.evaluate(closed) == 0
    assert page.evaluate("document.querySelector('#expand').textContent") == "Collapse all"
    page.evaluate(click)
    assert page.evaluate("document.querySelectorAll('#claims details[open]').length") == 0


def test_keys_lead_first_to_the_claims_and_the_focus_is_seen(page: Browser) -> None:
    focused = "document.activeElement"
    press(page, "Tab", 9)
    assert page.evaluate(f"{focused}.className") == "skip"
    assert page.evaluate(f"{focused}.getBoundingClientRect().left") >= 0
    press(page, "Enter", 13, text="\r")
    assert page.evaluate("location.hash") == "#claims"
    order = []
    for _ in range(9):
        press(page, "Tab", 9)
        order.append(page.evaluate(f"{focused}.name || {focused}.id || {focused}.type || {focused}.localName"))
        assert page.evaluate(f"parseFloat(getComputedStyle({focused}).outlineWidth)") >= 1, order
        assert page.evaluate(f"getComputedStyle({focused}).outlineStyle") != "none", order
    assert order[:7] == ["text", "verdict", "section", "layer", "reset", "expand", "summary"]


@pytest.fixture
def without_script(browser: Browser) -> Iterator[Browser]:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    yield browser
    browser.call("Emulation.setScriptExecutionDisabled", value=False)


def test_without_script_all_is_there_and_no_control_that_does_nothing(path: Path, without_script: Browser) -> None:
    without_script.open(path, 1400)
    shown = "[...document.querySelectorAll('{}')].filter(e => e.getClientRects().length).length"
    assert without_script.evaluate(shown.format("button, form, input")) == 0
    assert without_script.evaluate(SHOWN) == ["claim-b", "claim-c", "claim-a"]
    assert without_script.evaluate(shown.format(".answers dd")) == 11
    without_script.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true })")
    assert without_script.evaluate(shown.format(".subjects > tbody")) == 5


def test_on_paper_it_is_opened_and_has_no_controls(path: Path, browser: Browser) -> None:
    browser.open(path, 800, dark=True)
    browser.call("Emulation.setEmulatedMedia", media="print")
    try:
        visible = "[...document.querySelectorAll('{}')].filter(e => e.checkVisibility()).length"
        assert browser.evaluate(visible.format("button, form, input, .skip")) == 0
        assert browser.evaluate(visible.format(".rest .facts")) == 3
        assert browser.evaluate(visible.format(".by-section li")) == 3
        assert browser.evaluate("document.documentElement.scrollWidth") <= 800
    finally:
        browser.call("Emulation.setEmulatedMedia", media="")


def test_headings_go_down_by_one_and_parts_have_names(page: Browser) -> None:
    """As axe-core asks: one h1, no level left out; landmarks, groups and controls with names; ids unique."""
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map(e => Number(e.localName[1]))")
    assert levels.count(1) == 1 and levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert page.evaluate("document.querySelectorAll('main').length") == 1
    nameless = """[...document.querySelectorAll('a, button, input, select, summary, nav, form, [role=group], article')]
        .filter(e => !(e.textContent.trim() && !e.matches('nav, form, [role=group], article')
            || e.getAttribute('aria-label') || e.labels?.length
            || document.getElementById(e.getAttribute('aria-labelledby'))?.textContent.trim())).length"""
    assert page.evaluate(nameless) == 0
    outside = """[...document.querySelectorAll('body *')].filter(e => e.innerText?.trim() && !e.children.length
        && !e.closest('header, main, .skip, script')).length"""
    assert page.evaluate(outside) == 0
