"""--text: which text the claims about activations read, what cannot be read, and what the report says of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.plugin.runs import Run, Server
from tests.plugin.test_plugin_bad_input import assert_refused
from vsa_checks.models.texts import shipped_text

pytestmark = pytest.mark.slow

CHOSEN = ("-k", "residual-keeps or neuron-or", "--no-recorded", "--no-twin")


@pytest.fixture(scope="module")
def own_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "mine <b>.txt"
    path.write_text("The quick brown fox jumps over the lazy dog, and 3 cats look on. " * 40, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(own_text: Path, plain: Path, warm: Server, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return warm.claims(plain, tmp_path_factory.mktemp("report"), *CHOSEN, "--text", str(own_text))


def test_the_text_stands_in_the_results(run: Run, own_text: Path) -> None:
    text = run.document["environment"]["text"]
    assert text["name"] == "mine <b>.txt"
    assert text["sha256"] == hashlib.sha256(own_text.read_bytes()).hexdigest()
    kept = [result for result in run.results.values() if result["claim"] == "residual-keeps-token"]
    assert kept and text["tokens"] > 500
    assert {result["n_examined"] + result["n_excluded"] for result in kept} == {text["tokens"]}


def test_the_page_names_the_text_escaped(run: Run) -> None:
    page = (run.report_dir / "index.html").read_text(encoding="utf-8")
    assert "mine &lt;b&gt;.txt" in page and "mine <b>" not in page
    assert run.document["environment"]["text"]["sha256"] in page


def test_another_process_reads_the_same_text(
    run: Run, own_text: Path, plain: Path, warm: Server, tmp_path: Path
) -> None:
    other = warm.claims(plain, tmp_path, *CHOSEN, "--text", str(own_text), "-n", "1")
    assert other.document["environment"]["text"] == run.document["environment"]["text"]
    assert other.results.keys() == run.results.keys()
    for name, result in run.results.items():
        assert (other.results[name]["value"], other.results[name]["verdict"]) == (result["value"], result["verdict"])


def test_without_the_option_what_ships_is_read(whole: Run) -> None:
    found = whole.document["environment"]["text"]
    assert (found["name"], found["sha256"]) == (shipped_text().name, shipped_text().sha256)


def test_where_nothing_was_read_no_text_is_named(plain: Path, warm: Server, tmp_path: Path) -> None:
    done = warm.claims(plain, tmp_path, "-k", "embedding-mean", "--no-recorded")
    assert "text" not in done.document["environment"]


def test_a_text_that_cannot_be_read_is_one_message(plain: Path, light: Server, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(b"\xff\xfe" * 4_000)
    run = light.claims(plain, tmp_path / "report", "--text", str(path))
    assert_refused(run, str(path), "is not in UTF-8", "--text")
    assert not (tmp_path / "report").exists()


def test_verdicts_on_another_text_are_not_recorded_as_the_models(own_text: Path, light: Server, tmp_path: Path) -> None:
    found = light.claims("smollm2-135m", tmp_path / "report", "--record", "--text", str(own_text))
    assert_refused(found, "--record", "--text names another", "--recorded FILE")
