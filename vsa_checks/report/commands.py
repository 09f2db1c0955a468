"""Commands that a reader can copy from the page into a shell, safe for any model name or path."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from vsa_checks.report.escaping import visible

READ_BY_NEURONS = ("W_in", "W_gate")
DEFAULT_BASIS = "processed"
OWN_TEXT = "fixtures/texts"
"""The text that a run reads without --text."""
_PLAIN_ESCAPES = {"\n": r"\n", "\t": r"\t", "\r": r"\r", "\\": r"\\", "'": r"\'"}


def shell(word: str) -> str:
    r"""One word for a POSIX shell. With characters that would not show it is $'...', which bash, zsh and ksh read."""
    if visible(word) == word:
        return shlex.quote(word)
    return "$'" + "".join(_written_out(one) for one in word) + "'"


def model_argument(model: Mapping[str, Any]) -> str:
    """How the model is named on a command line: its path, or else its name."""
    name: str = model["name"]
    if model["source"] == "path":
        name = model.get("location") or name
        # Never an option, and never taken for a name.
        name = name if name.startswith(("/", "./", "../")) else f"./{name}"
    return shell(name)


def claim_commands(claim: str, results: Sequence[Mapping[str, Any]], document: Mapping[str, Any]) -> list[list[str]]:
    """Pairs of what a command does and the command itself: measure the claim again, its table, one of its neurons."""
    model, environment = model_argument(document["model"]), document["environment"]
    bases = sorted({result["basis"] for result in results})
    basis = "both" if len(bases) > 1 else bases[0]
    options = "" if basis == DEFAULT_BASIS else f" --basis {shell(basis)}"
    seed = f" --seed {environment['seed']}" if environment["seed"] else ""
    text = environment.get("text")
    read = f" --text {shell(text['name'])}" if text and text["name"] != OWN_TEXT else ""
    name = shell(claim)
    found = [
        ["measure this claim again", f"vsa-checks run --model {model}{options}{seed}{read} --claims {name}"],
        ["get its table, in the folder of this page", f"vsa-checks table results.json --claims {name} --layers all"],
    ]
    neurons = [r["subject"] for r in results if r["subject"]["matrix"] in READ_BY_NEURONS]
    if neurons and neurons[0]["layer"] is not None:
        one = neurons[0]
        expert = "" if one.get("expert") is None else f" --expert {one['expert']}"
        place = f"{one['layer']} 0 --matrix {shell(one['matrix'])}{expert} --basis {shell(bases[0])}{seed}"
        found.append(["see the tokens of one neuron, here number 0", f"vsa-checks explain {model} {place}"])
    return found


def _written_out(character: str) -> str:
    if character in _PLAIN_ESCAPES:
        return _PLAIN_ESCAPES[character]
    if visible(character) == character:
        return character
    try:  # a half of a character may stand for a byte of a file's name that is no text
        content = character.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        content = character.encode("utf-8", "surrogatepass")
    return "".join(f"\\x{byte:02x}" for byte in content)
