"""The page as a browser shows it: chromium, without a window."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.report import factory
from tests.report.browser import REMEDY, Browser
from tests.report.factory import INFO
from vsa_checks.judging.claim import load_claims
from vsa_checks.report import write_page

pytestmark = pytest.mark.browser

WIDTHS = [400, 1200]


@pytest.fixture(scope="module")
def large_page(large_text: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(large_text, encoding="utf-8")
    return path


@pytest.mark.parametrize("dark", [False, pytest.param(True, marks=pytest.mark.thorough)], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_is_drawn_without_complaint_and_fetches_nothing(
    width: int, dark: bool, large_page: Path, browser: Browser
) -> None:
    browser.open(large_page, width, dark=dark)
    assert browser.complaints() == []
    assert [address for address in browser.requests() if not address.startswith(("file:", "data:"))] == []
    assert browser.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") is dark


@pytest.mark.parametrize("width", WIDTHS)
def test_the_first_line_is_on_the_first_screen(width: int, large_page: Path, browser: Browser) -> None:
    browser.open(large_page, width, height=700)
    words = "document.querySelector('h1').innerText.replace(/\\s+/g, ' ')"
    assert browser.evaluate(words) == (
        "Model checked: smollm2-135m. The paper's own model (GPT-2 small) was NOT checked."
    )
    box = browser.evaluate("document.querySelector('.not-paper').getBoundingClientRect().toJSON()")
    assert box["width"] > 100
    assert 0 <= box["top"] < box["bottom"] < 250


@pytest.mark.parametrize("width", WIDTHS)
def test_it_does_not_scroll_sideways(width: int, large_page: Path, browser: Browser) -> None:
    """As it is first shown, and with everything opened."""
    browser.open(large_page, width)
    for _ in range(2):
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        # Nothing may stick out of the window but what lies in a part that scrolls by itself.
        stray = """[...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll, svg')
            && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 200))"""
        assert browser.evaluate(stray) == []
        browser.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true })")


@pytest.mark.parametrize("width", WIDTHS)
def test_anchors_lead_to_their_claims(width: int, large_page: Path, browser: Browser) -> None:
    browser.open(large_page, width)
    browser.evaluate("document.querySelector('#claim-neurons-cos50 a.id').click()")
    assert browser.evaluate("location.hash") == "#claim-neurons-cos50"
    top = browser.evaluate("document.getElementById('claim-neurons-cos50').getBoundingClientRect().top")
    assert 0 <= top < 100


def test_links_to_subjects_open_their_table(large_page: Path, browser: Browser) -> None:
    """A subject in a closed part of the page is shown when a link leads to it."""
    browser.open(large_page, 1200)
    target = "document.getElementById('s-neuron-or.processed.L0.W_gate')"
    browser.evaluate(f"{target}.closest('details').open = false")
    browser.evaluate("document.querySelector('#not-checked a[href=\"#s-neuron-or.processed.L0.W_gate\"]').click()")
    box = browser.evaluate(f"{target}.getBoundingClientRect().toJSON()")
    assert box["height"] > 0


def test_value_threshold_and_chance_stand_on_one_axis(large_page: Path, browser: Browser) -> None:
    """For the share of 80%, the model and both nulls lie on the claimed side, next to each other."""
    browser.open(large_page, 1200)
    marks = browser.evaluate(
        """(() => {
        const row = document.querySelector('#claim-neurons-cos50');
        const at = s => [...row.querySelectorAll(s)].map(e => { const b = e.getBoundingClientRect();
            return [(b.left + b.right) / 2, b.top] });
        return {value: at('.value .dot'), rule: at('.rule .threshold'), nulls: at('.null .diamond')} })()"""
    )
    (value_x, value_y), (rule_x, rule_y) = marks["value"][0], marks["rule"][0]
    assert rule_x < value_x
    assert value_y < rule_y
    assert len(marks["nulls"]) == 2
    for null_x, null_y in marks["nulls"]:
        assert abs(null_x - value_x) < 5
        assert null_y > rule_y


def test_verdicts_are_words_and_not_only_colours(large_page: Path, browser: Browser) -> None:
    browser.open(large_page, 1200)
    words = set(
        browser.evaluate("[...document.querySelectorAll('.claim .head .verdict')].map(e => e.innerText.trim())")
    )
    assert words == {"refuted", "chance", "holds", "not checked"}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_stands_out_from_its_ground(dark: bool, large_page: Path, browser: Browser) -> None:
    """Contrast of at least 4.5 to 1 (WCAG AA) for the words of verdicts, plain text and soft text."""
    browser.open(large_page, 1200, dark=dark)
    contrasts = browser.evaluate(
        """(() => {
        const light = color => { const [r, g, b] = color.match(/[\\d.]+/g).map(Number).map(v => v / 255)
            .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
            return .2126 * r + .7152 * g + .0722 * b };
        const ground = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
            if (c !== 'rgba(0, 0, 0, 0)') return c } return 'rgb(255, 255, 255)' };
        const parts = document.querySelectorAll(
            '.verdict, p, dd, dt, .soft, .tag, a, h1 span, label, button, summary, h4');
        return [...parts].map(e => { const a = light(getComputedStyle(e).color), b = light(ground(e));
            return [(Math.max(a, b) + .05) / (Math.min(a, b) + .05), e.className || e.tagName] }) })()"""
    )
    assert len(contrasts) > 50
    weakest = min(contrasts)
    assert weakest[0] >= 4.5, weakest


def test_people_who_do_not_see_the_drawings_are_told(large_page: Path, browser: Browser) -> None:
    browser.open(large_page, 1200)
    images = "[...document.querySelectorAll('svg:not([aria-hidden])')]"
    assert browser.evaluate(f"{images}.length") > 50
    assert browser.evaluate(f"{images}.filter(e => !e.querySelector('title')).length") == 0
    described = browser.evaluate("document.querySelector('#claim-neurons-beyond-chance svg.layers desc').textContent")
    threshold = load_claims()["neurons-beyond-chance"].threshold
    assert described == f"Threshold ≥ {100 * threshold:g}%. Holds at layers 0, 29; refuted at 1–28."
    assert browser.evaluate("document.querySelectorAll('th:not([scope])').length") == 0


def test_hostile_text_stays_text(tmp_path: Path, browser: Browser) -> None:
    browser.open(write_page(factory.hostile(), tmp_path), 400)
    assert browser.evaluate("document.querySelectorAll('img, iframe, object').length") == 0
    assert browser.evaluate("document.querySelectorAll('script').length") == 1
    assert browser.evaluate("[...document.querySelectorAll('*')].filter(e => e.onerror || e.onload).length") == 0
    assert browser.complaints() == []
    assert [address for address in browser.requests() if not address.startswith(("file:", "data:"))] == []
    browser.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true })")
    assert browser.evaluate("document.documentElement.scrollWidth") <= 400


def test_long_names_do_not_widen_the_page(tmp_path: Path, browser: Browser) -> None:
    document = factory.document(model=replace(INFO, name="a/very-long-model-name" * 12, location="/x" * 200))
    browser.open(write_page(document, tmp_path), 400)
    assert browser.evaluate("document.documentElement.scrollWidth") <= 400


def test_without_chromium_it_fails_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="apt-get install chromium") as caught:
        Browser(tmp_path / "profile")
    assert REMEDY in str(caught.value)
