"""The comparison's page as a browser shows it: filters, sorting, links; whole without script."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.report import factory
from tests.report.browser import Browser
from tests.report.factory import HOSTILE, INFO, null, plain, result, told
from vsa_checks.report import write, write_page
from vsa_checks.report.comparison import write_comparison

pytestmark = pytest.mark.browser
WIDTHS = [400, 1400]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three checkpoints, a second run of the last one, and a hostile one; three claims."""
    folder = tmp_path_factory.mktemp("reports")
    a, b, c = (
        told("claim-a", section="3.2", primary="layer-0"),
        plain("claim-b", section="2.1"),
        plain("claim-c", section="3.1", title=HOSTILE),
    )
    for step, values in {1: (0.2, 0.9, 0.7), 10: (0.7, 0.4, 0.7), 100: (0.9, 0.6, 0.7), 101: (0.95, 0.4, 0.7)}.items():
        rows = [
            result(a, values[0], layer=0, matrix="W_in", nulls=[null(value=0.65, p_value=0.2 if step == 10 else 0.001)])
        ]
        rows += [result(b, values[1]), result(c, values[2])]
        name = f"{HOSTILE * 3}@step{min(step, 100)}"
        model = replace(INFO, name=name, sha256=f"{min(step, 100):064d}")
        document = factory.document(rows, [a, b, c], model, seed=int(step == 101))
        write(document, folder / f"s{step}")
        write_page(document, folder / f"s{step}")
    write_comparison([folder], folder)
    return folder / "index.html"


SHOWN = "[...document.querySelectorAll('#grid tbody tr')].filter(r => r.getClientRects().length).map(r => r.dataset.id)"
SET = "(f => {{ f.elements.{0} = {1}; f.dispatchEvent(new Event('input')) }})(document.querySelector('#filters'))"


@pytest.mark.parametrize("dark", [False, pytest.param(True, marks=pytest.mark.thorough)], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_is_drawn_without_complaint_fits_and_fetches_nothing(
    width: int, dark: bool, page: Path, browser: Browser
) -> None:
    browser.open(page, width, dark=dark)
    assert browser.evaluate("document.querySelector('#found').textContent") == "3 of 3 claims shown", "the script ran"
    assert browser.complaints() == []
    assert [address for address in browser.requests() if not address.startswith(("file:", "data:"))] == []
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate("document.querySelectorAll('img, iframe, object').length") == 0
    assert browser.evaluate("document.querySelectorAll('script').length") == 1


def test_claims_are_filtered_and_the_address_remembers_it(page: Path, browser: Browser) -> None:
    browser.open(page, 1400)
    assert browser.evaluate(SHOWN) == ["claim-b", "claim-c", "claim-a"], "sections as the paper has them"
    for change, left in {
        ("verdict.value", "'chance'"): ["claim-a"],
        ("verdict.value", "''"): ["claim-b", "claim-c", "claim-a"],
        ("section.value", "'2.1'"): ["claim-b"],
        ("text.value", "'CLAIM-A'"): [],
        ("section.value", "'' "): ["claim-a"],
        ("text.value", "''"): ["claim-b", "claim-c", "claim-a"],
        ("differs.checked", "true"): ["claim-b", "claim-a"],
    }.items():
        browser.evaluate(SET.format(*change))
        assert browser.evaluate(SHOWN) == left, change
    assert browser.evaluate("document.querySelector('#found').textContent") == "2 of 3 claims shown"
    kept = browser.evaluate("location.hash")
    assert kept == "#?differs=yes"
    browser.open(page.parent / "s1" / "index.html", 1400)
    browser.call("Page.navigate", url=f"{page.as_uri()}{kept}")
    deadline = time.monotonic() + 20
    while browser.evaluate("document.querySelector('#found')?.textContent") != "2 of 3 claims shown":
        assert time.monotonic() < deadline
    assert browser.evaluate("document.querySelector('#filters').elements.differs.checked") is True


def test_columns_sort_by_verdict_and_then_by_how_far_the_threshold_is_missed(page: Path, browser: Browser) -> None:
    browser.open(page, 1400)
    click = "document.querySelectorAll('#grid thead button[data-order=\"{}\"]')[0].click()"
    browser.evaluate(click.format(0))
    assert browser.evaluate(SHOWN) == ["claim-a", "claim-c", "claim-b"], "refuted; holds by .2, then by .4"
    assert browser.evaluate("document.querySelectorAll('#grid th[aria-sort=ascending]').length") == 1
    browser.evaluate(click.format(0))
    assert browser.evaluate(SHOWN) == ["claim-b", "claim-c", "claim-a"]
    browser.evaluate(click.format("name"))
    assert browser.evaluate(SHOWN) == ["claim-a", "claim-b", "claim-c"]


def test_a_cell_leads_to_the_row_on_the_page_of_its_model(page: Path, browser: Browser) -> None:
    browser.open(page, 1400)
    address = browser.evaluate("document.querySelector('#claim-claim-a td a').href")
    target = Path(address.removeprefix("file://").partition("#")[0])
    assert target == page.parent / "s1" / "index.html"
    browser.open(target, 1400)
    browser.evaluate(f"location.hash = {address.partition('#')[2]!r}")
    box = browser.evaluate("document.querySelector(':target').getBoundingClientRect().toJSON()")
    assert box["height"] > 0 and box["top"] < 900


def test_without_script_all_is_there_and_no_control_that_does_nothing(page: Path, browser: Browser) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(page, 1400)
        controls = "[...document.querySelectorAll('button, form')].filter(e => e.getClientRects().length).length"
        assert browser.evaluate(controls) == 0
        assert browser.evaluate(SHOWN) == ["claim-b", "claim-c", "claim-a"]
        assert browser.evaluate("document.querySelectorAll('.curves svg').length") == 3
        assert browser.evaluate("document.querySelectorAll('.changes tbody tr').length") == 2
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_stands_out_from_its_ground_and_controls_have_names(dark: bool, page: Path, browser: Browser) -> None:
    browser.open(page, 1400, dark=dark)
    weakest = browser.evaluate(
        """(() => {
        const light = color => { const [r, g, b] = color.match(/[\\d.]+/g).map(Number).map(v => v / 255)
            .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
            return .2126 * r + .7152 * g + .0722 * b };
        const ground = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
            if (c !== 'rgba(0, 0, 0, 0)') return c } return 'rgb(255, 255, 255)' };
        const parts = document.querySelectorAll('.verdict, p, .soft, .tag, a, button, label, th, dd, dt, figcaption');
        return [...parts].map(e => { const a = light(getComputedStyle(e).color), b = light(ground(e));
            return [(Math.max(a, b) + .05) / (Math.min(a, b) + .05), e.outerHTML.slice(0, 99)] })
            .sort((a, b) => a[0] - b[0])[0] })()"""
    )
    assert weakest[0] >= 4.5, weakest
    nameless = """[...document.querySelectorAll('a, button, input, select')].filter(e =>
        !(e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.length)).length"""
    assert browser.evaluate(nameless) == 0
    assert browser.evaluate("[...document.querySelectorAll('svg[role=img]')].every(e => e.querySelector('title'))")
