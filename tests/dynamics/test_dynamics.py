"""Training and measuring, all of it small: what is written, what is not done again, what an interruption loses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import vsa_checks
from dynamics import command, measuring, training, work
from dynamics.answers import loss
from dynamics.collected import earlier_versions, known
from dynamics.language import of_grammar
from dynamics.models import VARIANTS, untrained
from dynamics.page import render
from dynamics.work import Job
from vsa_checks.paths import DOCS
from vsa_checks.report.comparison.runs import _step

pytestmark = pytest.mark.slow

Small = tuple[list[str], Path, Path]
SETTINGS = command.SMALL
LANGUAGE = of_grammar(SETTINGS.grammar)


def _train(folder: Path, **more: Any) -> Path:
    schedule = SETTINGS.schedule
    training.train(
        folder, VARIANTS["plain"], SETTINGS.sizes, schedule,
        lambda: LANGUAGE.training(0, schedule.steps * schedule.windows * SETTINGS.sizes.n_positions),
        LANGUAGE.d_vocab, 0, LANGUAGE.save_tokenizer, **more,
    )  # fmt: skip
    return training.checkpoint(folder, schedule.steps)


@pytest.mark.thorough
def test_a_small_run_writes_numbers_page_and_figure(small: Small) -> None:
    _, out, _ = small
    document = json.loads((out / "dynamics.json").read_text())
    assert [(one["language"], one["variant"], one["seed"]) for one in document["runs"]] == [
        ("grammar", "plain", 0), ("english", "plain", 0),
    ]  # fmt: skip
    plain, english = document["runs"]
    assert plain["steps"] == [0, 4, 8, 16]
    for one, d_vocab in ((plain, LANGUAGE.d_vocab), (english, 400)):
        # An untrained network guesses, and some steps make it better than that.
        assert one["loss"][0] == pytest.approx(np.log(d_vocab), abs=0.1) and one["loss"][-1] < one["loss"][0] - 0.3
        assert set(one["claims"]) == set(SETTINGS.claims or ())
    assert "answers" not in english and plain["answers"]["or"][0] == pytest.approx(0.25, abs=0.05)
    page = (out / "dynamics.md").read_text()
    assert "numbers from `--small`" in page and "Not trained yet: untied, wide" in page
    assert f"| plain | loss | {plain['loss'][-1]:.3f} |" in page
    held = english["claims"]["embedding-near-orthogonal"]["holds"]
    assert held[0] and f"On English, {int(not held[-1])} of 2 claims are lost" in " ".join(page.split())
    assert "</svg>" in (out / "dynamics.svg").read_text()


@pytest.mark.thorough
def test_checkpoints_are_models_and_those_of_a_training_are_a_series(small: Small) -> None:
    folder = small[2] / SETTINGS.digest("grammar") / "grammar-plain-seed0"
    model = vsa_checks.load(folder / "step16", basis="raw")
    stored = load_file(folder / "step16" / "model.safetensors")
    assert torch.equal(model.W_E, stored["transformer.wte.weight"])
    words = SETTINGS.grammar.words()
    assert [model.token_name(at) for at in range(len(words))] == words
    ids = model.tokenizer.encode(" ".join(words[1:9]))
    assert ids == list(range(1, 9))
    named = [str(folder / f"step{at}") for at in (4, 16)]
    steps = {_step({"source": "path", "name": one, "location": one, "revision": None}, Path("report")) for one in named}
    assert {step for step, _ in steps} == {4, 16} and len({series for _, series in steps}) == 1


@pytest.mark.thorough
def test_what_is_done_is_not_done_again(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, out, _ = small
    before = (out / "dynamics.json").read_bytes()

    def never(*args: object, **more: object) -> None:
        raise AssertionError("done twice")

    monkeypatch.setattr(measuring, "measure", never)
    monkeypatch.setattr(training, "untrained", never)
    assert command.run(arguments) == 0
    assert (out / "dynamics.json").read_bytes() == before


def test_only_what_is_missing_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def noted(jobs: list[Job], *more: object) -> Iterator[tuple[Job, None, str]]:
        asked.extend(job.name for job in jobs)
        yield from ()

    monkeypatch.setattr(command, "do_all", noted)
    kept = shutil.copy(DOCS / command.FILE, tmp_path)
    arguments = ["--missing", "--only", "plain", "--out", str(tmp_path)]
    assert command.run([*arguments, "--seeds", "4"]) == 0
    assert asked == ["grammar-plain-seed3"]
    assert command.run([*arguments, "--seeds", "3"]) == 0
    assert len(asked) == 1 and "Nothing is missing" in capsys.readouterr().err
    assert Path(kept).read_bytes() == (DOCS / command.FILE).read_bytes()


@pytest.mark.thorough
def test_a_measurement_with_other_code_is_made_anew(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = small[2] / SETTINGS.digest("grammar") / "grammar-plain-seed0" / "step16"
    made: list[Path] = []

    def measure(folder: Path, *rest: object) -> dict[str, float]:
        made.append(folder)
        return {"loss": 1.0}

    monkeypatch.setattr(measuring, "measure", measure)
    monkeypatch.setattr(measuring, "code_digest", lambda: "another")
    kept = folder / measuring.FILE
    before = kept.read_bytes()
    try:
        assert measuring.measured(folder, LANGUAGE, 0, SETTINGS.claims)["loss"] == 1.0 and made == [folder]
    finally:
        kept.write_bytes(before)


def test_an_interrupted_training_gives_what_it_would_have_given(tmp_path: Path) -> None:
    def stop(line: str) -> None:
        if line.startswith("step 8"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path / "ended", say=stop)
    ended = tmp_path / "ended"
    assert sorted(one.name for one in ended.glob("step*")) == ["step0", "step4", "step8"]
    lines: list[str] = []
    gone_on = _train(ended, say=lines.append)
    assert [line.split(":")[0] for line in lines] == ["step 16"]
    whole = _train(tmp_path / "whole")
    assert (gone_on / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    # A file of the state that was cut off: from the beginning, with the same end.
    shutil.rmtree(gone_on)
    (ended / training.STATE).write_bytes(b"cut off")
    again = _train(ended)
    assert (again / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_each_variant_differs_from_its_base_as_it_says() -> None:
    shapes = {}
    for name, variant in VARIANTS.items():
        named = dict(untrained(variant, SETTINGS.sizes, LANGUAGE.d_vocab, 0).state_dict())
        shapes[name] = {key: tuple(value.shape) for key, value in named.items()}

    def has(name: str, *parts: str) -> list[bool]:
        return [any(part in key for key in shapes[name]) for part in parts]

    # positions; bias of the norms; gate
    assert has("plain", "wpe", "ln_1.bias", "gate") == [True, True, False]
    assert has("rotary", "wpe", "input_layernorm.bias", "gate") == [False, True, False]
    assert has("rmsnorm", "wpe", "input_layernorm.bias", "gate") == [False, False, False]
    assert has("gated", "wpe", "input_layernorm.bias", "gate") == [False, False, True]
    assert shapes["wide"]["transformer.wte.weight"][1] == 2 * shapes["plain"]["transformer.wte.weight"][1]
    assert has("rmsnorm", "up_proj.bias", "q_proj.bias") == has("gated", "up_proj.bias", "q_proj.bias") == [True, True]
    for name, variant in VARIANTS.items():
        module = untrained(variant, SETTINGS.sizes, LANGUAGE.d_vocab, 0)
        tied = module.get_input_embeddings().weight is module.get_output_embeddings().weight
        assert tied == (name != "untied")
        assert all(dropped.p == 0 for dropped in module.modules() if isinstance(dropped, torch.nn.Dropout))


def test_loss_is_that_of_its_definition() -> None:
    module = untrained(VARIANTS["plain"], SETTINGS.sizes, LANGUAGE.d_vocab, 3).eval()
    tokens = LANGUAGE.held_out[:70]
    total = []
    with torch.no_grad():
        for start in (0, 32):
            window = torch.from_numpy(tokens[start : start + 32])
            for place in range(31):
                p = torch.softmax(module(window[None, : place + 1]).logits[0, -1], 0)
                total.append(-float(torch.log(p[window[place + 1]])))
    assert loss(module, tokens, 32) == pytest.approx(np.mean(total), abs=1e-5)


@pytest.mark.thorough
def test_a_failed_training_is_named_and_the_rest_is_done(
    small: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, out, _ = small
    real = work.do

    def full_disk(job: work.Job, *rest: Any) -> Any:
        if job.language == "grammar":
            raise OSError("the disk is full")
        return real(job, *rest)

    monkeypatch.setattr(work, "do", full_disk)
    elsewhere = [*arguments[:-3], str(tmp_path), *arguments[-2:]]
    assert command.run(elsewhere) == 1
    assert "grammar-plain-seed0 failed: the disk is full" in capsys.readouterr().err
    assert [one["language"] for one in json.loads((tmp_path / "dynamics.json").read_text())["runs"]] == ["english"]
    assert known(out, SETTINGS.as_json()) and known(out, command.FULL.as_json()) == []


@pytest.mark.thorough
def test_a_training_tells_the_versions_of_the_claims_that_it_measured(small: Small) -> None:
    document = json.loads((small[1] / "dynamics.json").read_text())
    runs = document["runs"]
    assert earlier_versions(runs) == {} and "present version" not in render(document)
    runs[0]["claims"]["mlp-out-artifacts"]["version"] -= 1
    assert earlier_versions(runs) == {"mlp-out-artifacts": ["plain grammar 0"]}
    assert "`mlp-out-artifacts` in plain grammar 0." in render(document)


@pytest.mark.thorough
def test_files_that_are_damaged_or_in_the_way_are_told(
    small: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dynamics.json").write_text("{")
    assert command.run(["--render", "--out", str(tmp_path)]) == 2
    (tmp_path / "dynamics.json").write_text('{"runs": []}')
    assert command.run(["--render", "--out", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert "dynamics.json" in told and "is not as this version writes it" in told
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    assert command.run([*small[0], "--out", str(in_the_way)]) == 2
    assert "Not a directory" in capsys.readouterr().err


@pytest.mark.thorough
def test_a_damaged_measurement_is_made_anew(small: Small) -> None:
    kept = small[2] / SETTINGS.digest("grammar") / "grammar-plain-seed0" / "step0" / measuring.FILE
    before = json.loads(kept.read_text())
    kept.write_text('{"loss": ')
    assert measuring.measured(kept.parent, LANGUAGE, 0, SETTINGS.claims) == before == json.loads(kept.read_text())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "plane"], "there is no plane"),
        (["--seeds", "0"], "must be 1 or more"),
        (["--render", "--out", "nowhere"], "run the command without --render first"),
    ],
)
def test_wrong_options_are_refused(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.run(arguments)
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "words"), [(None, "cannot be read"), (b"\xff" * 2000, "UTF-8"), (b"short", "too short")]
)
def test_texts_that_cannot_be_used_are_refused(
    content: bytes | None, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.txt"
    if content is not None:
        text.write_bytes(content)
    options = ["--small", "--only", "english", "--text", str(text), "--workers", "1", "--work", str(tmp_path / "work")]
    assert command.run([*options, "--seeds", "1"]) == 2
    told = capsys.readouterr().err
    assert words in told and "Traceback" not in told
