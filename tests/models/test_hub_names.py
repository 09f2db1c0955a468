"""Any model of the hub by its name: what is fetched, what is kept, and what the second run asks for (nothing)."""

from __future__ import annotations

import json
import logging.handlers
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.models import tiny
from tests.models.hub_stand_in import HubStandIn
from vsa_checks.cli.main import main
from vsa_checks.errors import ModelError
from vsa_checks.models import describe, ensure_available, hub_progress, load, read_registry
from vsa_checks.models.registry import entry_for
from vsa_checks.models.sources import locate

FIRST, SECOND = "1" * 40, "2" * 40
SMALL = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"]


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    return tiny.write_hf(tmp_path / "llama", "llama")


@pytest.mark.parametrize(
    ("name", "place", "revision"),
    [
        ("gpt2", "openai-community/gpt2", "607a30d783dfa663caf39e06633721c8d4cfcd7e"),
        ("GPT2", "openai-community/gpt2", "607a30d783dfa663caf39e06633721c8d4cfcd7e"),
        ("gpt2@v1.0", "openai-community/gpt2", "v1.0"),
        ("pythia-1.4b", "EleutherAI/pythia-1.4b", "main"),
        ("eleutherai/pythia-70m@step1000", "EleutherAI/pythia-70m", "step1000"),
        ("Qwen2.5-0.5B", "Qwen/Qwen2.5-0.5B", "main"),
        ("some.one/My_model-7B", "some.one/My_model-7B", "main"),
        ("one/model@refs/pr/3", "one/model", "refs/pr/3"),
        (f"one/model@{FIRST}", "one/model", FIRST),
    ],
)
def test_names_as_people_type_them(hub: Path, name: str, place: str, revision: str) -> None:
    found = locate(name)
    assert (found.source, found.location, found.revision) == ("hub", place, revision)
    assert not found.complete


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gpt2@", "no branch, tag or commit"),
        ("one/model@../../x", "no branch, tag or commit"),
        ("smollm2-135m@main", "no revisions"),
        ("no-such-name", "ORG/NAME"),
        ("one--two/model", "ORG/NAME"),
        ("one/model-", "ORG/NAME"),
        ("one/" + 93 * "m", "ORG/NAME"),
        ("one/two/model", "no file or directory of that path"),
        ("./one/model", "no file or directory of that path"),
        ("one/model.gguf", "no file or directory of that path"),
    ],
)
def test_names_that_can_be_no_model(hub: Path, name: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        locate(name)


@pytest.mark.parametrize("name", ["{}@step1", "./checkpoints@main", "checkpoints@a/b"])
def test_a_path_has_no_revisions(name: str, hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "checkpoints").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"is a path, and a path has no revisions\. Leave @.* out, or name the folder"):
        locate(name.format(tmp_path / "checkpoints"))


def test_every_entry_is_found_under_its_name_and_its_id() -> None:
    registry = read_registry()
    assert len(registry) > 40
    for name, entry in registry.items():
        assert entry_for(name.upper(), registry) is entry
        assert entry.source != "hub" or entry_for(entry.id, registry) is entry


def test_another_revision_of_a_registered_model_is_not_what_the_list_says(hub: Path) -> None:
    entry = entry_for("gpt2@main", read_registry())
    assert entry is not None
    assert (entry.name, entry.shape, entry.is_paper_model) == ("gpt2@main", None, False)
    paper = entry_for("openai-community/gpt2@607a30d783dfa663caf39e06633721c8d4cfcd7e", read_registry())
    assert paper is not None and paper.is_paper_model


def test_short_names_come_before_paths_and_paths_before_ids(
    hub: Path, tmp_path: Path, llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("gpt2", "openai-community/gpt2", "one/model", "mine"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(llama)
    sources = [locate(name).source for name in ("gpt2", "./gpt2", "openai-community/gpt2", "one/model", "mine")]
    assert sources == ["hub", "path", "path", "path", "path"]


def test_only_what_is_read_is_fetched_and_the_second_time_nothing_is_asked(
    server: HubStandIn, llama: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = ["README.md", "modeling_llama.py", "tf_model.h5", "flax_model.msgpack", "pytorch_model.bin", "optimizer.pt"]
    other += [
        "onnx/model.onnx",
        "onnx/tokenizer.json",
        "model.Q4_0.gguf",
        "training_args.bin",
        "consolidated.safetensors",
    ]
    server.add("people/tiny", llama, FIRST, "main", "v1", **dict.fromkeys(other, "x"))
    model = load("people/tiny@v1", "raw")
    assert server.files_asked() == [SMALL[0], *sorted(SMALL[1:]), "model.safetensors"]
    assert (model.info.name, model.info.location, model.info.revision) == ("people/tiny@v1", "people/tiny", FIRST)
    assert model.info.sha256 == describe(llama).sha256
    assert torch.equal(model.W_E, load(llama, "raw").W_E)
    size = (llama / "model.safetensors").stat().st_size
    assert f"model.safetensors, {size / 1000:.3g} kB (4 of 4)" in capsys.readouterr().err
    server.log.clear()
    assert load("people/tiny@v1", "raw").info == model.info
    assert ensure_available("people/tiny@v1").complete
    assert server.log == []


def test_a_branch_that_has_moved_is_used_as_it_is_cached(
    server: HubStandIn,
    llama: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.add("people/tiny", llama, FIRST, "main")
    assert ensure_available("people/tiny").revision == FIRST
    assert "is not asked" not in capsys.readouterr().err
    server.add("people/tiny", tiny.write_hf(tmp_path / "next", "llama", seed=1), SECOND, "main")
    server.log.clear()
    capsys.readouterr()
    monkeypatch.setattr(hub_progress, "_said", set())  # as another process
    assert [ensure_available("people/tiny").revision for _ in range(2)] == [FIRST, FIRST]
    assert server.log == []
    assert capsys.readouterr().err.count(f"the cache holds main at the commit {FIRST}, which is used") == 1
    assert ensure_available(f"people/tiny@{SECOND}").revision == SECOND
    assert describe(f"people/tiny@{SECOND}").sha256 != describe("people/tiny").sha256


def test_a_model_is_described_from_its_configuration_alone(
    server: HubStandIn, llama: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.add("people/tiny", llama, FIRST, "main")
    info = describe("people/tiny")
    assert server.files_asked() == ["config.json"]
    assert (info.sha256, info.revision, info.dtype) == (None, FIRST, "float32")
    assert (info.n_layers, info.n_kv_heads, info.d_mlp, info.d_vocab) == (2, 2, 40, tiny.D_VOCAB)
    server.log.clear()
    assert main(["models", "people/tiny"]) == 0
    assert server.log == [], "the configuration is kept"
    shown = capsys.readouterr().out
    assert FIRST in shown and "not on this machine yet" in shown and "llama" in shown
    found = ensure_available("people/tiny")
    assert found.complete
    assert server.files_asked() == [*sorted(SMALL[1:]), "model.safetensors"]
    assert main(["models", "people/tiny"]) == 0
    assert str(found.path) in capsys.readouterr().out


@pytest.mark.parametrize("change", [{"model_type": "no-such-type"}, {"quantization_config": {"bits": 4}}])
def test_a_model_that_is_not_supported_costs_one_small_file(
    server: HubStandIn, llama: Path, change: dict[str, object]
) -> None:
    config = json.loads((llama / "config.json").read_text()) | change
    (llama / "config.json").write_text(json.dumps(config))
    server.add("people/tiny", llama, FIRST, "main")
    with pytest.raises(ModelError, match=r"not supported|packed"):
        load("people/tiny")
    assert server.files_asked() == ["config.json"]


def test_shards_lie_where_the_index_says(server: HubStandIn, tmp_path: Path) -> None:
    directory = tiny.write_hf(tmp_path / "own", "gpt2", tokenizer=False, max_shard_size="10KB")
    expected = describe(directory).sha256
    index = directory / "model.safetensors.index.json"
    table = json.loads(index.read_text())
    (directory / "parts").mkdir()
    for name in set(table["weight_map"].values()):
        (directory / name).rename(directory / "parts" / name)
    table["weight_map"] = {tensor: f"parts/{name}" for tensor, name in table["weight_map"].items()}
    index.write_text(json.dumps(table))
    server.add("people/tiny", directory, FIRST, "main", **{"model-00009-of-00009.safetensors": "x"})
    assert describe("people/tiny").sha256 is None
    assert load("people/tiny", "raw").info.sha256 == expected
    parts = sorted(set(table["weight_map"].values()))
    assert len(parts) > 2
    assert sorted(server.files_asked()) == sorted(["config.json", "generation_config.json", index.name, *parts])


def test_pickles_are_fetched_only_where_there_is_nothing_better(server: HubStandIn, tmp_path: Path) -> None:
    directory = tiny.write_hf(tmp_path / "own", "gpt2", tokenizer=False)
    expected = load(directory, "raw").W_E
    tiny.write_pickled(directory)
    server.add("people/tiny", directory, FIRST, "main", **{"training_args.bin": "x"})
    assert torch.equal(load("people/tiny", "raw").W_E, expected)
    assert server.files_asked() == ["config.json", "generation_config.json", "pytorch_model.bin"]


def test_a_connection_that_is_cut_is_taken_up_where_it_broke(
    server: HubStandIn,
    llama: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from huggingface_hub import constants

    logged = logging.handlers.BufferingHandler(100)
    monkeypatch.setattr(logging.getLogger(), "handlers", [logged])
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)  # 10 MB, of which none would be written here
    monkeypatch.setattr(hub_progress, "LARGE", 50_000)
    server.add("people/tiny", llama, FIRST, "main")
    size = (llama / "model.safetensors").stat().st_size
    server.cuts = [size // 2]
    found = ensure_available("people/tiny")
    assert found.path is not None
    assert (found.path / "model.safetensors").read_bytes() == (llama / "model.safetensors").read_bytes()
    ranges = [one.headers.get("range") for one in server.log if one.path.startswith("/cdn/") and one.method == "GET"]
    assert ranges == [None, f"bytes={size // 2 // 1000 * 1000}-"]
    said_by_library = "\n".join(record.getMessage() for record in logged.buffer)
    assert "Trying to resume download" in said_by_library and "SIGNED" not in said_by_library
    said = capsys.readouterr().err
    tenths = [line.split(": ")[1] for line in said.splitlines() if " % of " in line]
    assert tenths == [f"{tenth}0 % of {size / 1000:.3g} kB" for tenth in range(1, 10)]


def test_a_terminal_gets_a_bar_under_the_name_of_the_file(
    server: HubStandIn, llama: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.add("people/tiny", llama, FIRST, "main")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    ensure_available("people/tiny")
    said = capsys.readouterr().err
    assert "model.safetensors: 100%" in said and "config.json: 100%" in said
    assert "SIGNED" not in said


def test_a_renamed_repository_is_followed_and_said(
    server: HubStandIn, llama: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.add("people/new", llama, FIRST, "main")
    server.renamed["people/old"] = "people/new"
    found = ensure_available("people/old")
    assert (found.complete, found.revision) == (True, FIRST)
    assert "people/old is now called people/new" in capsys.readouterr().err
    server.log.clear()
    assert ensure_available("people/old") == found
    assert server.log == []


def test_code_in_a_repository_is_neither_fetched_nor_run(server: HubStandIn, llama: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    code = f"open({str(ran)!r}, 'w')\n"
    for name, classes in (
        ("config.json", {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}),
        ("tokenizer_config.json", {"AutoTokenizer": ["own.Tokenizer", None]}),
    ):
        content = json.loads((llama / name).read_text())
        (llama / name).write_text(json.dumps(content | {"auto_map": classes}))
    server.add("people/tiny", llama, FIRST, "main", **{"own.py": code})
    model = load("people/tiny", "raw")
    assert model.W_E.shape == (tiny.D_VOCAB, 24)
    assert model.token_name(1) == "<s>"
    assert not ran.exists()
    assert "own.py" not in server.files_asked()


@pytest.mark.slow
@pytest.mark.thorough
def test_a_run_states_the_commit_and_the_second_needs_no_hub(server: HubStandIn, llama: Path, tmp_path: Path) -> None:
    server.add("people/tiny", llama, FIRST, "main", "v1")
    command = [sys.executable, "-m", "vsa_checks", "run", "--model", "people/tiny@v1", "-k", "embedding-mean-zero"]
    documents = []
    for report in (tmp_path / "first", tmp_path / "second"):
        done = subprocess.run([*command, "--report-dir", str(report)], capture_output=True, text=True, timeout=240)
        assert done.returncode in (0, 1) and (report / "results.json").exists(), done.stdout + done.stderr
        documents.append(json.loads((report / "results.json").read_text()))
        if report.name == "first":
            assert "Downloading people/tiny" in done.stderr
            assert "model.safetensors" in server.files_asked()
            server.log.clear()
    assert server.log == []
    for document in documents:
        assert document["model"]["revision"] == FIRST
        assert document["model"]["name"] == "people/tiny@v1"
    assert documents[0]["results"][0]["value"] == documents[1]["results"][0]["value"]
