"""Commands on the page, as a shell reads them."""

import os
import shlex
import subprocess
from dataclasses import replace

import pytest

from tests.report import factory
from tests.report.factory import INFO, Json, plain, result
from vsa_checks.report.commands import claim_commands, model_argument, shell

WORDS = ["a b", "it's", "$(x)`y`", "a\nb", "\u202eabc", "-x", "\\n'\t", "é", '*?;&|<>"#!~', "back\\slash", "\x1b[2J"]


def as_bash_reads(words: str) -> list[str]:
    command = f"printf '%s\\0' {words}"
    found = subprocess.run(["bash", "-c", command], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"})
    return [os.fsdecode(one) for one in found.stdout.split(b"\0")[:-1]]


def test_any_word_reaches_its_program_as_it_is_and_shows_what_it_holds() -> None:
    words = [*WORDS, os.fsdecode(b"not-\xff-utf8")]
    written = [shell(word) for word in words]
    assert as_bash_reads(" ".join(written)) == words
    assert all(word.isprintable() for word in written)


@pytest.mark.parametrize(
    ("given", "named"),
    [("/m/a b", "'/m/a b'"), ("m", "./m"), ("-m/x", "./-m/x"), ("../m", "../m"), ("./m", "./m"), ("~/m", "'./~/m'")],
)
def test_a_path_is_no_option_and_no_name(given: str, named: str) -> None:
    assert model_argument({"source": "path", "name": "m", "location": given}) == named


def commands(document: Json) -> list[list[str]]:
    return [shlex.split(command) for _, command in claim_commands("claim-a", document["results"], document)]


def test_a_claim_is_measured_again_as_it_was() -> None:
    claim = plain()
    one = factory.document([result(claim, 0.7, layer=3, matrix="W_in")], [claim])
    assert commands(one) == [
        ["vsa-checks", "run", "--model", "smollm2-135m", "--claims", "claim-a"],
        ["vsa-checks", "table", "results.json", "--claims", "claim-a", "--layers", "all"],
        ["vsa-checks", "explain", "smollm2-135m", "3", "0", "--matrix", "W_in", "--basis", "processed"],
    ]
    by_path = replace(INFO, source="path", location="my models/it's")
    rows = [result(claim, 0.7, layer=0, matrix="W_Q", basis="raw")]
    text = {"name": "a b.txt", "sha256": "0" * 64, "tokens": 9}
    assert commands(factory.document(rows, [claim], by_path, seed=5, text=text))[0] == [
        *("vsa-checks", "run", "--model", "./my models/it's", "--basis", "raw", "--seed", "5"),
        *("--text", "a b.txt", "--claims", "claim-a"),
    ]
