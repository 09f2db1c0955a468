"""Subjects: their ids, which of them are primary, and that a model has each once."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests.claims_at_hand import a_claim
from vsa_checks.judging.claim import load_claims
from vsa_checks.judging.subjects import Subject, enumerate_subjects, mlp_inputs
from vsa_checks.models import Basis, ModelInfo, describe

PLAIN, GATED = describe("gpt2"), describe("smollm2-135m")


def ids(name: str, shape: ModelInfo, bases: tuple[Basis, ...] = ("raw",)) -> list[str]:
    return [subject.id for subject in enumerate_subjects(load_claims()[name], shape, bases)]


def test_ids_are_those_of_the_contract() -> None:
    queries = Subject("attention-near-orthogonal", "processed", 0, "W_Q")
    assert queries.id == "attention-near-orthogonal/processed/L0/W_Q"
    assert queries.test_id == "attention-near-orthogonal.processed.L0.W_Q"
    assert Subject("embedding-mean-zero", "raw").id == "embedding-mean-zero/raw"
    assert "mlp-out-artifacts/raw/L15" in ids("mlp-out-artifacts", GATED)
    assert queries.id in ids("attention-near-orthogonal", PLAIN, ("processed",))


@pytest.mark.parametrize(
    ("name", "plain", "gated"),
    [
        ("embedding-mean-zero", [""], None),
        ("neurons-table1", [""], None),
        ("residual-components", [""], None),
        ("mlp-out-artifacts", ["/L0", "/L1"], None),
        ("attention-ov-isometry", ["/L0", "/L1"], None),
        ("attention-rebinds", ["/L0", "/L1"], None),
        ("attention-artifacts", [f"/L{layer}/W_{letter}" for layer in (0, 1) for letter in "QKVO"], None),
        ("binding-preserves-similarity", [f"/L{at}/{name}" for at in (0, 1) for name in ("W_Q", "W_K", "OV")], None),
        ("neurons-cos50", ["/L0/W_in"], ["/L0/W_gate", "/L0/W_in"]),
        ("neuron-or", ["/L0/W_in"], ["/L0/W_gate"]),
        ("circuits-mlp-to-mlp", ["/W_in"], ["/W_gate", "/W_in"]),
        ("neurons-beyond-chance", ["/L0/W_in", "/L1/W_in"], ["/L0/W_gate", "/L0/W_in", "/L1/W_gate", "/L1/W_in"]),
    ],
)
def test_subjects_of_a_model_of_two_layers(name: str, plain: list[str], gated: list[str] | None) -> None:
    assert ids(name, replace(PLAIN, n_layers=2)) == [f"{name}/raw{place}" for place in plain]
    assert ids(name, replace(GATED, n_layers=2)) == [f"{name}/raw{place}" for place in gated or plain]
    assert (mlp_inputs(PLAIN), mlp_inputs(GATED)) == (("W_in",), ("W_gate", "W_in"))


def test_primary_subjects() -> None:
    def primary(name: str) -> list[str]:
        return [s.id for s in enumerate_subjects(load_claims()[name], GATED, ("raw",)) if s.primary]

    assert primary("neurons-beyond-chance") == [f"neurons-beyond-chance/raw/L0/{m}" for m in ("W_gate", "W_in")]
    assert primary("neurons-cos50") == [f"neurons-cos50/raw/L0/{m}" for m in ("W_gate", "W_in")]
    assert primary("attention-beyond-random") == primary("mlp-out-beyond-random") == []
    for name in ("embedding-mean-zero", "attention-artifacts", "mlp-out-near-orthogonal", "attention-qk-isometry"):
        assert primary(name) == ids(name, GATED)


@pytest.mark.parametrize("shape", [PLAIN, GATED, replace(PLAIN, n_layers=1)])
def test_every_subject_of_a_model_is_one_subject(shape: ModelInfo) -> None:
    for bases in (("raw",), ("processed", "raw"), None):
        given = () if bases is None else (bases,)
        subjects = [s for claim in load_claims().values() for s in enumerate_subjects(claim, shape, *given)]
        assert len({s.id for s in subjects}) == len({s.test_id for s in subjects}) == len(subjects)
        assert {s.basis for s in subjects} == set(bases or ("processed", "raw"))
        for subject in subjects:
            assert re.fullmatch(r"[a-z0-9-]+/(raw|processed)(/L\d+)?(/(W_\w+|OV))?", subject.id)
            assert re.fullmatch(r"[A-Za-z0-9._-]+", subject.test_id), "pytest-html does not escape ids"


def test_an_unknown_kind_of_subject_is_an_error() -> None:
    with pytest.raises(ValueError, match="'heads', which does not exist in any model"):
        enumerate_subjects(a_claim(subjects="heads"), PLAIN)
