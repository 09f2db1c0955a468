"""Models that cannot be loaded or run although they were found: a message with the remedy, and the rest is measured."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.numpy import load_file

from tests.models import tiny
from tests.plugin.models import write_plain
from tests.plugin.runs import Server
from tests.plugin.test_plugin_bad_input import assert_refused
from tests.plugin.test_plugin_faults import plugin
from vsa_checks.errors import ModelError
from vsa_checks.judging.measurement import Measurement
from vsa_checks.judging.subjects import Subject
from vsa_checks.models.checksums import content_sha256
from vsa_checks.paths import CACHE_VARIABLE
from vsa_checks.workbench.access import Workbench
from vsa_checks.workbench.loading import first_line
from vsa_checks.workbench.outcome import measure_subject

ONLY = ("--no-recorded", "-rA", "--claims", "embedding-mean-zero,mlp-out-artifacts")
UNLOADABLE = """
from vsa_checks import models

load = models.load


def broken(name, basis, device, **options):
    if basis in {bases}:
        raise RuntimeError("header too large\\n\\x1b[2Jand the rest")
    return load(name, basis=basis, device=device, **options)


models.load = broken
"""
WORDS = ("could not be loaded in the", "RuntimeError: header too large", "Check that its files exist and are complete")


@pytest.mark.slow
@pytest.mark.parametrize("processes", [(), ("-n", "2")], ids=["alone", "two processes"])
def test_a_library_that_cannot_load_the_model_is_one_message(
    processes: tuple[str, ...], plain: Path, warm: Server, tmp_path: Path
) -> None:
    env = plugin(tmp_path, "unloadable", UNLOADABLE.format(bases="('processed', 'raw')"))
    run = warm.claims(plain, tmp_path / "report", *ONLY, "--basis", "both", "-p", "unloadable", *processes, env=env)
    assert_refused(run, *WORDS)
    assert "and the rest" not in run.output


@pytest.mark.slow
def test_a_run_of_a_part_vouches_for_no_more_than_it_read(tmp_path: Path, warm: Server) -> None:
    """With no number in the other layer: what reads text reads that too, and a whole run looks at all of the model."""
    model = write_plain(tmp_path / "model")
    broken = torch.tensor(load_file(model / "model.safetensors")["transformer.h.1.mlp.c_fc.weight"])
    broken[0, 0] = torch.nan
    tiny.edit_weights(model, transformer__h__1__mlp__c_fc__weight=broken)
    env, words = {CACHE_VARIABLE: str(tmp_path / "cache")}, ("cannot be trusted", "h.1.mlp.c_fc.weight")
    part = ("--no-recorded", "--layers", "0", "--claims")
    weights = warm.claims(model, tmp_path / "part", *part, "mlp-out-artifacts", env=env)
    assert len(weights.results) == 1 and "cannot be trusted" not in weights.output
    for place, options in enumerate(((*part, "attention-next-token"), ("-k", "mlp-out-artifacts"))):
        assert_refused(warm.claims(model, tmp_path / str(place), *options, env=env), *words)


@pytest.mark.slow
def test_the_rest_of_the_trace_is_shown_if_it_is_asked_for(plain: Path, warm: Server, tmp_path: Path) -> None:
    env = plugin(tmp_path, "unloadable", UNLOADABLE.format(bases="('processed',)"))
    run = warm.claims(plain, tmp_path / "report", *ONLY, "-p", "unloadable", "--full-trace", env=env)
    assert run.code == 4 and "INTERNALERROR" not in run.output
    assert "Traceback" in run.output and "in broken" in run.output


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "basis"), [((), "processed"), ((), "raw"), (("-n", "2"), "raw")], ids=str)
def test_a_basis_that_cannot_be_loaded_leaves_the_other_one(
    processes: tuple[str, ...], basis: str, plain: Path, warm: Server, tmp_path: Path
) -> None:
    env = plugin(tmp_path, "unloadable", UNLOADABLE.format(bases=f"({basis!r},)"))
    run = warm.claims(plain, tmp_path / "report", *ONLY, "--basis", "both", "-p", "unloadable", *processes, env=env)
    assert run.code == 4 and "INTERNALERROR" not in run.output and "Traceback" not in run.output
    assert len(run.results) == 3 and {result["basis"] for result in run.results.values()} == {"processed", "raw"} - {
        basis
    }
    messages = [line for line in run.output.splitlines() if line.startswith("ERROR: ")]
    assert len(messages) == 1 and all(word in messages[0] for word in (*WORDS, f"in the {basis} basis"))
    crashed = run.document["environment"]["crashed"]
    assert len(crashed) == 3 and all(f".{basis}" in one["test"] for one in crashed)
    assert any("header too large" in one["message"] for one in crashed)


@pytest.mark.slow
def test_what_was_measured_before_a_basis_could_not_be_loaded_is_kept(
    plain: Path, warm: Server, tmp_path: Path
) -> None:
    cache = {CACHE_VARIABLE: str(tmp_path / "cache")}
    env = plugin(tmp_path, "unloadable", UNLOADABLE.format(bases="('raw',)"))
    warm.claims(plain, tmp_path / "one", *ONLY, "--basis", "both", "-p", "unloadable", env=env | cache)
    run = warm.claims(plain, tmp_path / "two", *ONLY, "--basis", "both", env=cache)
    assert len(run.results) == 6 and "3 of 6 results taken from the cache" in run.output


NO_FORWARD_PASS = """
from transformer_lens.model_bridge import TransformerBridge


def run_with_cache(self, *arguments, **options):
    raise RuntimeError("The size of tensor a (12) must match")


TransformerBridge.run_with_cache = run_with_cache
"""


@pytest.mark.slow
def test_a_forward_pass_that_fails_in_a_library_is_not_checked_and_tried_again(
    plain: Path, warm: Server, tmp_path: Path
) -> None:
    only = ("--no-recorded", "-rA", "--basis", "raw", "--claims", "embedding-mean-zero,residual-*")
    env = plugin(tmp_path, "no_forward_pass", NO_FORWARD_PASS) | {CACHE_VARIABLE: str(tmp_path / "cache")}
    run = warm.claims(plain, tmp_path / "one", *only, "-p", "no_forward_pass", env=env)
    assert run.code == 0, run.output
    assert run.results.pop("embedding-mean-zero/raw")["verdict"] == "holds"
    assert len(run.results) == 2
    for result in run.results.values():
        assert result["verdict"] == "not-checked"
        assert "RuntimeError: The size of tensor a (12) must match" in result["reason"]
    again = warm.claims(plain, tmp_path / "two", *only, env=env)
    assert "1 of 3 results taken from the cache" in again.output
    assert "not-checked" not in {result["verdict"] for result in again.results.values()}


SUBJECT = Subject("embedding-mean-zero", "raw")


def test_a_file_that_is_gone_while_the_claims_run_is_a_message_and_not_a_verdict(tmp_path: Path) -> None:
    def measure(bench: Workbench, subject: Subject) -> Measurement:
        content_sha256(tmp_path / "gone" / "model.gguf")
        raise AssertionError("unreachable")

    with pytest.raises(ModelError, match=r"could not be loaded in the raw basis: FileNotFoundError: .*gone"):
        measure_subject(Workbench("a model"), SUBJECT, measure, {})


@pytest.mark.parametrize("fault", [OSError("disk"), RuntimeError("shapes"), KeyError("W_E")])
def test_an_error_of_a_measure_stays_an_error(fault: Exception) -> None:
    def measure(bench: Workbench, subject: Subject) -> Measurement:
        raise fault

    with pytest.raises(type(fault)) as caught:
        measure_subject(Workbench("a model"), SUBJECT, measure, {})
    assert caught.value is fault


def test_only_the_first_line_of_an_error_is_said_and_without_control_characters() -> None:
    assert first_line(ValueError("\n one\x1b[2J two.\nthree")) == r"ValueError: one\x1b[2J two"
    assert first_line(MemoryError()) == "MemoryError"
    assert len(first_line(ValueError("x" * 10_000))) < 400
