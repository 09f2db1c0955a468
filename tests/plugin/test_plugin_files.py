"""Files that a run reads and writes beside the model: what is wrong with them is one paragraph, before measuring."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from tests.plugin.runs import Server, arguments
from tests.plugin.test_plugin_bad_input import assert_refused
from tests.plugin.test_plugin_faults import plugin
from vsa_checks.paths import CLAIMS_FILE, PUBLISHED_FILE

pytestmark = pytest.mark.slow

ONLY = ("--basis", "raw", "--no-twin", "--claims", "embedding-mean-zero")
OTHER_FILES = """
import os
from pathlib import Path

from vsa_checks import paths

setattr(paths, os.environ["OTHER"], Path(os.environ["OTHER_FILE"]))
"""
CLAIMS, PUBLISHED = CLAIMS_FILE.read_text(encoding="utf-8"), PUBLISHED_FILE.read_text(encoding="utf-8")
WRONG = {
    "no claims": ("CLAIMS_FILE", "", "lacks claim"),
    "a threshold that is no number": ("CLAIMS_FILE", CLAIMS.replace("threshold = ", "threshold = nan #", 1), "(line "),
    "subjects that are none": ("CLAIMS_FILE", CLAIMS.replace('subjects = "', 'subjects = "x', 1), "(line "),
    "a claim that a test checks and the file lacks": (
        "CLAIMS_FILE",
        CLAIMS.replace('id = "bundle-recall"', 'id = "bundle-recalls"'),
        "checks the claim 'bundle-recall', which",
    ),
    "a cosine of two": ("PUBLISHED_FILE", PUBLISHED.replace("cosine = 0.61", "cosine = 2.0"), "(line 8) gives 2.0"),
    "a link to nothing": ("PUBLISHED_FILE", PUBLISHED.replace("target = [7, 1321]\n", "", 1), "a target or a token"),
    "no figures": ("PUBLISHED_FILE", "", "lacks neuron"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_the_specification_is_one_paragraph(
    case: str, plain: Path, light: Server, tmp_path: Path
) -> None:
    name, content, words = WRONG[case]
    file = tmp_path / "other.toml"
    file.write_text(content, encoding="utf-8")
    env = plugin(tmp_path, "other_files", OTHER_FILES) | {"OTHER": name, "OTHER_FILE": str(file)}
    only = ("-p", "other_files", "--basis", "raw", "-k", "bundle-recall", "-W", "ignore")
    run = light.claims(plain, tmp_path / "report", *only, env=env)
    assert_refused(run, words, str(file))
    assert "During handling" not in run.output and len(run.output) < 2000
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize("option", ["--text", "--report-dir", "--recorded"])
def test_an_empty_path_is_not_the_default(option: str, plain: Path, light: Server, tmp_path: Path) -> None:
    run = light.claims(plain, tmp_path / "report", *ONLY, option, "")
    assert_refused(run, f"{option} was given an empty path")


@pytest.mark.parametrize("name", ["results.json", "figures.npz", "index.html", "pytest.html"])
@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_a_place_that_cannot_be_written_is_refused_before_measuring(
    kind: str, name: str, plain: Path, light: Server, tmp_path: Path
) -> None:
    place = tmp_path / name
    place.mkdir() if kind == "folder" else os.mkfifo(place)
    assert_refused(light.claims(plain, tmp_path, *ONLY), name, "--report-dir", f"{kind} is in its place")
    assert list(tmp_path.iterdir()) == [place]


def test_so_is_a_place_where_no_verdicts_can_be_recorded(plain: Path, light: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for file in (tmp_path / "file" / "f.toml", Path("/proc/nowhere/f.toml"), tmp_path / ("x" * 300)):
        run = light.claims(plain, tmp_path / "report", "--basis", "raw", "--record", "--recorded", str(file))
        assert_refused(run, str(file), "cannot be recorded", "--recorded FILE")


def test_names_of_thousands_of_characters_are_one_paragraph(plain: Path, light: Server, tmp_path: Path) -> None:
    for option in ("--text", "--recorded", "--report-dir", "--claims"):
        run = light.claims(plain, tmp_path / "report", *ONLY, option, "x" * 5000)
        assert_refused(run, "x" * 1000)
        assert len(run.output) < 5000


def test_recorded_reasons_cannot_act_on_the_terminal(plain: Path, warm: Server, tmp_path: Path) -> None:
    sha256 = hashlib.sha256((plain / "model.safetensors").read_bytes()).hexdigest()
    file = tmp_path / "f.toml"
    file.write_text(
        f'sha256 = "{sha256}"\n[verdicts]\n"embedding-mean-zero/raw" = {{ verdict = "refuted", '
        f'reason = "a\\u001b[2J\\u202e\\u0007b" }}\n'
    )
    run = warm.claims(plain, tmp_path / "report", *ONLY, "-rA", "-vv", "--recorded", str(file))
    assert run.code == 1 and r"a\x1b[2J\u202e\x07b" in run.output
    assert not set(run.output) & set("\x1b\u202e\x07")


BROKEN_MODEL = """
from vsa_checks import models


def load(*_, **__):
    raise RuntimeError("header too large")


models.load = load
"""


def test_a_model_that_cannot_be_loaded_leaves_nothing_behind(plain: Path, warm: Server, tmp_path: Path) -> None:
    env = plugin(tmp_path, "broken_model", BROKEN_MODEL)
    run = warm.claims(plain, tmp_path / "report", *ONLY, "-p", "broken_model", env=env)
    assert_refused(run, "header too large")
    assert not (tmp_path / "report").exists() and "never reported" not in run.output
    assert "Generated html report" not in run.output


def test_the_report_is_written_where_stdout_is_full(plain: Path, warm: Server, tmp_path: Path) -> None:
    run = warm.pytest(arguments((*ONLY, "--no-recorded"), plain, tmp_path), stdout="/dev/full")
    assert run.code == 1 and "Traceback" not in run.output
    assert (
        "Part of the output could not be printed (No space left on device)" in run.output
        and str(tmp_path) in run.output
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "figures.npz",
        "index.html",
        "pytest.html",
        "results.json",
    ]


NO_ROOM = """
import errno

from vsa_checks import writing
from vsa_checks.plugin import finish


def write_together(contents, **_):
    raise OSError(errno.ENOSPC, "No space left on device")


finish.write_together = write_together
"""


def test_a_disk_that_is_full_at_the_end_leaves_the_old_report_and_says_so(
    plain: Path, warm: Server, tmp_path: Path
) -> None:
    warm.claims(plain, tmp_path / "report", *ONLY, "--no-recorded")
    before = {path.name: path.read_bytes() for path in (tmp_path / "report").iterdir()}
    run = warm.claims(
        plain, tmp_path / "report", *ONLY, "--no-recorded", "-p", "no_room", env=plugin(tmp_path, "no_room", NO_ROOM)
    )
    assert run.code == 1 and "INTERNALERROR" not in run.output
    assert "The report could not be written" in run.output and "No space left on device" in run.output
    after = {path.name: path.read_bytes() for path in (tmp_path / "report").iterdir()}
    kept = ("results.json", "figures.npz", "index.html")
    assert [after[name] for name in kept] == [before[name] for name in kept]
