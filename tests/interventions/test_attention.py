"""Heads of models of several classes: what positions turn, the size of nulls, and constants that stay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.models import tiny
from vsa_checks.errors import NotChecked
from vsa_checks.interventions import on_heads
from vsa_checks.interventions.comparing import Distances
from vsa_checks.interventions.rotary import turns
from vsa_checks.interventions.running import Running
from vsa_checks.interventions.trials import Setting
from vsa_checks.models import load
from vsa_checks.models.architecture import LAYER_NORM
from vsa_checks.workbench.access import Workbench

LENGTH = 20
Made = Callable[[str], Running]


@pytest.fixture(scope="module")
def of_class(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A small random model of a class, made once."""
    made: dict[str, Running] = {}

    def make(name: str) -> Running:
        if name not in made:
            more: dict[str, Any] = {"partial_rotary_factor": 0.7} if name == "stablelm" else {}
            made[name] = Running(load(tiny.write_hf(tmp_path_factory.mktemp(name), name, **more), "processed"))
        return made[name]

    return make


def _heads(running: Running) -> on_heads.Heads:
    setting = Setting(running, Workbench("tiny", loaded=running.model), (LENGTH,) * 3, np.arange(10))
    return on_heads.Heads(setting, list(range(running.model.info.n_layers)))


@pytest.mark.parametrize("name", ["llama", "gptj", "gpt_neox", "gpt2"])
def test_turned_by_their_distance_queries_and_keys_give_the_models_own_attention(name: str, of_class: Made) -> None:
    running = of_class(name)
    model, tokens = running.model, torch.arange(3, 3 + LENGTH)[None]
    running.module.set_attn_implementation("eager")
    with torch.no_grad():
        made = running.module(tokens, output_attentions=True, output_hidden_states=True)
    stream = made.hidden_states[0][0].double().numpy()
    if model.info.norm == LAYER_NORM:
        stream = stream - stream.mean(axis=1, keepdims=True)
    stream = stream / np.sqrt((stream**2).mean(axis=1, keepdims=True) + 1e-5)

    def read(letter: str, head: int) -> NDArray[np.float64]:
        found = stream @ model.array(f"blocks.0.attn.W_{letter}")[head]
        bias = f"blocks.0.attn.b_{letter}"
        result: NDArray[np.float64] = found + model.array(bias)[head] if bias in model else found
        return result

    turn = turns(running, [0], LENGTH)[0]
    share = model.info.n_heads // model.info.n_kv_heads
    last = LENGTH - 1
    for head in range(model.info.n_heads):
        q, k = read("Q", head)[last], read("K", head // share)
        scores = np.array([q @ turn[min(last - at, len(turn) - 1)] @ k[at] for at in range(LENGTH)])
        expected = np.log(made.attentions[0][0, head, last].double().numpy())
        found = (scores - scores[0]) / np.sqrt(model.info.d_head)
        np.testing.assert_allclose(found, expected - expected[0], atol=2e-3)
    assert (np.abs(turn - np.eye(model.info.d_head)).max() > 0.5) == (name != "gpt2")


@pytest.mark.parametrize("name", ["llama", "gptj", "gpt2"])
@pytest.mark.parametrize("degree", [0.5, 1.0])
def test_a_null_of_queries_and_keys_is_as_large_over_the_distances_that_occur(
    name: str, degree: float, of_class: Made
) -> None:
    heads = _heads(of_class(name))
    sizes: dict[str, list[tuple[float, float]]] = {"change": [], "null": []}
    for layer in heads.layers:
        turn = heads.distances[layer].turns
        pairs = heads.pairs(layer), heads.evened(layer, degree), heads.at_random(layer, degree, 0)
        for own, changed, null in zip(*pairs, strict=True):
            # By hand, distance by distance, each as often as it occurs in LENGTH tokens.
            for kind, other in (("change", changed), ("null", null)):
                squares = [
                    ((other.queries @ one @ other.keys.T - own.queries @ one @ own.keys.T) ** 2).sum() for one in turn
                ]
                weights = np.arange(LENGTH, 0, -1)[: len(turn)]
                sizes[kind].append((float(np.average(squares, weights=weights)), float((other.keys**2).sum())))
    wanted, found = (np.array(sizes[kind]) for kind in ("change", "null"))
    np.testing.assert_allclose(found[:, 0], wanted[:, 0], rtol=0.1)
    assert found[:, 0].sum() == pytest.approx(wanted[:, 0].sum(), rel=0.02)
    np.testing.assert_allclose(found[:, 1], wanted[:, 1])


def test_a_class_whose_turns_cannot_be_read_off_is_not_checked(of_class: Made) -> None:
    with pytest.raises(NotChecked, match="Llama4ForCausalLM"):
        turns(of_class("llama4_text"), [0], LENGTH)
    assert len(Distances.of(np.eye(4)[None], (3, 5)).shares) == 1
    np.testing.assert_allclose(Distances.of(np.zeros((5, 2, 2)), (3, 5)).shares, np.array([8, 6, 4, 2, 1]) / 21)


@pytest.mark.parametrize("name", ["qwen2", "gpt2", "gptj", "llama"])
def test_what_biases_of_values_write_stays(name: str, of_class: Made) -> None:
    """Whether there is a bias of the output (gpt2), of the values alone (qwen2), of the norm (gptj), or none (llama).

    Tokens that are all alike give all heads one value, whatever is attended to: the output is that of the mean token.
    """
    running = of_class(name)
    part, heads = running.part("attn", 1), _heads(running)
    W_O = np.stack([one.writing(one.product.evened(1.0)) for one in heads.writers(1)])
    after = on_heads.written_part(running, 1, W_O)
    assert not np.allclose(after.weights["W_O"], part.weights["W_O"], atol=0.01)
    norm, W_V = part.reads_through, part.weights["W_V"]
    value = part.weights.get("b_V", np.zeros(W_V.shape[::2], np.float32)).astype(np.float64)
    if norm is not None and norm.bias is not None:
        value = value + np.einsum("d,hdr->hr", norm.bias, W_V)
    value = np.repeat(value, len(W_O) // len(value), axis=0)
    before, now = (
        np.einsum("hr,hrd->d", value, some.weights["W_O"]) + some.weights.get("b_O", 0.0) for some in (part, after)
    )
    assert (np.abs(before).max() > 0.01) == (name != "llama") == ("b_O" in after.weights)
    np.testing.assert_allclose(now, before, atol=1e-5)
    # And the model runs with it: the output projection of what is read as that value gives that vector.
    with running.changed({("attn", 1): after}), torch.no_grad():
        given = torch.from_numpy(value.reshape(1, 1, -1).astype(np.float32))
        np.testing.assert_allclose(running._module(1, "o")(given)[0, 0].numpy(), before, atol=1e-5)


@pytest.mark.parametrize("name", ["gptj", "stablelm"])
def test_what_a_norms_bias_gives_stays_where_no_bias_could_take_it_up(name: str, of_class: Made) -> None:
    running = of_class(name)
    heads, norm = _heads(running), running.part("attn", 0).reads_through
    assert norm is not None and norm.bias is not None and "b_Q" not in running.part("attn", 0).weights
    given = torch.from_numpy(norm.bias)
    modules = [running._module(0, role) for role in ("q", "k")]
    with torch.no_grad():
        before = [module(given).numpy() for module in modules]
        with on_heads.compared(heads, 1.0, None):
            for module, own in zip(modules, before, strict=True):
                np.testing.assert_allclose(module(given).numpy(), own, atol=1e-4)
                assert np.abs(module(given + 1.0).numpy() - module(given).numpy()).max() > 0.01
        for module, own in zip(modules, before, strict=True):
            np.testing.assert_array_equal(module(given).numpy(), own)


def test_a_constant_that_no_place_takes_is_not_checked(of_class: Made) -> None:
    """Queries, keys and values in one matrix without a bias, behind a norm that has one."""
    running = of_class("falcon")
    part = running.part("attn", 0)
    more = {"b_Q": np.ones(part.weights["W_Q"].shape[::2], np.float32)}
    with (
        pytest.raises(NotChecked, match="neither such a bias nor a matrix of its own"),
        running.changed({("attn", 0): replace(part, weights=part.weights | more)}),
    ):
        raise AssertionError("it runs without the constant")
