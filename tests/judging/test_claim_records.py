"""claims.toml: the records that are there, and how wrong ones are refused."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import pytest

from fixtures.claim_tests import claim_tests
from vsa_checks.errors import UsageError
from vsa_checks.judging.claim import MOST_BYTES, Claim, Null, load_claims, load_nulls, read_claims, read_nulls
from vsa_checks.sections.stand_ins import SIGN_NULLS

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

[[null]]
name = "random directions"
keeps = "nothing"
destroys = "all"
"""
CLAIM, NULLS = RECORD[: RECORD.index("[[null]]")], RECORD[RECORD.index("[[null]]") :]


def read(tmp_path: Path, content: str) -> dict[str, Claim]:
    path = tmp_path / "claims.toml"
    path.write_text(content, encoding="utf-8")
    return read_claims(path)


def test_every_field_of_a_record_is_read(tmp_path: Path) -> None:
    (one,) = read(tmp_path, RECORD).values()
    fields = tomllib.loads(RECORD)["claim"][0]
    assert vars(one) == fields | {name: tuple(fields[name]) for name in ("decisive", "needs")}


def test_records_keep_the_order_of_the_file(tmp_path: Path) -> None:
    claims = read(tmp_path, CLAIM.replace('"one"', '"z"') + RECORD)
    assert list(claims) == ["z", "one"]


def changed(old: str, new: str) -> str:
    assert RECORD.count(old) == 1
    return RECORD.replace(old, new)


WRONG: dict[str, tuple[str | bytes, str]] = {
    "an unknown direction": (changed('"<="', '"<"'), "line 9.*'<' for claim.0.direction: .*'<=' or '>='"),
    "an unknown unit": (changed('"reference"', '"sqrt(d)"'), r"line 11.*'sqrt\(d\)' for claim.0.threshold_unit"),
    "an unknown origin": (changed('"paper"', '"theirs"'), "line 12.*'theirs' for claim.0.threshold_origin"),
    "an unknown primary": (changed('"layer-0"', '"layer-1"'), "line 16.*'layer-1' for claim.0.primary"),
    "unknown subjects": (changed('"mlp-in"', '"mlp-put"'), "line 17.*'mlp-put' for claim.0.subjects"),
    "an unknown need": (changed('["text"]', '["text", "luck"]'), "line 18.*'luck' for claim.0.needs.1"),
    "a decisive null without its record": (
        changed('"another"]', '"an other"]'),
        r"\(line 15\) gives one the decisive null 'an other', but no \[\[null\]\]",
    ),
    "decisive nulls that are no list": (changed('["random directions", "another"]', '"another"'), "line 15.*decisive"),
    "a threshold that is no number": (
        changed("threshold = 0.5", "threshold = nan"),
        "line 10.*nan for .*threshold",
    ),
    "an infinite delta": (changed("delta = 0.05", "delta = inf"), "line 14.*inf for claim.0.delta"),
    "a delta below zero": (changed("delta = 0.05", "delta = -0.05"), "line 14.*-0.05 for claim.0.delta"),
    "an alpha above one": (changed("alpha = 0.01", "alpha = 5"), "line 13.*5 for claim.0.alpha"),
    "a threshold in quotes": (changed("threshold = 0.5", 'threshold = "0.5"'), "line 10.*'0.5' for claim.0.threshold"),
    "a threshold that is a truth": (changed("threshold = 0.5", "threshold = true"), "line 10.*claim.0.threshold"),
    "a version in words": (changed("version = 2", 'version = "two"'), "line 4.*'two' for claim.0.version"),
    "an id that is a number": (changed('id = "one"', "id = 1"), "line 3.*1 for claim.0.id"),
    "an id that no report can hold": (changed('id = "one"', 'id = "o\\u001b[2J/ne"'), "line 3.*claim.0.id"),
    "the same id twice": (RECORD + CLAIM, r"\(line 32\) has the claim one twice"),
    "the same null twice": (RECORD + NULLS, r"\(line 31\) has the null another twice"),
    "a field missing": (changed('metric = "a number"\n', ""), "line 2.*lacks claim.0.metric"),
    "an unknown field": (changed("version", 'treshold = "1"\nversion'), "line 4.*unknown claim.0.treshold"),
    "no id": (changed('id = "one"\n', ""), "line 2.*lacks claim.0.id"),
    "a null that keeps nothing": (changed('keeps = "lengths"\n', ""), "line 21.*lacks null.0.keeps"),
    "no nulls": (CLAIM, "lacks null"),
    "one claim that is a table": ("[claim]\nid = 'one'\n" + NULLS, "for claim: input should be a valid list"),
    "claims that are numbers": ("claim = [1]\n" + NULLS, "gives 1 for claim.0"),
    "nothing": ("", "lacks claim"),
    "no TOML": (RECORD + "= 4", r"cannot be read as TOML .*at line \d+"),
    "no text": (b"\xff\xfe", "is not UTF-8 text"),
    "lists without end": ("claim = " + "[" * 5000 + "]" * 5000, "levels of nested lists"),
    "more than anyone writes": (RECORD + "#" * MOST_BYTES, "is longer than"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_records_are_refused_by_place_and_with_the_remedy(case: str, tmp_path: Path) -> None:
    content, message = WRONG[case]
    path = tmp_path / "claims.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    for reader in (read_claims, read_nulls):
        with pytest.raises(UsageError, match=message) as caught:
            reader(path)
        told = str(caught.value)
        assert told.startswith(f"The claims file {path} ")
        assert "\n" not in told and told.count(". ") == 1 and len(told) < 600, told


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml cannot be read \(No such file or directory\)"):
        read_claims(tmp_path / "none.toml")


def test_a_pipe_in_its_place_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "claims.toml")
    with pytest.raises(UsageError, match="is a pipe"):
        read_claims(tmp_path / "claims.toml")


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
        assert (claim.primary, claim.decisive, claim.alpha) == ("none", ("Gaussian matrices", "random signs"), 0.01)
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
    assert read_nulls(path)["another"] == Null("another", "lengths", "directions")


def test_each_decisive_null_says_what_it_keeps_and_each_claim_with_one_what_would_fool_it() -> None:
    named = {name for claim in load_claims().values() for name in claim.decisive}
    assert named <= set(load_nulls())
    assert all(null.keeps and null.destroys for null in load_nulls().values())
    assert {claim.id for claim in load_claims().values() if claim.decisive} == {
        claim.id for claim in load_claims().values() if claim.fooled_by
    }
