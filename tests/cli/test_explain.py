"""The explanation of one neuron: what was planted is found, numbers are those of the measures, bad input is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures.planted import Planted, bound_token_neurons, planted_model
from fixtures.small_models import GATED, Sizes
from vsa_checks.bundles import greedy_pursuit, ranked_scan
from vsa_checks.cli.explain import print_explanation
from vsa_checks.cli.main import main
from vsa_checks.cli.neuron import METHODS, Method, explain
from vsa_checks.models import Model, load
from vsa_checks.orthogonality import centered


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return planted_model(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="module")
def weights(planted: Planted) -> Model:
    return load(planted.path)


def test_the_planted_bundle_is_found_beyond_both_bands(planted: Planted, weights: Model) -> None:
    for neuron in (20, 33):
        found = explain(weights, 0, neuron, max_tokens=5)
        assert {step.token for step in found.steps} == set(planted.truth.members["W_in"][neuron])
        last = found.steps[-1]
        assert last.cosine > 0.9 > max(last.random[1], last.matched[1])
        assert [step.name for step in found.steps] == [str(step.token) for step in found.steps]


@pytest.mark.parametrize("method", METHODS)
def test_tokens_and_cosines_are_those_of_the_measures(method: Method, weights: Model) -> None:
    neurons, words = weights.array("blocks.0.mlp.W_in").T, centered(weights.array("embed.W_E"))
    found = explain(weights, 0, 40, method=method, max_tokens=7)
    known = greedy_pursuit(neurons[40:41], words, 7) if method == "pursuit" else ranked_scan(neurons[40:41], words)
    assert [step.token for step in found.steps] == known.tokens(0)[:7].tolist()
    assert [step.cosine for step in found.steps] == pytest.approx(known.path(0)[:7].tolist(), abs=1e-6)
    assert found.bundle_size == known.size[0]
    for step in found.steps:
        word = words[step.token]
        expected = word @ neurons[40] / np.linalg.norm(word) / np.linalg.norm(neurons[40])
        assert step.alone == pytest.approx(expected, abs=1e-5)


def test_a_null_neuron_lies_within_its_band(tmp_path: Path) -> None:
    """Neurons of later layers hold no tokens: nine of ten of them lie in the band of random directions."""
    weights = load(planted_model(tmp_path).path, "raw")
    inside = []
    for neuron in range(40, 80):
        last = explain(weights, 1, neuron, max_tokens=3).steps[-1]
        inside.append(last.random[0] <= last.cosine <= last.random[1])
    assert 0.7 <= np.mean(inside) <= 1.0


def test_the_planted_circuit_is_read_from_both_ends(planted: Planted, weights: Model) -> None:
    for circuit in planted.truth.circuits:
        found = explain(weights, circuit.layer, circuit.neuron)
        sources = {(one.layer, one.neuron) for one in found.sources[: len(circuit.sources)]}
        assert sources == {(0, source) for source in circuit.sources}
        assert all(one.cosine > found.source_bar for one in found.sources[: len(circuit.sources)])
        assert found.promotes[0][0] == str(circuit.token) and found.promotes[0][1] > 0.95


def test_the_bar_for_sources_is_what_chance_gives_at_best(planted: Planted, weights: Model) -> None:
    """Neurons that nothing feeds: the best of all earlier ones lies about at the bar, half of the time above it."""
    above = [
        explain(weights, 2, neuron, max_tokens=1).sources[0].cosine > explain(weights, 2, 0, max_tokens=1).source_bar
        for neuron in range(20, 60)
    ]
    assert 0.2 < np.mean(above) < 0.8


def test_the_heads_that_bind_what_it_reads_come_first(tmp_path: Path) -> None:
    directory, truth = bound_token_neurons(tmp_path, bundle=1, noise=0.05)
    weights = load(directory, "raw")
    for neuron in (3, 50, 90):
        ((head, token),) = truth["W_in"][neuron]
        first = explain(weights, 0, neuron, max_tokens=1).heads[0]
        assert (first.layer, first.head, first.tokens[0][0]) == (0, head, str(token))
        assert first.strength > 1.5


def test_a_random_direction_is_written_by_heads_as_chance_has_it(weights: Model) -> None:
    strengths = [
        one.strength for neuron in range(30, 60) for one in explain(weights, 1, neuron, max_tokens=1, top=99).heads
    ]
    assert np.sqrt(np.mean(np.square(strengths))) == pytest.approx(1.0, abs=0.1)


def test_a_gated_model_is_read_by_its_gate_unless_asked_otherwise(tmp_path: Path) -> None:
    planted = planted_model(tmp_path, GATED)
    weights = load(planted.path)
    for matrix in (None, "W_gate", "W_in"):
        found = explain(weights, 0, 20, matrix, max_tokens=5)
        assert found.matrix == (matrix or "W_gate")
        assert {step.token for step in found.steps} == set(planted.truth.members[found.matrix][20])


def test_the_same_seed_gives_the_same_and_another_other_bands(weights: Model) -> None:
    first, again, other = (explain(weights, 0, 5, max_tokens=3, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert [step.cosine for step in first.steps] == [step.cosine for step in other.steps]
    assert first.steps[0].random != other.steps[0].random


def command(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["explain", *map(str, arguments)])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_command_prints_the_bundle_with_its_bands(planted: Planted, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = command(capsys, planted.path, 0, 20, "--max-tokens", 5)
    assert (code, err) == (0, "")
    for token in planted.truth.members["W_in"][20]:
        assert f"'{token}'" in out
    for words in ("W_in (processed basis)", "random directions", "covariance-matched", "Heads", "What it writes"):
        assert words in out


def test_the_command_prints_json(planted: Planted, weights: Model, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = command(capsys, planted.path, 2, 10, "--method", "scan", "--json")
    assert code == 0
    assert json.loads(out) == json.loads(json.dumps(explain(weights, 2, 10, method="scan").as_dict()))


BAD: dict[str, tuple[Any, ...]] = {
    "a layer that there is not": ((3, 0), "has no layer 3: its layers are 0 to 2"),
    "a negative layer": ((-1, 0), "has no layer -1"),
    "a neuron that there is not": ((0, 200), "has no neuron 200 in layer 0: its neurons are 0 to 199"),
    "a matrix that there is not": ((0, 0, "--matrix", "W_gate"), "do not read through W_gate but through W_in"),
    "an expert where there is none": ((0, 0, "--expert", "1"), "Layer 0 of", "has no experts"),
    "no tokens": ((0, 0, "--max-tokens", "0"), "cannot have at most 0 tokens"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_explained_is_said_in_one_paragraph(
    case: str, planted: Planted, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, *words = BAD[case]
    first = [str(argument) for argument in arguments]
    # argparse takes a negative number for a value where no option looks like one.
    code, out, err = command(capsys, planted.path, *first)
    assert (code, out) == (2, "")
    assert all(word in err for word in words) and err.count("\n") == 1


def test_a_model_that_is_not_there_and_a_dead_neuron(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = command(capsys, tmp_path / "nowhere", 0, 0)
    assert code == 2 and "nowhere" in err and "Traceback" not in err
    from fixtures.planted import plant
    from fixtures.small_models import save

    dead, _ = plant(Sizes())
    dead.W_in[0, :, 7] = 0.0
    code, _, err = command(capsys, save(tmp_path / "dead", Sizes(), dead), 0, 7)
    assert code == 2 and "Neuron 7 of layer 0 is dead" in err


def test_hostile_token_names_steer_no_terminal(
    weights: Model, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from rich.console import Console

    monkeypatch.setattr(Model, "token_name", lambda model, token: "\x1b[31m[red]evil\u202e\n")
    print_explanation(explain(weights, 0, 20, max_tokens=2), Console(highlight=False))
    out = capsys.readouterr().out
    assert "\x1b" not in out and "\u202e" not in out
    assert "'\\x1b[31m[red]evil\\u202e\\n'" in out


def test_a_command_line_of_an_earlier_version_is_understood(
    planted: Planted, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(capsys, planted.path, 0, 3, "--no-cache") == command(capsys, planted.path, 0, 3)


@pytest.mark.parametrize("columns", ["10", "1", "0"])
def test_where_a_terminal_has_no_columns_all_can_be_read(
    columns: str, planted: Planted, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    usual = command(capsys, planted.path, 0, 20, "--max-tokens", 2)
    monkeypatch.setenv("COLUMNS", columns)
    assert command(capsys, planted.path, 0, 20, "--max-tokens", 2) == usual


def test_a_seed_below_zero_is_refused(planted: Planted, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = command(capsys, planted.path, 0, 20, "--seed", "-5")
    assert (code, out) == (2, "") and "--seed -5 cannot be used" in err
