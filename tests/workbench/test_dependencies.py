"""What a measurement depends on: a change of any of it makes another one."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llvmlite import binding

from tests.models import tiny, tiny_gguf
from vsa_checks import paths
from vsa_checks.models import describe
from vsa_checks.models.checksums import content_sha256
from vsa_checks.models.model import load
from vsa_checks.workbench import dependencies


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_hf(tmp_path_factory.mktemp("model") / "a", "llama")


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf.write_gguf(tmp_path_factory.mktemp("gguf") / "model.gguf")


def of(path: Path, seed: int = 0) -> dict[str, Any]:
    return dependencies.dependencies(str(path), describe(path), seed, "cpu")


def test_they_are_the_same_every_time_and_plain_json(model: Path) -> None:
    assert json.loads(json.dumps(of(model))) == of(model)


def test_loading_a_model_changes_none_of_it(model: Path) -> None:
    before = of(model)
    load(model)
    assert of(model) == before


def other_version(name: str) -> Callable[[pytest.MonkeyPatch], None]:
    def change(patch: pytest.MonkeyPatch) -> None:
        true = metadata.version
        patch.setattr(metadata, "version", lambda one: "99.0" if one == name else true(one))

    return change


CHANGES: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    **{f"version of {name}": other_version(name) for name in ("numpy", "torch", "transformer-lens", "numba", "scipy")},
    "files of the model": lambda patch: patch.setattr(dependencies, "content_sha256", lambda _: "another"),
    "system's C library": lambda patch: patch.setattr("platform.libc_ver", lambda: ("glibc", "9.99")),
    "python": lambda patch: patch.setattr("platform.python_version", lambda: "3.99"),
    "code": lambda patch: patch.setattr(dependencies, "code_digest", lambda: "another"),
    "numbers of the paper": lambda patch: patch.setattr(paths, "PUBLISHED_FILE", paths.CLAIMS_FILE),
    "processor": lambda patch: patch.setattr(binding, "get_host_cpu_name", lambda: "another"),
    "instructions of the processor": lambda patch: patch.setattr(
        binding, "get_host_cpu_features", lambda: binding.FeatureMap({"avx2": False})
    ),
    "processors that may be used": lambda patch: patch.setattr("os.sched_getaffinity", lambda _: set(range(99))),
    "threads of OpenMP": lambda patch: patch.setenv("OMP_NUM_THREADS", "99"),
    "threads of numba": lambda patch: patch.setenv("NUMBA_NUM_THREADS", "99"),
    "kernels of OpenBLAS": lambda patch: patch.setenv("OPENBLAS_CORETYPE", "Haswell"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_of_it_makes_a_difference(change: str, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = of(model)
    monkeypatch.setenv("ANOTHER_VARIABLE", "99")
    monkeypatch.setenv("KMP_DUPLICATE_LIB_OK", "True")  # scikit-learn does, when it is imported
    assert of(model) == before, "another variable makes none"
    CHANGES[change](monkeypatch)
    assert of(model) != before


def test_the_seed_and_the_device_are_of_it(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert of(model, 1) != of(model, 0)
    assert of(model)["device"] == ["cpu"]
    monkeypatch.setattr(dependencies, "_cuda", lambda: ["H100", "13.0", 9])
    assert dependencies.dependencies(str(model), describe(model), 0, "cuda")["device"] == ["cuda", "H100", "13.0", 9]


def test_the_code_is_that_of_every_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "package"
    shutil.copytree(paths.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(paths, "PACKAGE", package)

    def digest() -> str:
        return dependencies.code_digest.__wrapped__()

    before = digest()
    for module in ("sections/mlp.py", "engine/loops.py", "models/gguf_weights.py"):
        file = package / module
        content = file.read_text()
        file.write_text(content.replace("1", "2", 1))
        assert digest() != before, module
        file.write_text(content)
    assert digest() == before


def test_what_is_known_of_the_model_is_of_it_and_its_name_and_place_are_not(model: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(model, tmp_path / "b"))
    assert of(copy) == of(model)
    info = describe(model)
    for field in dataclasses.fields(info):
        value = getattr(info, field.name)
        changed: Any = not value if isinstance(value, bool) else f"{value}0"
        other = dataclasses.replace(info, **{field.name: changed})
        same = dependencies.dependencies(str(model), other, 0, "cpu") == of(model)
        assert same is (field.name in dependencies.ABOUT_THE_COPY), field.name


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"])
def test_every_file_of_a_directory_is_of_it(file: str, model: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(model, tmp_path / "b"))
    before, times = content_sha256(copy), (copy / file).stat()
    content = bytearray((copy / file).read_bytes())
    content[-2] ^= 1
    (copy / file).write_bytes(content)
    assert content_sha256(copy) != before
    os.utime(copy / file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert content_sha256(Path(shutil.copytree(copy, tmp_path / "c"))) != before, "whatever the file's time says"


@pytest.mark.parametrize("linked", [False, True])
def test_a_shard_in_a_subfolder_is_of_it(linked: bool, model: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(model, tmp_path / "b"))
    shard = copy / "shards" / "one.safetensors"
    shard.parent.mkdir()
    (copy / "model.safetensors").rename(shard)
    index = {"weight_map": {"lm_head.weight": "shards/one.safetensors"}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    if linked:
        shard.rename(tmp_path / "elsewhere")
        shard.symlink_to(tmp_path / "elsewhere")
    before = content_sha256(copy)
    content = bytearray(shard.read_bytes())
    content[-2] ^= 1
    shard.write_bytes(content)
    assert content_sha256(copy) != before


def test_every_part_of_a_split_gguf_file_is_of_it(tmp_path: Path) -> None:
    parts = [tmp_path / f"model-{number:05}-of-00003.gguf" for number in (1, 2, 3)]
    for part in parts:
        part.write_bytes(b"GGUF")
    (tmp_path / "other-00002-of-00003.gguf").write_bytes(b"GGUF of another model")
    digests = {content_sha256(parts[0])}
    for part in (*parts, tmp_path / "other-00002-of-00003.gguf"):
        part.write_bytes(b"GGUF changed")
        digests.add(content_sha256(parts[0]))
    assert len(digests) == 4, "each part, and not the other model's"


def test_a_file_renamed_added_or_removed_makes_another_directory(model: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(model, tmp_path / "b"))
    digests = [content_sha256(copy)]
    (copy / "added_tokens.json").write_text("{}")
    digests.append(content_sha256(copy))
    (copy / "added_tokens.json").rename(copy / "special_tokens_map.json.bak")
    digests.append(content_sha256(copy))
    (copy / "special_tokens_map.json.bak").unlink()
    assert content_sha256(copy) == digests[0]
    assert len(set(digests)) == 3


def test_a_gguf_file_counts_with_the_tokenizer_beside_it_and_not_with_its_name(gguf: Path, tmp_path: Path) -> None:
    for place in "ab":
        (tmp_path / place).mkdir()
    first, second = tmp_path / "a" / "model.gguf", tmp_path / "b" / "other.gguf"
    for path in (first, second):
        shutil.copy(gguf, path)
    (tmp_path / "b" / "another.gguf").write_bytes(b"GGUF another model")
    assert content_sha256(first) == content_sha256(second)
    (tmp_path / "b" / "tokenizer_config.json").write_text('{"add_bos_token": true}')
    assert content_sha256(first) != content_sha256(second)
    content = bytearray(first.read_bytes())
    content[-1] ^= 1
    third = tmp_path / "third.gguf"
    third.write_bytes(np.frombuffer(content, np.uint8).tobytes())
    assert content_sha256(third) != content_sha256(first)
