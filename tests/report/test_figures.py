"""Pictures: what they say in words is what the data hold, and nothing in a vocabulary comes alive in them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.patches import StepPatch

from tests.report import factory
from tests.report import figures_made as made
from tests.report.browser import Browser
from tests.report.parsed_page import Page
from vsa_checks import theory
from vsa_checks.cli.main import main
from vsa_checks.cli.plot import read_report
from vsa_checks.figures import (
    circuit_picture,
    gram_picture,
    head_picture,
    histogram_picture,
    kept,
    neuron_pictures,
    store,
)
from vsa_checks.figures.every import EVERY, OPTIONS
from vsa_checks.figures.gram_picture import ABOVE, BELOW, colours
from vsa_checks.figures.grams import block
from vsa_checks.figures.histogram_picture import beta_shares
from vsa_checks.figures.kept_shapes import groups
from vsa_checks.figures.markup import as_markup, standalone
from vsa_checks.figures.picture import Choice, NothingToDraw, Picture, Report, percent
from vsa_checks.figures.style import as_file
from vsa_checks.report import figures_view, read, render, write, write_page
from vsa_checks.report.document import content_there, text_of


@pytest.fixture(scope="module")
def report() -> Report:
    return Report(made.document(), made.report_arrays())


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    return render(report.document, report.kept)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A report on disk, arrays and all."""
    document = made.document()
    write(document, tmp_path)
    content = store.file_of([store.as_text(made.arrays())], text_of(document))
    (tmp_path / store.FILE_NAME).write_bytes(content)
    return tmp_path


def test_the_beta_law() -> None:
    edges = np.linspace(-1, 1, 401)
    assert beta_shares(edges, 3) == pytest.approx(1 / 400)  # in three dimensions cosines are uniform
    shares = beta_shares(edges, 576)
    assert shares.sum() == pytest.approx(1.0)
    assert shares[edges[:-1] >= 0.25 - 1e-9].sum() == pytest.approx(theory.cosine_tail(576, 0.25) / 2, rel=1e-6)
    assert np.sqrt((shares * ((edges[1:] + edges[:-1]) / 2) ** 2).sum()) == pytest.approx(576**-0.5, rel=0.01)


def test_only_what_chance_does_not_give_has_a_colour() -> None:
    found = colours(np.array([0.0, 0.24, -0.24, 0.26, -0.26, 1.0]), 0.25)
    assert [tuple(one) == ABOVE for one in found[:, :3]] == [False] * 3 + [True, False, True]
    assert [tuple(one) == BELOW for one in found[:, :3]] == [False] * 4 + [True, False]
    assert found[0, 3] == 0 and found[1, 3] == found[2, 3] < 0.5 < found[3, 3] < found[5, 3] == 1


def test_words_have_the_numbers_of_the_data(report: Report) -> None:
    said = {name: make(report, Choice()).message for name, make in EVERY.items()}
    assert "0.621% of 40,250" in said["histogram"]
    assert "from 2% to 40% (layer 2), above the band of every null at layers 0, 2." in said["beyond-chance"]
    assert "layer 0, W_in, 5 tokens: median 0.375 against 0.275 to 0.275 by chance" in said["bundle-size"]
    assert "neuron 7 is explained best" in said["best-neurons"] and "cosine of 0.612" in said["best-neurons"]
    assert "strongest 37.5% from layer 0 to 1" in said["circuits"] and "cosine −0.75" in said["circuits"]
    assert "17 of layer 0 writes what 4 of layer 1 reads" in said["circuits"]
    assert "strongest 10% from layer 2 to 0" in said["circuits"] and "orange dashes negative" in said["circuits"]
    assert "highest 0.7 in layer 2 head 1" in said["heads"]
    cosines = block(groups(report.kept.arrays, kept.GRAM)["processed/L0/W_in"])[0]
    off = cosines[np.triu_indices(64, 1)]
    assert f"W_in, sample of 64: 0% of 2,016 pairs, rms {np.sqrt(np.mean(off**2)):.3f}" in said["gram"]


@pytest.mark.parametrize("d", [32, 48, 131, 144, 160, 200])
def test_copies_of_a_vector_are_drawn_in_the_last_bin(d: int) -> None:
    counts = np.zeros(400, np.int64)
    counts[-1] = 70
    document = made.document()
    document["model"]["d_model"] = d
    report = Report(document, store.Kept({"histogram/processed/L0/W_Q/counts": counts}))
    drawing = histogram_picture.picture(report, Choice())
    steps = drawing.draw().axes[0].patches[-1]
    assert isinstance(steps, StepPatch)
    values, edges, _ = steps.get_data()
    assert edges[-1] == 1.0 and np.nansum(values * np.round(np.diff(edges) / 0.005)) == pytest.approx(1.0)
    assert d < 36 or "100% of 70 pairs" in drawing.message


def test_a_share_near_one_is_not_rounded_to_it() -> None:
    assert [percent(one) for one in (0.91, 0.9986, 0.99999, 1.0)] == ["91%", "99.9%", "99.999%", "100%"]


def test_words_where_nothing_runs_forward_and_in_few_dimensions() -> None:
    arrays = made.arrays()
    arrays["links/processed/W_in/shares"][0] = 0
    arrays["links/processed/W_in/shares"][0, 2, 0] = 0.25
    document = made.document()
    document["model"]["d_model"] = 32
    few = Report(document, store.Kept(arrays))
    said = circuit_picture.picture(few, Choice()).message
    assert "no pair beyond them; arcs below" in said and "strongest 25% from layer 2 to 0" in said
    said = gram_picture.picture(few, Choice()).message
    assert "no single cosine differs from chance" in said and "Grey is within" not in said


def test_a_mixture_says_which_expert_is_drawn() -> None:
    arrays = {
        name.replace("/L0/", f"/L0.E{expert}/"): one
        for name, one in made.arrays().items()
        for expert in (2, 5, 6)
        if "/L0/W_in" in name
    }
    mixture = Report(made.document(), store.Kept(arrays))
    gram = gram_picture.picture(mixture, Choice()).message
    assert "W_in of expert 2, sample of 64" in gram
    assert all(
        "Only expert 2 is drawn; the other 2 are not." in said
        for said in (gram, neuron_pictures.by_bundle_size(mixture, Choice()).message)
    )


def test_heads_of_a_model_that_claims_a_billion_layers() -> None:
    document = made.document()
    document["model"]["n_layers"] = 10**9
    results = [one for one in document["results"] if one["claim"] == head_picture.CLAIM]
    results[2]["subject"]["layer"] = 10**9 - 1
    results[0]["details"]["by_head"][0]["value"] = 1.7e308
    results[0]["details"]["by_head"][1]["value"] = -1.7e308
    layers, tables = head_picture.head_tables(Report(document, store.NO_ARRAYS), Choice())
    assert layers == [0, 1, 10**9 - 1]
    expected = np.array([[np.nan, np.nan], *made.COPIES[1:]])
    assert np.array_equal(tables["value"], expected, equal_nan=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_drawings_are_sound_and_quote_tokens_as_they_are(name: str, report: Report) -> None:
    choice = Choice(matrix="embeddings") if name == "gram" else Choice()
    picture = EVERY[name](report, choice)
    markup = as_markup(picture.draw(), f"fig-{name}", picture.title, picture.message)
    tree = ElementTree.fromstring(markup)
    assert not [one for one in tree.iter() if one.tag.rsplit("}")[-1] in ("script", "foreignObject", "style")]
    assert not [key for one in tree.iter() for key in one.attrib if key.startswith("on")]
    texts = ["".join(one.itertext()) for one in tree.iter() if one.tag.endswith("text")]
    if name in ("gram", "best-neurons"):
        assert {"$#1b1f24$", r"\u202egnp", '␣onload="x"'} <= set(texts)
        assert name == "gram" or any(text.startswith("</text") for text in texts)
    ids = [one.attrib["id"] for one in tree.iter() if "id" in one.attrib]
    assert len(ids) == len(set(ids)) and all(one.startswith(f"fig-{name}-") for one in ids)
    assert "#1b1f24" not in re.sub(r">[^<]*<", "><", markup) and "var(--ink)" in markup
    assert "var(" not in standalone(markup) and len(markup) < 300_000
    assert len(as_file(EVERY[name](report, choice).draw(), "pdf")) > 5_000


@pytest.mark.slow
def test_the_page_shows_all_and_says_what_it_lacks(page: str) -> None:
    assert all(f'id="figure-{name}"' in page for name in EVERY) and "Figures that this report does not hold" not in page
    assert "<script>alert" not in page and "\u202e" not in page and "\x1b" not in page
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    without = render(made.document())
    assert "There is no figures.npz next to the results." in without
    assert (
        'id="figure-beyond-chance"' in without and 'id="figure-heads"' in without and 'id="figure-gram"' not in without
    )
    saves = re.findall(r'href="data:image/svg\+xml,([^"]*)"', page)
    assert len(saves) >= 8
    for one in saves:
        ElementTree.fromstring(unquote(one))


def test_a_page_of_48_layers_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """All lists of neurons, with tokens longer than any reader wants; no other figure grows with the layers."""
    monkeypatch.setattr(figures_view, "EVERY", {"best-neurons": EVERY["best-neurons"]})
    arrays = made.arrays(["<&>" * 100] * 6)
    best = {name: one for name, one in arrays.items() if name.startswith("best/processed/L0")}
    for layer in range(48):
        for matrix in ("W_in", "W_gate"):
            for name, one in best.items():
                arrays[name.replace("L0/W_in", f"L{layer}/{matrix}")] = one
    document = made.document()
    document["model"]["n_layers"] = 48
    assert len(render(document, store.Kept(arrays))) - len(render(document)) < 1_500_000


@pytest.mark.slow
def test_plot_writes_a_file_of_each_kind(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    starts = {"pdf": b"%PDF-", "svg": b"<?xml", "png": b"\x89PNG"}
    for form, start in starts.items():
        place = folder / f"a.{form}"
        assert main(["plot", str(folder), "gram", "--layer", "1", "--head", "1", "-o", str(place)]) == 0
        assert place.read_bytes().startswith(start) and "layer 1, head 1" in capsys.readouterr().out
    first = (folder / "a.svg").read_bytes()
    assert main(["plot", str(folder), "gram", "--layer", "1", "--head", "1", "-o", str(folder / "b.svg")]) == 0
    assert (folder / "b.svg").read_bytes() == first
    assert main(["plot", str(folder), "--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines() if line[:1].isalpha()][-7:] == list(EVERY)


WRONG = {
    "no such figure": ("plots", "-o", "a.pdf"),
    "sets the format": ("gram",),
    "does not say which format to write": ("gram", "-o", "a.doc"),
    "has no block for head 9": ("gram", "--head", "9", "-o", "a.pdf"),
    "of layers 0–2": ("gram", "--layer", "7", "-o", "a.pdf"),
    "W_Q": ("histogram", "--matrix", "W_out", "-o", "a.pdf"),
    "takes no --head: its options are --layer, --basis": ("heads", "--head", "1", "-o", "a.pdf"),
    "circuits takes no --layer and no --head": ("circuits", "--head", "1", "--layer", "0", "-o", "a.pdf"),
    "belong to no layer": ("gram", "--matrix", "embeddings", "--layer", "1", "-o", "a.pdf"),
    "Leave out either --list or --layer": ("--list", "--layer", "1"),
    "cannot be written": ("heads", "-o", "results.json/a.pdf"),
}


NOWHERE = {"layer": 7, "head": 9, "matrix": "W_nowhere", "basis": "raw"}


@pytest.mark.parametrize("name", EVERY)
def test_a_figure_heeds_the_options_that_it_is_said_to_take_and_no_other(name: str, report: Report) -> None:
    def heeded(option: str) -> bool:
        try:
            EVERY[name](report, replace(Choice(), **{option: NOWHERE[option]}))  # type: ignore[arg-type]
        except NothingToDraw:
            return True
        return False

    assert {option for option in NOWHERE if heeded(option)} == set(OPTIONS[name])


@pytest.mark.parametrize(("words", "arguments"), WRONG.items(), ids=[words.replace(" ", "-") for words in WRONG])
def test_what_cannot_be_drawn_is_one_paragraph(
    words: str,
    arguments: tuple[str, ...],
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    assert main(["plot", ".", *arguments]) == 2
    said = capsys.readouterr().err
    assert words in said.replace("no figure 'plots'", "no such figure") and said.count("\n") == 1


def test_a_figure_takes_no_reports_place(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.png").symlink_to(folder / "results.json")
    assert main(["plot", str(folder), "heads", "-o", str(folder / "a.png")]) == 2
    assert "is part of a report" in capsys.readouterr().err


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_browser_draws_them_without_complaint(dark: bool, page: str, tmp_path: Path, browser: Browser) -> None:
    path = tmp_path / "index.html"
    path.write_text(page, encoding="utf-8")
    for width in (400, 1400):
        browser.open(path, width, dark=dark)
        assert browser.complaints() == [] and all(one.startswith(("file:", "data:")) for one in browser.requests())
        browser.evaluate(
            "document.querySelectorAll('details').forEach(one => { one.removeAttribute('name'); one.open = true })"
        )
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        lines = "getComputedStyle(document.querySelector('svg.figure text')).fill"
        assert browser.evaluate(lines) == ("rgb(231, 233, 236)" if dark else "rgb(27, 31, 36)")
        assert browser.evaluate("document.querySelectorAll('.one-figure').length") == len(EVERY)


def test_arrays_belong_to_the_bytes_of_the_results_whatever_version_they_are_of(folder: Path) -> None:
    """Results in the form of version 1, which differ from what they are once they are read."""
    old = made.document()
    old["schema_version"] = 1
    for part in (old["summary"], *old["summary"]["by_claim"].values()):
        for counts in (part["primary"], part["exploratory"]):
            del counts["unsettled"], counts["given_by_shape"]
    for one in (*old["results"], *(entry["worst"] for entry in old["summary"]["by_claim"].values())):
        del one["unsettled"], one["twin"]
    content = json.dumps(old)
    (folder / "results.json").write_text(content)
    assert "belongs to a different run" in read_report(folder).kept.why_none
    (folder / store.FILE_NAME).write_bytes(store.file_of([store.as_text(made.arrays())], content))
    assert set(read_report(folder).kept.arrays) == set(made.arrays())
    assert content_there(read(folder), folder) == content.encode(), "what a page is made anew from"
    assert content_there(made.document() | {"paper": "another"}, folder) != content.encode()


def test_old_results_still_make_a_page() -> None:
    assert "There is no figures.npz" in render(factory.everything())


def test_a_drawing_that_fails_loses_nothing_else(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(report: Report, choice: Choice) -> Picture:
        raise IndexError("index 7 is out of bounds")

    monkeypatch.setitem(EVERY, "histogram", broken)
    monkeypatch.setattr(figures_view, "EVERY", {name: EVERY[name] for name in ("histogram", "circuits")})
    text = Page(write_page(made.document(), folder).read_text(encoding="utf-8")).text
    assert "histogram: It could not be drawn (IndexError: index 7 is out of bounds)." in text
    assert "Which layers write what later layers read" in text
    assert main(["plot", str(folder), "histogram", "-o", str(tmp_path / "a.svg")]) == 2
    assert "cannot be drawn (IndexError: index 7 is out of bounds)" in capsys.readouterr().err


@pytest.mark.slow
def test_commands_draw_what_stands_beside_them(page: str) -> None:
    text = Page(page).text
    assert "vsa-checks plot results.json gram --matrix embeddings -o gram.pdf" in text
    assert "vsa-checks plot results.json gram --layer 0 -o gram.pdf" in text


def test_commands_name_a_model_by_its_path(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures_view, "EVERY", {"best-neurons": EVERY["best-neurons"]})
    document = made.document()
    document["model"] |= {"source": "path", "location": "/data/my models/o'brien", "name": "o'brien"}
    document["environment"]["seed"] = 4
    explain = "vsa-checks explain '/data/my models/o'\"'\"'brien' 0 7 --matrix W_in --basis processed --seed 4"
    assert explain in Page(render(document, report.kept)).text
