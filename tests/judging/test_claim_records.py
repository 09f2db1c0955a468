"""claims.toml: the records that are there, and how wrong ones are refused."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures.claim_tests import claim_tests
from vsa_checks.errors import UsageError
from vsa_checks.judging.claim import Claim, Null, load_claims, load_nulls, read_claims, read_nulls
from vsa_checks.sections.beyond_chance import SIGN_NULLS

RECORD = """
[[claim]]
id = "one"
version = 2
section = "3.1"
title = "A title"
statement = "A statement."
metric = "a number"
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
fooled_by = "What else would do."

[[null]]
name = "another"
keeps = "lengths"
destroys = "directions"
"""


def read(tmp_path: Path, content: str) -> dict[str, Claim]:
    path = tmp_path / "claims.toml"
    path.write_text(content, encoding="utf-8")
    return read_claims(path)


def test_every_field_of_a_record_is_read(tmp_path: Path) -> None:
    (one,) = read(tmp_path, RECORD).values()
    fields = tomllib.loads(RECORD)["claim"][0]
    assert vars(one) == fields | {name: tuple(fields[name]) for name in ("decisive", "needs")}


def test_records_keep_the_order_of_the_file(tmp_path: Path) -> None:
    claims = read(tmp_path, RECORD.replace('"one"', '"z"') + RECORD)
    assert list(claims) == ["z", "one"]


WRONG: dict[str, tuple[Callable[[str], str], str]] = {
    "an unknown direction": (
        lambda r: r.replace('"<="', '"<"'),
        "Claim one: direction is '<', and must be one of <=, >=",
    ),
    "an unknown unit": (lambda r: r.replace('"reference"', '"sqrt(d)"'), "threshold_unit is 'sqrt"),
    "an unknown origin": (lambda r: r.replace('"paper"', '"theirs"'), "threshold_origin is 'theirs'"),
    "an unknown primary": (lambda r: r.replace('"layer-0"', '"layer-1"'), "primary is 'layer-1'"),
    "the same id twice": (lambda r: r + r, "Claim one stands twice"),
    "a field missing": (lambda r: r.replace('metric = "a number"\n', ""), "Claim one .* does not fit.*metric"),
    "an unknown field": (
        lambda r: r.replace("version", 'treshold = "1"\nversion'),
        "Claim one .* does not fit.*treshold",
    ),
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


def test_the_claims_are_those_of_the_design() -> None:
    wanted = """
        2.1 embedding-mean-zero <= 0.05 1 ours
        2.1 embedding-component-mean <= 0.05 1 ours
        3.1 embedding-near-orthogonal <= 2.0 1/sqrt(d_model) ours
        3.1 embedding-near-orthogonal-centered <= 2.0 1/sqrt(d_model) ours
        3.1 embedding-artifacts <= 0.01 1 ours
        3.1 embedding-artifacts-centered <= 0.01 1 ours
        3.1 attention-near-orthogonal <= 2.0 1/sqrt(d_model) ours
        3.1 attention-artifacts <= 0.01 1 ours
        3.1 attention-beyond-random >= 0.1 1 ours
        3.1 mlp-out-near-orthogonal <= 2.0 1/sqrt(d_model) ours
        3.1 mlp-out-artifacts <= 0.01 1 ours
        3.1 mlp-out-beyond-random >= 0.1 1 ours
        2.2 attention-ov-isometry >= 0.9 reference ours
        2.2 attention-qk-isometry >= 0.9 reference ours
        2.2 attention-ov-isometry-as-random >= -2.33 1 ours
        2.2 attention-qk-isometry-as-random >= -2.33 1 ours
        3.1 embedding-copies <= 0.01 1 ours
        3.2 neurons-cos50 >= 0.8 1 paper
        3.2 neurons-cos30 >= 0.95 1 paper
        3.2 neurons-beyond-chance >= 0.02 1 ours
        3.2 neurons-kurtosis >= 0.02 1 ours
        3.2 neurons-table1 <= 0.03 1 paper
        2.2 attention-rebinds >= 0.02 1 ours another source of the context, W_V on exchanged coordinates
        2.2 attention-next-token >= 0.05 1 ours shuffled next token, tokens exchanged for one another
        2.4 neuron-or >= 0.5 1 ours SIGNS
        2.4 neuron-and >= 0.05 1 ours SIGNS
        2 residual-keeps-token <= 10.0 1 ours shuffled tokens, what is added on exchanged coordinates
        2 residual-components <= 2.0 1/sqrt(d_model) ours
    """
    wanted = wanted.replace("SIGNS", ", ".join(SIGN_NULLS))
    for section, name, *rest in map(str.split, wanted.strip().splitlines()):
        claim = load_claims()[name]
        found = f"{claim.direction} {claim.threshold} {claim.threshold_unit} {claim.threshold_origin}"
        on_text = section in ("2", "2.4") or name in ("attention-rebinds", "attention-next-token")
        assert (claim.section, "text" in claim.needs) == (section, on_text), name
        assert f"{found} {', '.join(claim.decisive) if on_text else ''}".strip() == " ".join(rest), name


@pytest.mark.parametrize("name", ["neurons-cos50", "neurons-cos30"])
def test_neuron_claims_must_beat_neurons_of_the_same_covariance(name: str) -> None:
    claim = load_claims()[name]
    assert "covariance-matched neurons" in claim.decisive
    assert (claim.delta, claim.primary) == (0.05, "layer-0")


def test_neurons_beyond_chance_must_beat_exchanged_signs_on_four_sets_of_axes() -> None:
    claim = load_claims()["neurons-beyond-chance"]
    assert claim.decisive == SIGN_NULLS
    assert (claim.alpha, claim.delta, claim.primary) == (0.01, 0.01, "layer-0")


def test_kurtosis_must_beat_what_bundles_must_and_is_not_the_papers() -> None:
    claim, of_bundles = load_claims()["neurons-kurtosis"], load_claims()["neurons-beyond-chance"]
    same = ("section", "decisive", "alpha", "delta", "threshold", "direction", "subjects")
    assert [getattr(claim, one) for one in same] == [getattr(of_bundles, one) for one in same]
    assert claim.primary == "none"


def test_claims_that_exceed_the_paper_are_not_primary_and_must_beat_gaussians() -> None:
    for name in ("attention-beyond-random", "mlp-out-beyond-random"):
        claim = load_claims()[name]
        assert (claim.primary, len(claim.decisive), claim.alpha) == ("none", 1, 0.01)
        assert "gaussian" in claim.decisive[0].lower()


def test_near_orthogonality_needs_no_null() -> None:
    """Random vectors are what VSA is made of: to be like them is no failure."""
    of_vectors = [
        name for name in load_claims() if re.search("(near-orthogonal|artifacts)(-centered)?$|isometry$", name)
    ]
    assert len(of_vectors) == 10
    assert {load_claims()[name].decisive for name in of_vectors} == {()}


def test_ids_and_texts_are_fit_for_reports() -> None:
    for name, claim in load_claims().items():
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-"), name
        assert claim.title and claim.metric and claim.statement.endswith("."), name
        assert claim.version >= 1 and 0 < claim.alpha <= 0.05, name


def test_each_claim_is_checked_by_one_test_in_the_module_of_its_section() -> None:
    marked = [(name, test.name) for test in claim_tests() for name in test.claims]
    assert sorted(name for name, _ in marked) == sorted(load_claims())
    for name, test in marked:
        assert test.startswith(f"test_{load_claims()[name].section.replace('.', '_')}_"), name


def test_nulls_are_read_with_what_they_keep_and_destroy(tmp_path: Path) -> None:
    path = tmp_path / "claims.toml"
    path.write_text(RECORD, encoding="utf-8")
    assert read_nulls(path) == {"another": Null("another", "lengths", "directions")}
    for wrong, message in (
        (RECORD.replace("keeps", "holds"), "Null another .* does not fit"),
        (RECORD + RECORD[RECORD.index("[[null]]") :], "Null another stands twice"),
        (RECORD[: RECORD.index("[[null]]")], "cannot be read"),
    ):
        path.write_text(wrong, encoding="utf-8")
        with pytest.raises(UsageError, match=message):
            read_nulls(path)


def test_each_decisive_null_says_what_it_keeps_and_each_claim_with_one_what_would_fool_it() -> None:
    named = {name for claim in load_claims().values() for name in claim.decisive}
    assert named <= set(load_nulls())
    assert all(null.keeps and null.destroys for null in load_nulls().values())
    assert {claim.id for claim in load_claims().values() if claim.decisive} == {
        claim.id for claim in load_claims().values() if claim.fooled_by
    }
