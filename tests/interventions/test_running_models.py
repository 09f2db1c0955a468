"""Interventions on small models that run: what changes nothing costs nothing, and the command from end to end."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from fixtures.small_models import N_POSITIONS, Sizes, gaussian_weights, save
from tests.models import tiny
from vsa_checks.cli.main import main
from vsa_checks.errors import NotChecked
from vsa_checks.interventions import document, on_heads, on_neurons
from vsa_checks.interventions.judging import DRAWS
from vsa_checks.interventions.losses import Item, fixed_guess, item_scores, window_losses
from vsa_checks.interventions.running import Kind, Running
from vsa_checks.interventions.trials import Setting
from vsa_checks.models import load
from vsa_checks.models.parts import Part
from vsa_checks.models.texts import Window
from vsa_checks.workbench.access import Workbench

SAME = 1e-4
KINDS: tuple[Kind, ...] = ("attn", "mlp")
SMALL = Sizes(d_model=96, d_vocab=150, n_layers=2, d_mlp=40, gated=True, n_kv_heads=2, d_head=12)


def _windows(d_vocab: int, n: int = 6, length: int = 24) -> list[Window]:
    rng = np.random.default_rng(5)
    return [Window(rng.integers(3, d_vocab, length), 0, length) for _ in range(n)]


def _setting(running: Running) -> Setting:
    return Setting(running, Workbench("tiny", loaded=running.model), (24,) * 6, np.arange(running.model.info.d_vocab))


def _heads(running: Running) -> on_heads.Heads:
    return on_heads.Heads(_setting(running), list(range(running.model.info.n_layers)))


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Running:
    """Small random models: one with grouped queries, rotary positions and RMSNorm, one with biases and LayerNorm."""
    return Running(load(tiny.write_hf(tmp_path_factory.mktemp(request.param), request.param), "processed"))


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Running:
    """A model whose layer-0 neurons are sums of five tokens, centered, on a layer that matters."""
    rng = np.random.default_rng(0)
    weights = gaussian_weights(SMALL, rng)
    weights.W_E *= 10
    tokens = weights.W_E - weights.W_E.mean(axis=0)
    assert weights.W_gate is not None
    for matrix in (weights.W_gate, weights.W_in):
        for neuron in range(SMALL.d_mlp):
            members = rng.choice(SMALL.d_vocab, 5, replace=False)
            matrix[0, :, neuron] = rng.uniform(0.5, 2.0) * tokens[members].sum(axis=0)
    weights.W_out *= 20
    return Running(load(save(tmp_path_factory.mktemp("planted"), SMALL, weights), "processed"))


def test_the_loss_is_that_of_transformers(running: Running) -> None:
    windows = [Window(one.tokens[: 24 - at], 0, 24 - at) for at, one in enumerate(_windows(300))]
    found = window_losses(running.module, windows)
    for window, loss in zip(windows, found, strict=True):
        tokens = torch.from_numpy(window.tokens)[None]
        assert loss == pytest.approx(float(running.module(tokens, labels=tokens).loss), abs=1e-5)
    # Within tokens that a tokenizer adds, only the text is predicted.
    whole = windows[0].tokens
    logits = running.module(torch.from_numpy(whole)[None]).logits[0].log_softmax(-1)
    by_hand = -np.mean([float(logits[at - 1, whole[at]]) for at in range(2, 20)])
    assert window_losses(running.module, [Window(whole, 2, 20)])[0] == pytest.approx(by_hand, abs=1e-5)


def test_an_item_is_scored_among_its_options(running: Running) -> None:
    tokens = _windows(300)[0].tokens
    scores = running.module(torch.from_numpy(tokens)[None]).logits[0]
    best, worst = int(scores[-1].argmax()), int(scores[-1].argmin())
    items = [Item(tokens, (best, worst)), Item(tokens, (worst, best)), Item(tokens, first=20)]
    longer = Item(np.concatenate([tokens, tokens[:6]]), first=28)
    losses, right = (some[:3] for some in item_scores(running.module, [*items, longer]))
    gap = float(scores[-1, best] - scores[-1, worst])
    np.testing.assert_allclose(losses[:2], [np.log1p(np.exp(-gap)), np.log1p(np.exp(gap))], atol=1e-5)
    hits = [int(scores[at - 1].argmax()) == tokens[at] for at in range(20, 24)]
    np.testing.assert_allclose(right, [1.0, 0.0, np.mean(hits)])


def test_the_best_guess_that_knows_no_context_is_that_of_frequencies() -> None:
    found = fixed_guess([np.array([7, 7, 7]), np.array([9])])
    np.testing.assert_allclose(found, [np.log(4 / 3), np.log(4)])


def test_what_changes_nothing_costs_nothing(running: Running) -> None:
    """Weights taken apart and put together again: gains, biases of norms, shared keys, rotary positions."""
    windows = _windows(300)
    before = window_losses(running.module, windows)
    neurons = {}
    for matrix in ("W_gate", "W_in"):
        if f"blocks.0.mlp.{matrix}" in running.model:
            rows = running.model.array(f"blocks.0.mlp.{matrix}").T.astype(np.float64)
            neurons[matrix] = partial(np.copy, rows)
    heads = _heads(running)
    changes = [partial(on_neurons.with_rows, running, neurons)]
    changes += [
        partial(change, heads, 0.0, draw) for change in (on_heads.written, on_heads.compared) for draw in (None, 0)
    ]
    for change in changes:
        with change():
            assert np.abs(window_losses(running.module, windows) - before).max() < SAME
    for kind in (on_heads.written, on_heads.compared):  # and what changes something does
        with kind(heads, 1.0, None):
            assert np.abs(window_losses(running.module, windows) - before).max() > 10 * SAME


def test_all_is_put_back_also_after_an_error(running: Running) -> None:
    before = {name: tensor.clone() for name, tensor in running.module.state_dict().items()}
    loss = window_losses(running.module, _windows(300))
    embeddings = running.raw.embedding()
    with pytest.raises(RuntimeError, match="midway"), ExitStack() as stack:
        stack.enter_context(on_heads.compared(_heads(running), 1.0, 3))
        stack.enter_context(running.embedded(embeddings[::-1].copy()))
        stack.enter_context(on_heads._heads_away(running, [0, 1], lambda: window_losses(running.module, _windows(300))))
        assert np.abs(window_losses(running.module, _windows(300)) - loss).max() > 0.01
        raise RuntimeError("midway")
    for name, tensor in running.module.state_dict().items():
        assert torch.equal(tensor, before[name])
    np.testing.assert_array_equal(window_losses(running.module, _windows(300)), loss)


@pytest.mark.slow
def test_neurons_that_are_bundles_can_be_bundled_and_not_otherwise_changed(planted: Running) -> None:
    windows = _windows(SMALL.d_vocab)
    before = window_losses(planted.module, windows)
    plans, _ = on_neurons.plans(_setting(planted))
    made = {plan.id: plan.make for plan in plans}
    trial = made["neurons/W_gate+W_in/k=5"]()  # as many as it is made of: nothing is left out
    assert trial.cosine == pytest.approx(1.0, abs=1e-6)
    with trial.change[0]():
        assert np.abs(window_losses(planted.module, windows) - before).max() < SAME
    one = made["neurons/W_gate+W_in/k=1"]()
    assert 0.4 < one.cosine < 0.65  # one of five members: 1 / sqrt(5)
    with one.change[0]():
        bundled = np.abs(window_losses(planted.module, windows) - before)
    assert bundled.max() > 100 * SAME
    with one.nulls["random direction"][0]():
        first = window_losses(planted.module, windows)
    with one.nulls["random direction"][DRAWS - 1]():
        assert np.abs(window_losses(planted.module, windows) - first).max() > 100 * SAME  # each draw is another one
    # Nulls are as large as the change: nothing where it is nothing.
    assert set(trial.nulls) == {"random direction", on_neurons.SIGNS, on_neurons.MATCHED}
    for null in trial.nulls.values():
        assert len(null) == DRAWS
        with null[0]():
            assert np.abs(window_losses(planted.module, windows) - before).max() < SAME


def test_a_rotation_of_the_stream_done_everywhere_changes_nothing(planted: Running) -> None:
    """RMSNorm with gains of one: the planted model's own."""
    windows = _windows(SMALL.d_vocab)
    before = window_losses(planted.module, windows)
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((SMALL.d_model, SMALL.d_model)))[0]
    parts: dict[tuple[Kind, int], Part] = {}
    for layer in range(SMALL.n_layers):
        for kind in KINDS:
            part = planted.part(kind, layer)
            turned = {
                name: (weight @ turn if name in ("W_O", "W_out") else turn.T @ weight).astype(np.float32)
                for name, weight in part.weights.items()
            }
            parts[kind, layer] = replace(part, weights=turned)
    table = planted.module.get_input_embeddings().weight
    own = table.clone()
    with planted.changed(parts):
        assert np.abs(window_losses(planted.module, windows) - before).max() > 10 * SAME  # not yet everywhere
        table.copy_(own @ torch.from_numpy(turn.astype(np.float32)))
        try:
            assert np.abs(window_losses(planted.module, windows) - before).max() < SAME
        finally:
            table.copy_(own)
    assert len(windows[0].tokens) <= N_POSITIONS


def test_held_at_their_mean_over_tokens_of_the_text_heads_say_the_same_everywhere(running: Running) -> None:
    """Windows of two lengths: no position that stands for no token enters the mean."""
    windows, read, alone = _windows(300, n=2), [], []
    windows[1] = Window(windows[1].tokens[:7], 0, 7)
    module = running._module(0, "o")
    hook = module.register_forward_hook(lambda module, given, output: alone.append(given[0][0]))
    for window in windows:
        running.module(torch.from_numpy(window.tokens)[None])
    hook.remove()
    assert sum(map(len, alone)) == 24 + 7
    with on_heads._heads_away(running, [0], lambda: window_losses(running.module, windows)):
        hook = module.register_forward_hook(lambda module, given, output: read.append(given[0]))
        window_losses(running.module, windows)
        hook.remove()
    mean = torch.cat(alone).mean(dim=0)
    assert all(float((held - mean).abs().max()) < 1e-6 for held in read) and float(mean.abs().max()) > 1e-3


@pytest.mark.slow
def test_the_command_writes_valid_results_alike_whatever_else_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tiny.write_hf(tmp_path / "tiny", "gpt2")
    made = []
    for asked in ("heads,spoil,tasks", "tasks,spoil"):
        words = ["--windows", "8", "--interventions", asked, "--seed", "3", "--out", str(tmp_path / asked)]
        assert main(["intervene", str(folder), *words]) == 0
        made.append(document.read(tmp_path / asked / document.FILE_NAME))
    spoiled = [{**one, "duration_s": 0.0} for one in made[0]["results"] if one["aim"] == "spoil"]
    assert [{**one, "duration_s": 0.0} for one in made[1]["results"]] == spoiled != []
    assert made[1]["unchanged"] == made[0]["unchanged"]
    out = capsys.readouterr().out
    found = made[0]
    assert found["text"]["windows"] == 8 and found["not_checked"] == found["failed"] == {}
    assert {one["part"] for one in found["results"]} == {on_heads.OV, on_heads.QK, "embeddings"}
    assert [task["task"] for task in found["unchanged"]["tasks"]] == ["agreement"]  # the others need more tokens
    for one in found["results"]:
        assert one["id"] in out
        # A model that was taught nothing does no better than a guess: there is nothing that could be carried.
        assert one["verdict"] == "cannot tell"
        assert one["cost"]["value"] == pytest.approx(one["loss"] - found["unchanged"]["loss"])
        assert all(len(set(null["cost"]["draws"])) == found["rule"]["draws"] == 5 for null in one["nulls"])


def test_an_encoder_is_not_checked_and_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tiny.write_hf(tmp_path / "bert", "bert")
    assert main(["intervene", str(folder), "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / document.FILE_NAME).read_text())
    assert found["results"] == [] and set(found["not_checked"]) == {"neurons", "heads", "embeddings", "spoil"}
    assert "encoder, which predicts no next token of a text" in capsys.readouterr().out
    with pytest.raises(NotChecked):
        Running(load(folder, "processed"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--interventions", "neurons,brains"], "'brains' is not one of them"),
        (["--interventions", "tasks"], "name one of these too"),
        (["--windows", "1"], "an interval needs 2 windows of text, a verdict 8"),
        (["--seed", "-1"], "--seed -1"),
    ],
)
def test_wrong_options_get_a_paragraph(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["intervene", "gpt2", *words]) == 2
    assert said in capsys.readouterr().err
