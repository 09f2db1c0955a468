"""index.html: everything is on it, nothing on it comes alive, nothing is fetched."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.report import factory
from tests.report.factory import HOSTILE, INFO, PAPERS_OWN, Json, null, plain, told
from tests.report.parsed_page import Page
from vsa_checks.report import quantities, read, render, validate, write
from vsa_checks.report.claim_view import claim_views, section_views
from vsa_checks.report.details import NAMES
from vsa_checks.report.document import schema

SVG_TAGS = {"svg", "title", "desc", "defs", "pattern", "path", "rect", "circle", "text", "g", "use"}
SVG_TAGS |= {"clippath", "image"}
HTML_TAGS = set(
    re.findall(
        r"\w+",
        "html head meta link title style body a header h1 h2 h3 h4 span p cite strong em nav ul li main section div"
        " table thead tbody tr th td caption dl dt dd article details summary figure figcaption code br bdi"
        " form label input select option button script ol b i small",
    )
)


@pytest.fixture(scope="module")
def large_page(large_text: str) -> Page:
    return Page(large_text)


@pytest.fixture(scope="module")
def large_sections(large_document: Json) -> list[Json]:
    return section_views(large_document)


@pytest.fixture(scope="module")
def large_claims(large_sections: list[Json]) -> dict[str, Json]:
    return {claim["id"]: claim for section in large_sections for claim in section["claims"]}


def test_the_first_line_says_which_model_and_whether_it_is_the_papers() -> None:
    heading = re.search(r"<h1>(.*?)</h1>", render(factory.everything()), re.DOTALL)
    assert heading
    words = " ".join(Page(heading[1]).text.split())
    assert words == "Model checked: smollm2-135m. The paper's own model (GPT-2 small) was NOT checked."
    page = Page(render(factory.document(model=PAPERS_OWN)))
    assert "This is the paper's own model (GPT-2 small)." in page.text
    assert "NOT checked" not in page.text


def test_what_a_report_may_leave_out_of_a_model_is_left_out() -> None:
    document = factory.document()
    parts = schema()["$defs"]["model"]
    left_out = set(parts["properties"]) - set(parts["required"])
    document["model"] = {name: part for name, part in document["model"].items() if name not in left_out}
    validate(document)
    page = Page(render(document))
    assert "smollm2-135m" in page.text and "None" not in page.text and "Licence" not in page.text


def test_every_claim_and_every_result_is_on_the_page(large_document: Json, large_page: Page) -> None:
    ids = set(large_page.attributes("id"))
    for claim in large_document["summary"]["by_claim"]:
        assert f"claim-{claim}" in ids
        assert f"#claim-{claim}" in large_page.attributes("href")
    for result in large_document["results"]:
        assert "s-" + result["id"].replace("/", ".") in ids
        assert result["id"] in large_page.text


def test_what_was_measured_is_on_the_page() -> None:
    page = Page(render(factory.everything()))
    for words in (
        "random directions",  # a null
        "Gaussian",  # a reference
        "7 left out",
        "differs; was holds",
        "Was better once.",
        "Note: Measured twice.",
        "neurons per token",
        "By head",
        "anything: ",
        "q ",
        "95% over neurons",
        "Q4_1 matrices, Q8_0 embeddings",
        "llama, 30 layers of width 576, vocabulary 49,152; quantized (Q4_1 matrices, Q8_0 embeddings); weights in the"
        " processed and the raw basis; seed 0.",
        "torch 2.13.0",
        str(INFO.sha256),
        "This model has no such matrix.",
        "Not run: claim-never-run",
        "center_unembed",
    ):
        assert words in page.text
    assert "all" in page.text.split("same for random directions, ≥ .5")[1].split("In detail")[0]


def test_ids_are_unique_and_every_anchor_leads_somewhere(large_page: Page) -> None:
    ids = large_page.attributes("id")
    assert len(ids) == len(set(ids))
    inner = [href[1:] for href in large_page.attributes("href") if href.startswith("#")]
    assert len(inner) > 100
    assert set(inner) <= set(ids)


def test_claims_stand_worst_first(large_sections: list[Json], large_text: str) -> None:
    for section in large_sections:
        verdicts = [claim["verdict"] for claim in section["claims"]]
        assert verdicts == sorted(verdicts, key=["refuted", "chance", "holds", "not-checked"].index)
    places = [large_text.index(f'id="claim-{c["id"]}"') for s in large_sections for c in s["claims"]]
    assert places == sorted(places)
    assert [section["name"] for section in large_sections] == [
        "2", "2.1", "2.2", "2.4", "3.1", "3.2", "3.3",
    ]  # fmt: skip


def test_subjects_stand_in_the_order_of_layers(large_text: str) -> None:
    places = [large_text.index(f'id="s-mlp-out-near-orthogonal.processed.L{layer}"') for layer in range(30)]
    assert places == sorted(places)


def test_the_overview_sets_value_threshold_and_chance_side_by_side(large_claims: dict[str, Json]) -> None:
    claim = large_claims["neurons-cos50"]
    assert claim["verdict"] == "chance"
    assert [(lane.name, lane.number) for lane in claim["lanes"]] == [
        ("this model", "99.8%"),
        ("threshold, the paper's", "≥ 80%"),
        ("chance: covariance-matched neurons", "99.9%"),
        ("chance: random directions", "99.9%"),
        ("untrained twin", quantities.percent(claim["worst"]["twin"]["value"])),
    ]


def test_the_overview_tells_the_outer_layers_from_the_middle_ones(large_claims: dict[str, Json]) -> None:
    claim = large_claims["neurons-beyond-chance"]
    assert [(name, where) for name, _, where in claim["strips"]] == [
        ("W_gate", "holds at layers 0, 29; refuted at the other 28"),
        ("W_in", "holds at layers 0, 29; refuted at the other 28"),
    ]


def test_nothing_is_loaded_and_nothing_runs(large_page: Page) -> None:
    for tag, attributes in large_page.tags:
        assert tag in HTML_TAGS | SVG_TAGS
        assert not [name for name in attributes if name.startswith("on")]
        assert "src" not in attributes
        for name in ("href", "xlink:href"):
            address = attributes.get(name) or "#"
            local = address.startswith("#") or (tag, address) == ("link", "data:,")
            local |= tag == "image" and address.startswith("data:image/png;base64,")
            local |= tag == "a" and "download" in attributes and address.startswith("data:image/svg+xml,")
            assert local or (tag == "a" and address.startswith("https://arxiv.org/"))
    styles = re.findall(r"url\(([^)]*)\)", render(factory.everything()))
    assert styles
    assert all(address.startswith("#") for address in styles)


def test_hostile_text_stays_text() -> None:
    document = factory.hostile()
    validate(document)
    text = render(document)
    page = Page(text)
    assert {tag for tag, _ in page.tags} <= HTML_TAGS | SVG_TAGS
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "src"]
    assert page.text.count(HOSTILE) > 30
    assert text.count("<script") == 1
    assert "<img" not in text
    assert text.count("</style>") == 1


def test_hostile_ids_stay_text_even_unvalidated() -> None:
    """The schema refuses such ids; the page would stay whole all the same."""
    claim = told(HOSTILE)
    page = Page(render(factory.document([factory.result(claim, layer=1, matrix=HOSTILE)], [claim])))
    assert {tag for tag, _ in page.tags} <= HTML_TAGS | SVG_TAGS
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]


def test_characters_that_steer_the_display_are_written_out() -> None:
    page = Page(render(factory.document(model=replace(INFO, name="gpt\u202e2\x1b[31m\ud800"))))
    assert "gpt\\u202e2\\x1b[31m\\ud800" in page.text


FORMS: list[Json] = [
    {"by_head": []}, {"by_head": {"0": 1.0}}, {"sweep": [1, 2]}, {"sweep": [{}]}, {"curve": "none"},
    {"curve": {"x": [1, 2], "series": [{"name": "a", "y": [1]}]}}, {"curve": {"x": [], "series": []}},
    {"histogram": {"edges": [0, 1], "counts": [1, 2]}}, {"histogram": {"edges": [1, 0, 2], "counts": [1, 2]}},
    {"histogram": {"edges": [0, 1, 2], "counts": [0, 0]}}, {"notes": {"a": 1}}, {"long": "x" * 5000},
    {"q_value": 0.5, "worst_head": 0, "deep": {"a": {"b": [None, True]}}},
]  # fmt: skip


@pytest.mark.parametrize("details", FORMS)
def test_details_of_any_form_are_shown(details: Json) -> None:
    page = Page(render(factory.document([factory.result(told(), 0.9, details=details)], [told()])))
    for name in details.keys() - {"q_value"}:
        shown = NAMES.get(name, name.replace("_", " "))
        assert "counts" in page.attributes("class") or f"{shown}: " in page.text
    assert len(page.text) < 22_000


@pytest.mark.parametrize("value", [0.0, -3.5, 1e-12, 1e9, 0.1, 1.0])
@pytest.mark.parametrize("direction", ["<=", ">="])
def test_any_number_can_be_drawn(value: float, direction: str) -> None:
    claim = told(direction=direction, threshold=value)
    results = [factory.result(claim, value, layer=layer, nulls=[null(value=value)]) for layer in range(2)]
    results[0]["nulls"][0]["spread"] = None
    page = Page(render(factory.document([*results, factory.result(claim, None, layer=2)], [claim])))
    assert not [path for path in page.attributes("d") if "nan" in path or "inf" in path]


def test_thresholds_of_what_was_not_checked_are_not_shown() -> None:
    """They were never applied: where the unit is another, the number would mislead."""
    claim = plain(threshold=2.0, threshold_unit="1/sqrt(d_model)", direction="<=", metric="rms cosine")
    results = [factory.result(claim, None, layer=0), factory.result(claim, 0.05, layer=1)]
    text = Page(render(factory.document(results, [claim]))).text
    assert "≤ 2" not in text and "≤ 0.08333" in text
    assert "at most 2 × 1/sqrt(d_model), which is 0.08333 here" in text


def test_a_value_just_off_the_threshold_is_not_rounded_onto_it() -> None:
    claim = plain(threshold=0.8)
    assert "79.9998%" in Page(render(factory.document([factory.result(claim, 0.799998)], [claim]))).text


def test_the_page_is_the_same_for_the_document_read_back(tmp_path: Path) -> None:
    document = factory.everything()
    assert render(read(write(document, tmp_path))) == render(document)


@pytest.mark.thorough
@pytest.mark.slow
def test_the_page_of_48_layers_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """In both bases. Bytes are what loads, elements what a browser lays out."""
    monkeypatch.setattr(factory, "INFO", replace(INFO, n_layers=48))
    document = factory.large(("processed", "raw"))
    page = render(document)
    assert len(page.encode()) < 4_100_000
    assert page.count('<tbody id="s-') == len(document["results"]) > 3_000
    assert len(re.findall("<[a-z]", page)) < 111_000
    views = {claim["id"]: claim for claim in claim_views(document)}
    rows = {row["result"]["id"]: row for claim in views.values() for _, rows, *_ in claim["tables"] for row in rows}
    left_out = {name for name, row in rows.items() if row["left_out"]}
    assert page.count("In detail: see results.json.") == len(left_out) > 1_000
    assert not left_out & {claim["worst"]["id"] for claim in views.values()}
    assert not left_out & {f"mlp-out-artifacts/{basis}/L{layer}" for basis in ("processed", "raw") for layer in (0, 47)}


def test_bases_are_told_apart() -> None:
    claim = plain()
    spots: list[Json] = [{"basis": b, "layer": n, "matrix": "W_Q"} for b in ("processed", "raw") for n in (0, 1)]
    text = Page(render(factory.document([factory.result(claim, 0.7, **spot) for spot in spots], [claim]))).text
    for words in ("W_Q (raw)", "Basis: raw", "Basis: processed", "layer 1, W_Q, raw", "--basis both"):
        assert words in text


TOKENS = [HOSTILE, " the", "\u202eabc", "\n", "'\"", "$(x)"]


def test_tokens_of_bundles_are_shown_whole_and_none_comes_alive() -> None:
    bundles = [{"neuron": 3, "tokens": TOKENS}, {"neuron": 4, "tokens": ["x" * 300]}]
    page = Page(render(factory.document([factory.result(told(), 0.9, details={"bundles": bundles})], [told()])))
    assert {tag for tag, _ in page.tags} <= HTML_TAGS | SVG_TAGS
    shown = [attributes for tag, attributes in page.tags if tag == "bdi"]
    assert len(shown) == len(TOKENS) + 1
    assert shown[0]["title"] == HOSTILE and shown[-1]["title"] == "x" * 300
    for words in ("␣the", "\\u202eabc", "\\n", "'\"", "$(x)"):
        assert words in page.text


def test_an_empty_run_gives_a_page_that_says_so() -> None:
    page = Page(render(factory.document([], [told()])))
    assert "No claim has primary subjects in this run." in page.text
    assert "Not run: claim-a" in page.text


def test_tests_that_crashed_are_named_at_the_top() -> None:
    message = "ZeroDivisionError: <b>division</b> by zero"
    crashed = [{"test": "claims/test_x.py::test_mlp[mlp.raw.L0]", "message": message}]
    page = Page(render(factory.document(crashed=crashed)))
    assert "1 test failed without a verdict" in page.text
    assert message in page.text
    assert "failed without a verdict" not in Page(render(factory.document())).text
