"""claims.toml: the records that are there, and how wrong ones are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vsa_checks.errors import UsageError
from vsa_checks.judging.claim import Claim, load_claims, read_claims
from vsa_checks.paths import CLAIMS_FILE

RECORD = """
[[claim]]
id = "one"
version = 2
section = "3.1"
title = "A title"
statement = "A statement."
metric = "a figure"
direction = "<="
threshold = 0.5
threshold_unit = "reference"
threshold_origin = "paper"
alpha = 0.01
delta = 0.05
decisive = ["random directions", "another"]
primary = "layer-0"
subjects = "mlp-in"
needs = ["text"]
"""


def read(tmp_path: Path, content: str) -> dict[str, Claim]:
    path = tmp_path / "claims.toml"
    path.write_text(content, encoding="utf-8")
    return read_claims(path)


def test_every_field_of_a_record_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, RECORD) == {
        "one": Claim(
            id="one",
            version=2,
            section="3.1",
            title="A title",
            statement="A statement.",
            metric="a figure",
            direction="<=",
            threshold=0.5,
            threshold_unit="reference",
            threshold_origin="paper",
            primary="layer-0",
            subjects="mlp-in",
            alpha=0.01,
            delta=0.05,
            decisive=("random directions", "another"),
            needs=("text",),
        )
    }


def test_records_keep_the_order_of_the_file(tmp_path: Path) -> None:
    claims = read(tmp_path, RECORD.replace('"one"', '"z"') + RECORD)
    assert list(claims) == ["z", "one"]


WRONG: dict[str, tuple[Callable[[str], str], str]] = {
    "an unknown direction": (
        lambda r: r.replace('"<="', '"<"'),
        r"Claim one: direction is '<', and must be one of <=, >=",
    ),
    "an unknown unit": (lambda r: r.replace('"reference"', '"sqrt(d)"'), "threshold_unit is 'sqrt"),
    "an unknown origin": (lambda r: r.replace('"paper"', '"theirs"'), "threshold_origin is 'theirs'"),
    "an unknown primary": (lambda r: r.replace('"layer-0"', '"layer-1"'), "primary is 'layer-1'"),
    "the same id twice": (lambda r: r + r, "Claim one stands twice"),
    "a field missing": (lambda r: r.replace('metric = "a figure"\n', ""), "Claim one .* does not fit.*metric"),
    "an unknown field": (lambda r: r + 'treshold = "1"\n', "Claim one .* does not fit.*treshold"),
    "no id": (lambda r: r.replace('id = "one"\n', ""), r"Claim \? .* does not fit"),
    "no claims": (lambda r: "", "cannot be read"),
    "no TOML": (lambda r: r + "= 4", "cannot be read"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_records_are_refused(case: str, tmp_path: Path) -> None:
    change, message = WRONG[case]
    with pytest.raises(UsageError, match=message):
        read(tmp_path, change(RECORD))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml cannot be read"):
        read_claims(tmp_path / "none.toml")


# --- the records of this project ------------------------------------------------------------------------------


def test_the_claims_on_weights_are_those_of_the_design() -> None:
    wanted = {
        "embedding-mean-zero": ("2.1", "<=", 0.05, "1", "ours"),
        "embedding-component-mean": ("2.1", "<=", 0.05, "1", "ours"),
        "embedding-near-orthogonal": ("3.1", "<=", 2.0, "1/sqrt(d_model)", "ours"),
        "embedding-near-orthogonal-centered": ("3.1", "<=", 2.0, "1/sqrt(d_model)", "ours"),
        "embedding-artifacts": ("3.1", "<=", 0.01, "1", "ours"),
        "embedding-artifacts-centered": ("3.1", "<=", 0.01, "1", "ours"),
        "attention-near-orthogonal": ("3.1", "<=", 2.0, "1/sqrt(d_model)", "ours"),
        "attention-artifacts": ("3.1", "<=", 0.01, "1", "ours"),
        "attention-beyond-random": ("3.1", "<=", 0.95, "1", "ours"),
        "mlp-out-near-orthogonal": ("3.1", "<=", 2.0, "1/sqrt(d_model)", "ours"),
        "mlp-out-artifacts": ("3.1", "<=", 0.01, "1", "ours"),
        "mlp-out-beyond-random": ("3.1", "<=", 0.95, "1", "ours"),
        "attention-ov-isometry": ("2.2", ">=", 0.9, "reference", "ours"),
        "attention-qk-isometry": ("2.2", ">=", 0.9, "reference", "ours"),
        "neurons-cos50": ("3.2", ">=", 0.8, "1", "paper"),
        "neurons-cos30": ("3.2", ">=", 0.95, "1", "paper"),
        "neurons-beyond-chance": ("3.2", ">=", 0.05, "1", "ours"),
        "neurons-table1": ("3.2", "<=", 0.03, "1", "paper"),
    }
    claims = load_claims()
    found = {
        name: (claim.section, claim.direction, claim.threshold, claim.threshold_unit, claim.threshold_origin)
        for name, claim in claims.items()
        if name in wanted
    }
    assert found == wanted


def test_the_claims_on_activations_are_those_of_the_design() -> None:
    wanted = {
        "attention-rebinds": ("2.2", ">=", 0.02, "1", ("another source of the context",)),
        "attention-next-token": ("2.2", ">=", 0.05, "1", ("shuffled next token",)),
        "neuron-or": ("2.4", ">=", 0.5, "1", ("Gaussian neurons", "covariance-matched neurons")),
        "neuron-and": ("2.4", ">=", 0.05, "1", ("Gaussian neurons", "covariance-matched neurons")),
        "residual-keeps-token": ("2", "<=", 10.0, "1", ("shuffled tokens",)),
        "residual-components": ("2", "<=", 2.0, "1/sqrt(d_model)", ()),
    }
    found = {
        name: (claim.section, claim.direction, claim.threshold, claim.threshold_unit, claim.decisive)
        for name, claim in load_claims().items()
        if name in wanted
    }
    assert found == wanted
    for name in wanted:
        assert "text" in load_claims()[name].needs and load_claims()[name].threshold_origin == "ours"


@pytest.mark.parametrize("name", ["neurons-cos50", "neurons-cos30", "neurons-beyond-chance"])
def test_neuron_claims_must_beat_neurons_of_the_same_covariance(name: str) -> None:
    claim = load_claims()[name]
    assert "covariance-matched neurons" in claim.decisive
    assert (claim.delta, claim.primary) == (0.05, "layer-0")


def test_claims_that_exceed_the_paper_are_not_primary_and_must_beat_gaussians() -> None:
    for name in ("attention-beyond-random", "mlp-out-beyond-random"):
        claim = load_claims()[name]
        assert (claim.primary, len(claim.decisive), claim.alpha) == ("none", 1, 0.01)
        assert "gaussian" in claim.decisive[0].lower()


def test_near_orthogonality_needs_no_null() -> None:
    """Random vectors are what VSA is made of: to be like them is no failure."""
    for name, claim in load_claims().items():
        if name.endswith(
            ("near-orthogonal", "near-orthogonal-centered", "artifacts", "artifacts-centered", "isometry")
        ):
            assert claim.decisive == (), name


def test_ids_and_texts_are_fit_for_reports() -> None:
    for name, claim in load_claims().items():
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-"), name
        assert claim.title and claim.metric and claim.statement.endswith("."), name
        assert claim.version >= 1 and 0 < claim.alpha <= 0.05, name


def test_each_claim_is_judged_by_one_test_in_the_module_of_its_section() -> None:
    marks = {}
    for module in CLAIMS_FILE.parent.glob("test_*.py"):
        for line in module.read_text(encoding="utf-8").splitlines():
            if line.startswith("@pytest.mark.claim("):
                name = line.split('"')[1]
                assert name not in marks, name
                marks[name] = module.name
    assert marks.keys() == load_claims().keys()
    for name, found_in in marks.items():
        assert found_in.startswith(f"test_{load_claims()[name].section.replace('.', '_')}_"), name
