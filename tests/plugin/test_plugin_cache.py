"""Runs that take measurements from the cache: the same file but for times, and never one that is not this run's."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch

from tests.models import tiny
from tests.plugin import models
from tests.plugin.runs import Run, Server, arguments
from tests.plugin.test_plugin_faults import FAULTS, plugin
from vsa_checks.paths import CACHE_VARIABLE, ROOT

pytestmark = pytest.mark.slow

ALL = ("-m", "claim", "--basis", "raw", "--no-twin", "-rA", "--no-recorded")
FEW = ("-k", "mean-zero or component-mean or table1 or mlp-out-near", "--basis", "raw", "-rA", "--no-recorded")
WAYS: dict[str, tuple[str, ...]] = {"measured": (), "kept": (), "worker": ("-n", "1")}
N_FEW = 5
"""Results of FEW on a model of two layers."""


def with_cache(folder: Path, **more: str) -> dict[str, str]:
    return {CACHE_VARIABLE: str(folder), **more}


def n_from_cache(run: Run) -> int:
    found = re.search(r"^(\d+) of \d+ results taken from the cache", run.output, re.M)
    return int(found[1]) if found else 0


def but_for_the_run(document: Mapping[str, Any]) -> dict[str, Any]:
    """A document less how long the run took."""
    environment = {k: v for k, v in document["environment"].items() if k != "duration_s"}
    return {**document, "environment": environment}


def results_of(run: Run) -> dict[str, dict[str, Any]]:
    """All results but for the seconds that they took."""
    return {name: {k: v for k, v in one.items() if k != "duration_s"} for name, one in run.results.items()}


def entries(folder: Path) -> list[Path]:
    return sorted((folder / "measurements").iterdir())


def entry_of(folder: Path, result: Mapping[str, Any]) -> Path:
    """The one entry from which this result was taken: no two took the same seconds."""
    (found,) = (path for path in entries(folder) if f'"duration_s": {result["duration_s"]!r}' in path.read_text())
    return found


# --- the same file but for times ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def again(whole: Run, plain: Path, cache_folder: Path, light: Server, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All claims once more, in a process that has imported no library of models."""
    folder = tmp_path_factory.mktemp("again")
    run = light.pytest(arguments(ALL, plain, folder), with_cache(cache_folder), folder, modules=True)
    assert run.code == 1, run.output[-3000:]
    return run


def test_a_second_run_writes_the_same_file_to_the_last_bit_and_loads_no_model(whole: Run, again: Run) -> None:
    assert n_from_cache(whole) == 0
    assert n_from_cache(again) == len(again.results) == len(whole.results) > 50
    texts = [json.dumps(but_for_the_run(run.document), sort_keys=True) for run in (whole, again)]
    assert texts[0] == texts[1]
    assert "numpy" in again.modules and not {"torch", "transformer_lens", "transformers"} & again.modules
    # what was measured took its seconds, and the run took its own
    measuring = sum(result["duration_s"] for result in again.results.values())
    assert measuring == sum(result["duration_s"] for result in whole.results.values())
    assert again.document["environment"]["duration_s"] < measuring
    for run in (whole, again):
        assert "cache" not in (run.report_dir / "index.html").read_text(encoding="utf-8")


def test_a_part_of_the_claims_says_what_it_read(
    whole: Run, plain: Path, cache_folder: Path, light: Server, tmp_path: Path
) -> None:
    """Also where the measure went over text that was read for another subject."""
    for claim in ("residual-components", "residual-keeps-token", "attention-next-token"):
        run = light.claims(plain, tmp_path / claim, "-k", claim, *ALL[2:], env=with_cache(cache_folder))
        assert n_from_cache(run) == len(run.results) > 0
        assert run.document["environment"]["text"] == whole.document["environment"]["text"]
    run = light.claims(plain, tmp_path / "without", "-k", "mean-zero", *ALL[2:], env=with_cache(cache_folder))
    assert n_from_cache(run) == 1 and "text" not in run.document["environment"]


@pytest.mark.thorough
def test_two_processes_take_from_the_cache_what_one_kept(
    whole: Run, plain: Path, cache_folder: Path, light: Server, tmp_path: Path
) -> None:
    xml = tmp_path / "junit.xml"
    run = light.claims(plain, tmp_path, *ALL, "-n", "2", f"--junitxml={xml}", env=with_cache(cache_folder))
    assert n_from_cache(run) == len(whole.results)
    assert but_for_the_run(run.document) == but_for_the_run(whole.document)
    assert "Traceback" not in run.output
    shown = ("value", "threshold", "null", "verdict", "log")  # the first three with the keys by which they are sorted
    one, two = ({row["testId"]: [row[name] for name in shown] for row in ran.log} for ran in (whole, run))
    assert one == two
    told = {}
    for case in ElementTree.parse(xml).iter("testcase"):
        found = {one.attrib["name"]: one.attrib["value"] for one in case.iter("property")}
        told[found["subject"]] = found
    assert told.keys() == run.results.keys()
    for name, result in run.results.items():
        said = told[name]
        assert (said["claim"], said["verdict"], said["reason"]) == (
            result["claim"],
            result["verdict"],
            result["reason"],
        )
        assert said["threshold"] == str(result["threshold"]) and not any(one.startswith("vsa_") for one in said)
        assert said.get("value") == (None if result["value"] is None else str(result["value"]))


def test_what_loading_told_of_the_stored_weights_stands_in_every_report(warm: Server, tmp_path: Path) -> None:
    """Measured, taken from the cache, and by a worker of xdist."""
    model = tiny.write_hf(tmp_path / "model", "gpt2", tokenizer=False)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "n_layer": 1}))
    env = with_cache(tmp_path / "cache")
    runs = [warm.claims(model, tmp_path / name, *FEW, *more, env=env) for name, more in WAYS.items()]
    assert [n_from_cache(run) > 0 for run in runs] == [False, True, True]
    first, *others = (run.document["model"]["notes"] for run in runs)
    assert first.startswith("The files also hold tensors that its configuration leaves out: transformer.h.1.")
    assert others == [first, first]


def test_what_is_measured_is_read_from_files_that_the_key_knows(whole: Run, opened_files: Path) -> None:
    """Of the project's files its code, the specification, the texts, the paper's numbers and the list of models."""
    opened = {Path(line).relative_to(ROOT) for line in opened_files.read_text().splitlines()}
    data = {path for path in opened if path.suffix != ".py" and "__pycache__" not in path.parts}
    texts = {path for path in data if path.parent == Path("fixtures/texts")}
    assert {path.name for path in texts} == {path.name for path in (ROOT / "fixtures/texts").glob("*.txt")}
    rest = {str(path) for path in data - texts if path.parts[0] not in (".git", ".venv", "reports")}
    known = {"claims/claims.toml", "fixtures/models.toml", "fixtures/published.toml", "pytest.ini", "pyproject.toml"}
    assert {name for name in rest if not name.startswith("vsa_checks/report/")} <= known


# --- stale, damaged, of other weights -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def few(plain: Path, warm: Server, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """A run of some quick claims, and the folder of the measurements that it kept."""
    folder = tmp_path_factory.mktemp("few")
    run = warm.claims(plain, folder / "report", *FEW, env=with_cache(folder / "cache"))
    assert run.code == 1 and len(run.results) == N_FEW and n_from_cache(run) == 0, run.output[-3000:]
    return run, folder / "cache"


@pytest.fixture
def kept(few: tuple[Run, Path], tmp_path: Path) -> Path:
    """The measurements of `few` in a folder of this test's own."""
    return Path(shutil.copytree(few[1], tmp_path / "kept"))


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def test_what_is_damaged_is_measured_anew_and_mended(
    few: tuple[Run, Path], kept: Path, plain: Path, warm: Server, tmp_path: Path
) -> None:
    run, results = few[0], few[0].results
    number = repr(results["embedding-mean-zero/raw"]["value"])
    path = entry_of(kept, results["embedding-mean-zero/raw"])
    assert number in path.read_text()
    path.write_text(path.read_text().replace(number, repr(results["embedding-mean-zero/raw"]["value"] / 2)))
    path = entry_of(kept, results["embedding-component-mean/raw"])
    path.write_bytes(flipped(path.read_bytes()))
    path = entry_of(kept, results["neurons-table1/raw"])
    path.write_bytes(path.read_bytes()[:-20])
    other = entry_of(kept, results["mlp-out-near-orthogonal/raw/L1"])
    shutil.copy(other, entry_of(kept, results["mlp-out-near-orthogonal/raw/L0"]))
    second = warm.claims(plain, tmp_path / "second", *FEW, env=with_cache(kept))
    assert (n_from_cache(second), second.code) == (1, run.code)
    assert results_of(second) == results_of(run)
    assert "Traceback" not in second.output
    third = warm.claims(plain, tmp_path / "third", *FEW, env=with_cache(kept))
    assert n_from_cache(third) == N_FEW
    assert results_of(third) == results_of(run)


def copy_of(plain: Path, folder: Path) -> Path:
    return Path(shutil.copytree(plain, folder / "model"))


def other_weights(model: Path) -> None:
    """One weight is another, and the file has the length and the time that it had."""
    file = model / "model.safetensors"
    before = file.stat()
    weight = torch.tensor(models.tensors(model)["wte.weight"], dtype=torch.float32)
    weight[7, 7] += 1.0
    name = next(name for name in models.stored_names(model) if name.endswith("wte.weight"))
    tiny.edit_weights(model, **{name.replace(".", "__"): weight})
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size


def test_another_model_at_the_same_path_is_measured(kept: Path, plain: Path, warm: Server, tmp_path: Path) -> None:
    model = copy_of(plain, tmp_path)
    same = warm.claims(model, tmp_path / "same", *FEW, env=with_cache(kept))
    assert n_from_cache(same) == N_FEW, "the same files at another place are the same model"
    other_weights(model)
    assert n_from_cache(warm.claims(model, tmp_path / "other", *FEW, env=with_cache(kept))) == 0


OTHER_RUNS: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "seed": (("--seed", "1"), {}),
    "basis": (("--basis", "processed"), {"OMP_NUM_THREADS": "2"}),
}


@pytest.mark.parametrize("change", OTHER_RUNS)
def test_another_run_is_measured(change: str, kept: Path, plain: Path, warm: Server, tmp_path: Path) -> None:
    options, variables = OTHER_RUNS[change]
    run = warm.claims(plain, tmp_path, *FEW, *options, env=with_cache(kept, **variables))
    assert len(run.results) == N_FEW and n_from_cache(run) == 0
    again = warm.claims(plain, tmp_path, *FEW, *options, env=with_cache(kept, **variables))
    assert n_from_cache(again) == N_FEW


@pytest.mark.thorough
def test_another_text_is_read_again_and_numbers_of_weights_alone_are_not(
    plain: Path, warm: Server, tmp_path: Path
) -> None:
    only = ("-k", "residual-components or mean-zero", *FEW[2:])
    counts = []
    for place, words in enumerate(("The quick brown fox. ", "Jackdaws love my big sphinx. ", "The quick brown fox. ")):
        text = tmp_path / "text.txt"
        text.write_text(words * 150)
        run = warm.claims(plain, tmp_path / str(place), *only, "--text", str(text), env=with_cache(tmp_path))
        counts.append(n_from_cache(run))
    assert counts == [0, 1, 2], "those of the first text are still there for the third run"


# --- what is never kept, and never taken ----------------------------------------------------------------------


def test_no_cache_neither_takes_nor_keeps(
    few: tuple[Run, Path], kept: Path, plain: Path, warm: Server, tmp_path: Path
) -> None:
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in entries(kept)}
    run = warm.claims(plain, tmp_path / "report", *FEW, "--no-cache", env=with_cache(kept))
    assert (n_from_cache(run), results_of(run)) == (0, results_of(few[0]))
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in entries(kept)} == before
    warm.claims(plain, tmp_path / "report", *FEW, "--no-cache", env=with_cache(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


BROKEN = {
    "crashes": "def bootstrap(*_):\n    raise ZeroDivisionError('today')\n\n\nembeddings.bootstrap = bootstrap",
    "examines nothing": "from vsa_checks.judging.measurement import Measurement\n\n"
    "embeddings.Measurement = lambda **fields: Measurement(**{**fields, 'n_examined': 0})",
}


@pytest.mark.parametrize("fault", BROKEN)
def test_errors_are_not_kept(fault: str, plain: Path, warm: Server, tmp_path: Path) -> None:
    environment = plugin(tmp_path, "broken", f"from vsa_checks.sections import embeddings\n\n{BROKEN[fault]}\n")
    only = ("-k", "mean-zero", *FEW[2:])
    env = with_cache(tmp_path / "cache", **environment)
    assert warm.claims(plain, tmp_path / "report", *only, "-p", "broken", env=env).results == {}
    sound = warm.claims(plain, tmp_path / "report", *only, env=env)
    assert len(sound.results) == 1 and n_from_cache(sound) == 0


def test_a_measure_from_elsewhere_takes_nothing_and_keeps_nothing(
    few: tuple[Run, Path], kept: Path, plain: Path, warm: Server, tmp_path: Path
) -> None:
    env = with_cache(kept, **plugin(tmp_path, "faulty", FAULTS))
    run = warm.claims(plain, tmp_path / "report", "-k", "mean-zero", *FEW[2:], "-p", "faulty", env=env)
    assert run.results == {}, "its own measure, which looks at nothing, was called"
    sound = warm.claims(plain, tmp_path / "report", *FEW, env=env)
    assert (n_from_cache(sound), results_of(sound)) == (N_FEW, results_of(few[0]))


STRICT = """
import dataclasses

from vsa_checks.judging.claim import load_claims

claims = load_claims()
claims["embedding-mean-zero"] = dataclasses.replace(claims["embedding-mean-zero"], threshold=-1.0, title="Other")
"""


def test_numbers_from_the_cache_are_judged_by_the_claim_as_it_stands(
    few: tuple[Run, Path], kept: Path, plain: Path, warm: Server, tmp_path: Path
) -> None:
    env = with_cache(kept, **plugin(tmp_path, "strict", STRICT))
    run = warm.claims(plain, tmp_path / "report", *FEW, "-p", "strict", env=env)
    assert n_from_cache(run) == N_FEW
    before, now = (one.results["embedding-mean-zero/raw"] for one in (few[0], run))
    assert (before["value"], before["ci"]) == (now["value"], now["ci"])
    assert (now["threshold"], now["verdict"]) == (-1.0, "refuted")
    assert before["verdict"] == "holds"
