"""The untrained twin in whole runs: nothing that an untrained network meets is counted as found."""

from __future__ import annotations

import hashlib
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from fixtures.planted import planted_model
from tests.models import tiny
from tests.plugin.runs import Run, Server
from vsa_checks.judging.claim import load_claims
from vsa_checks.paths import CACHE_VARIABLE

pytestmark = pytest.mark.slow

CLAIMS = "embedding-*,mlp-out-near-orthogonal,unbinding-recovers,residual-keeps-token,neurons-beyond-chance"
OPTIONS = ("-m", "claim", "--basis", "raw", "--no-recorded", "--claims", CLAIMS)


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2 of three layers as transformers begins it, from another seed than the twin's."""
    import torch
    import transformers

    from vsa_checks.models.quiet import quiet

    folder = tmp_path_factory.mktemp("models") / "untrained"
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(123)
        config = transformers.GPT2Config(vocab_size=600, n_positions=64, n_embd=64, n_layer=3, n_head=4)
        transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    tiny.write_tokenizer(folder, 600)
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {CACHE_VARIABLE: str(tmp_path_factory.mktemp("cache"))}


@pytest.fixture(scope="module")
def ran(untrained: Path, warm: Server, cache: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    return warm.claims(untrained, tmp_path_factory.mktemp("ran"), *OPTIONS, env=cache)


def counts(run: Run, name: str) -> int:
    summary = run.document["summary"]
    return int(summary["primary"][name] + summary["exploratory"][name])


def without_times(results: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: {key: value for key, value in one.items() if key != "duration_s"} for name, one in results.items()}


def test_nothing_of_an_untrained_network_counts_as_found(ran: Run) -> None:
    assert counts(ran, "holds") == counts(ran, "given_by_shape") > 10
    held = counts(ran, "holds")
    assert f"{held} hold (of which {held} are given by the shape)" in " ".join(ran.output.split())
    assert f"of which {held} are given by the shape" in (ran.report_dir / "index.html").read_text()
    assert "given by the shape" in (ran.report_dir / "pytest.html").read_text()
    assert "no_twin" not in ran.document["environment"]


def test_each_result_that_was_measured_has_a_twin(ran: Run) -> None:
    for result in ran.results.values():
        assert (result["twin"] is None) is (result["verdict"] == "not-checked"), result["id"]
    layers = {ran.results[f"mlp-out-near-orthogonal/raw/L{layer}"]["twin"]["value"] for layer in range(3)}
    assert len(layers) == 1
    details = ran.results["mlp-out-near-orthogonal/raw/L2"]["details"]["twin"]
    assert details["subject"] == "mlp-out-near-orthogonal/raw/L0" and details["verdict"] == "holds"


def test_the_twins_values_are_kept(
    ran: Run, untrained: Path, warm: Server, cache: dict[str, str], tmp_path: Path
) -> None:
    """Of a model of the same shape and with the same tokenizer too; the twin itself is not made again."""
    forbidden = {**cache, "TMPDIR": str(tmp_path / "nowhere")}
    again = warm.claims(untrained, tmp_path / "again", *OPTIONS, env=forbidden)
    assert without_times(again.results) == without_times(ran.results)
    copy = tmp_path / "trained"
    copy.mkdir()
    for file in untrained.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    import torch
    from safetensors.torch import load_file

    wte = load_file(copy / "model.safetensors")["transformer.wte.weight"]
    tiny.edit_weights(copy, transformer__wte__weight=wte + torch.ones_like(wte))
    trained = warm.claims(copy, tmp_path / "other", *OPTIONS, env=cache)
    assert trained.results["embedding-mean-zero/raw"]["verdict"] == "refuted"
    for name, result in trained.results.items():
        assert result["twin"] == ran.results[name]["twin"]


def test_what_was_planted_is_found_unless_the_shape_gives_it(warm: Server, tmp_path: Path) -> None:
    """Measured by two processes, each of which needs the twin."""
    planted = planted_model(tmp_path / "planted").path
    claims = "embedding-near-orthogonal,mlp-out-near-orthogonal,neurons-beyond-chance"
    run = warm.claims(planted, tmp_path, *OPTIONS[:-1], claims, "-n", "2")
    assert all((result["twin"] is None) is (result["verdict"] == "not-checked") for result in run.results.values())
    found = run.results["neurons-beyond-chance/raw/L0/W_in"]
    assert found["verdict"] == "holds" and found["twin"]["met"] is False
    assert run.results["embedding-near-orthogonal/raw"]["twin"]["met"] is True
    assert counts(run, "holds") > counts(run, "given_by_shape") > 0


def test_without_a_twin_nothing_of_it_is_measured_or_shown(
    ran: Run, untrained: Path, warm: Server, cache: dict[str, str], tmp_path: Path
) -> None:
    """Also where its values are kept."""
    run = warm.claims(untrained, tmp_path, *OPTIONS, "--no-twin", env=cache)
    assert all(result["twin"] is None and "twin" not in result["details"] for result in run.results.values())
    assert counts(run, "given_by_shape") == 0 < counts(run, "holds")
    assert run.document["environment"]["no_twin"] == "--no-twin was given"
    assert run.output.count("The results have no untrained twin: --no-twin was given.") == 1


def test_recording_a_registered_model_writes_its_twin(
    ran: Run, untrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    from vsa_checks.judging.recorded import Recorded, recorded_path
    from vsa_checks.models import describe
    from vsa_checks.plugin import twins
    from vsa_checks.plugin.tally import Tally
    from vsa_checks.workbench.twin import shape_digest
    from vsa_checks.workbench.twin_values import read_values

    monkeypatch.setattr("vsa_checks.paths.TWINS", tmp_path)
    claim = load_claims()["mlp-out-near-orthogonal"]
    tally, stored = Tally(), dict[str, Any]() | {"version": claim.version, "text": None, "outcome": {}}
    tally.twin_values = {f"{claim.id}/raw/L0": stored, "no-such-claim/raw": stored}
    info = describe(str(untrained))
    shipped, elsewhere = recorded_path("tiny"), tmp_path / "mine.toml"
    run: Any = SimpleNamespace(name=str(untrained), info=info, seed=0, text=None, recorded_file=shipped)
    assert twins.twin_to_record(run, tally, Recorded()) is None  # a path is no registered model
    run.info = SimpleNamespace(**{**vars(info), "name": "tiny", "source": "package"})
    for changed in ({"seed": 1}, {"text": "another"}, {"recorded_file": elsewhere}):
        other: Any = SimpleNamespace(**{**vars(run), **changed})
        assert twins.twin_to_record(other, tally, Recorded()) is None, changed
    found = twins.twin_to_record(run, tally, Recorded())
    assert found is not None and found[0] == tmp_path / "tiny.json"
    found[0].write_text(found[1])
    assert read_values(found[0], shape_digest(str(untrained)), 0) == {f"{claim.id}/raw/L0": stored}
    assert json.loads(found[1])["seed"] == 0
    # A run of a part keeps what belongs to the verdicts, and signs nothing that does not.
    tally.twin_values = {f"{claim.id}/raw/L1": stored}
    for digest, kept in ((hashlib.sha256(found[1].encode()).hexdigest(), 2), ("0" * 64, 1)):
        part = twins.twin_to_record(run, tally, Recorded({}, twin=digest))
        assert part is not None and len(json.loads(part[1])["values"]) == kept


@pytest.mark.parametrize("replaced", [0, 1, 2], ids=["before", "in between", "to the end"])
def test_recording_that_is_ended_between_its_two_files_is_noticed(
    replaced: int, ran: Run, untrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is killed there leaves the twin's new file, and the verdicts that were recorded with the old."""
    import os
    from types import SimpleNamespace

    from vsa_checks.judging.recorded import read_recorded
    from vsa_checks.models import describe
    from vsa_checks.plugin import finish, twins
    from vsa_checks.plugin.tally import Tally

    monkeypatch.setattr("vsa_checks.paths.TWINS", tmp_path)
    monkeypatch.setattr(twins, "recorded_path", lambda model: tmp_path / "verdicts.toml")
    result = next(one for one in ran.results.values() if one["value"] is not None)
    info, tally, verdicts = describe(str(untrained)), Tally(), tmp_path / "verdicts.toml"
    claim = load_claims()[result["claim"]]
    run: Any = SimpleNamespace(name=str(untrained), seed=0, text=None, recorded_file=verdicts, cautions=[])
    run.info = SimpleNamespace(**{**vars(info), "name": "tiny", "source": "package"})
    tally.results = {result["id"]: result}

    def measured(when: str) -> None:
        stored = {"version": claim.version, "text": None, "outcome": {"of": when}}
        tally.twin_values = {result["id"]: stored}

    measured("the first time")
    finish.record(run, tally)
    replace, calls = os.replace, iter(range(2))

    def ended(old: Path, new: Path) -> None:
        if next(calls) == replaced:
            raise KeyboardInterrupt
        replace(old, new)

    monkeypatch.setattr(os, "replace", ended)
    measured("the second time")
    with pytest.raises(KeyboardInterrupt) if replaced < 2 else nullcontext():
        finish.record(run, tally)
    known = read_recorded(verdicts, info.sha256, [result["id"]])
    assert known.twin is not None
    assert twins.belongs(run, known, tmp_path / "tiny.json") == (replaced != 1)
    assert ("the second time" in (tmp_path / "tiny.json").read_text()) == (replaced > 0)
    assert {file.name for file in tmp_path.iterdir()} == {"tiny.json", "verdicts.toml"}
