"""Subjects: their ids, which of them are primary, and that a model has each once."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from vsa_checks.judging.claim import Claim, load_claims
from vsa_checks.judging.subjects import Subject, enumerate_subjects, mlp_inputs
from vsa_checks.models import Basis


@dataclass(frozen=True)
class Shape:
    n_layers: int
    gated: bool


PLAIN, GATED = Shape(12, gated=False), Shape(30, gated=True)


def ids(name: str, shape: Shape, bases: tuple[Basis, ...] = ("raw",)) -> list[str]:
    return [subject.id for subject in enumerate_subjects(load_claims()[name], shape, bases)]


def test_ids_are_those_of_the_contract() -> None:
    assert Subject("mlp-out-artifacts", "raw", 15).id == "mlp-out-artifacts/raw/L15"
    assert (
        Subject("attention-near-orthogonal", "processed", 0, "W_Q").id == "attention-near-orthogonal/processed/L0/W_Q"
    )
    assert Subject("embedding-mean-zero", "raw").id == "embedding-mean-zero/raw"
    assert Subject("attention-near-orthogonal", "processed", 0, "W_Q").test_id == (
        "attention-near-orthogonal.processed.L0.W_Q"
    )


def test_the_contracts_examples_are_enumerated() -> None:
    assert "mlp-out-artifacts/raw/L15" in ids("mlp-out-artifacts", GATED)
    assert "attention-near-orthogonal/processed/L0/W_Q" in ids("attention-near-orthogonal", PLAIN, ("processed",))


@pytest.mark.parametrize(
    ("name", "plain", "gated"),
    [
        ("embedding-mean-zero", ["embedding-mean-zero/raw"], ["embedding-mean-zero/raw"]),
        ("neurons-table1", ["neurons-table1/raw"], ["neurons-table1/raw"]),
        ("mlp-out-artifacts", ["mlp-out-artifacts/raw/L0", "mlp-out-artifacts/raw/L1"], None),
        ("attention-ov-isometry", ["attention-ov-isometry/raw/L0", "attention-ov-isometry/raw/L1"], None),
        (
            "attention-artifacts",
            [
                f"attention-artifacts/raw/L{layer}/{matrix}"
                for layer in (0, 1)
                for matrix in ("W_Q", "W_K", "W_V", "W_O")
            ],
            None,
        ),
        (
            "neurons-cos50",
            ["neurons-cos50/raw/L0/W_in"],
            ["neurons-cos50/raw/L0/W_gate", "neurons-cos50/raw/L0/W_in"],
        ),
        ("neuron-or", ["neuron-or/raw/L0/W_in"], ["neuron-or/raw/L0/W_gate"]),
        ("residual-components", ["residual-components/raw"], None),
        ("attention-rebinds", ["attention-rebinds/raw/L0", "attention-rebinds/raw/L1"], None),
        (
            "neurons-beyond-chance",
            ["neurons-beyond-chance/raw/L0/W_in", "neurons-beyond-chance/raw/L1/W_in"],
            [f"neurons-beyond-chance/raw/L{layer}/{matrix}" for layer in (0, 1) for matrix in ("W_gate", "W_in")],
        ),
    ],
)
def test_subjects_of_a_model_of_two_layers(name: str, plain: list[str], gated: list[str] | None) -> None:
    assert ids(name, Shape(2, gated=False)) == plain
    assert ids(name, Shape(2, gated=True)) == (plain if gated is None else gated)


def test_a_gated_mlp_reads_through_two_matrices() -> None:
    assert mlp_inputs(GATED) == ("W_gate", "W_in")
    assert mlp_inputs(PLAIN) == ("W_in",)


def test_primary_subjects() -> None:
    def primary(name: str) -> list[str]:
        return [s.id for s in enumerate_subjects(load_claims()[name], Shape(3, gated=True), ("raw",)) if s.primary]

    assert primary("neurons-beyond-chance") == [f"neurons-beyond-chance/raw/L0/{m}" for m in ("W_gate", "W_in")]
    assert primary("neurons-cos50") == [f"neurons-cos50/raw/L0/{m}" for m in ("W_gate", "W_in")]
    assert primary("attention-beyond-random") == primary("mlp-out-beyond-random") == []
    for name in ("embedding-mean-zero", "attention-artifacts", "mlp-out-near-orthogonal", "attention-qk-isometry"):
        assert primary(name) == ids(name, Shape(3, gated=True))


@pytest.mark.parametrize("shape", [PLAIN, GATED, Shape(1, gated=False)])
def test_every_subject_of_a_model_is_one_subject(shape: Shape) -> None:
    choices: tuple[tuple[Basis, ...], ...] = (("raw",), ("processed", "raw"))
    for bases in choices:
        subjects = [s for claim in load_claims().values() for s in enumerate_subjects(claim, shape, bases)]
        assert len({s.id for s in subjects}) == len({s.test_id for s in subjects}) == len(subjects)
        assert {s.basis for s in subjects} == set(bases)
        for subject in subjects:
            assert re.fullmatch(r"[a-z0-9-]+/(raw|processed)(/L\d+)?(/(W_\w+|OV))?", subject.id)
            assert re.fullmatch(r"[A-Za-z0-9._-]+", subject.test_id), "pytest-html does not escape ids"


def test_both_bases_without_saying_so() -> None:
    claim = load_claims()["mlp-out-artifacts"]
    found = [s.id for s in enumerate_subjects(claim, Shape(1, gated=False))]
    assert sorted(found) == ["mlp-out-artifacts/processed/L0", "mlp-out-artifacts/raw/L0"]


def test_an_unknown_kind_of_subject_is_an_error(make_claim: Callable[..., Claim]) -> None:
    with pytest.raises(ValueError, match="'heads', which no model has"):
        enumerate_subjects(make_claim(subjects="heads"), PLAIN)
