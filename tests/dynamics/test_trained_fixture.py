"""The trained model that ships: it answers its language's questions and holds its concepts, and its twin does not."""

from __future__ import annotations

from pathlib import Path

import pytest

import vsa_checks
from dynamics import keep
from dynamics.answers import and_table, answers
from dynamics.concepts import READING, conjunction, recover
from dynamics.grammar import PLACEBO, Grammar
from dynamics.measuring import _module
from vsa_checks.paths import FIXTURES

pytestmark = pytest.mark.slow
FOLDER = FIXTURES / "trained" / "grammar-gpt2"


def test_the_trained_model_answers_and_holds_the_concepts() -> None:
    grammar = Grammar()
    with _module(FOLDER) as module:
        found = answers(module, grammar, 64, 1, 300)
    assert min(found.values()) > 0.9
    model = vsa_checks.load(FOLDER)
    rows = model.array("embed.W_E")
    ids = {word: at for at, word in enumerate(grammar.words())}
    neurons = model.array("blocks.0.mlp.W_in").T
    held = recover(neurons, rows - rows.mean(axis=0), grammar.concepts(), ids.__getitem__, 0, 399)[READING]
    by_kind = {kind: [one.recovered for one in held if one.kind == kind] for kind in {one.kind for one in held}}
    for kind in ("noun category", "verb category", "adjective category", "or set"):
        assert all(by_kind[kind]), kind
    assert not any(by_kind[PLACEBO])
    in_set = [grammar.in_and_set(category) for category in range(16)]
    assert conjunction(and_table(model, grammar, 1), in_set, 0).p < 0.005


def test_keeping_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert keep.main([str(FOLDER), str(tmp_path)]) == 0
    for name in ("model.safetensors", "tokenizer.json"):
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes()
    with pytest.raises(SystemExit):
        keep.main([str(tmp_path / "nowhere"), str(tmp_path)])
    assert "is no checkpoint" in capsys.readouterr().err
