"""What fixtures/planted.py says it planted is there, in the weights as they are loaded and in what the model does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fixtures.planted import AND_BIAS, OR_BIAS, Planted, plant, planted_model
from fixtures.small_models import GATED, Sizes
from vsa_checks import bundles, isometry, load, theory
from vsa_checks.models import BASES, Model
from vsa_checks.orthogonality import centered, live_rows, pairwise_cosines, rms_cosine

GPT2 = Sizes()
KINDS = {"like GPT-2": GPT2, "gated": GATED}
# Centering over d dimensions takes a 1/d of a vector away, and that much of what is shared between vectors.
CENTERING = {"raw": 1e-5, "processed": 2 / GPT2.d_model}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Planted]:
    return {kind: planted_model(tmp_path_factory.mktemp("planted"), sizes) for kind, sizes in KINDS.items()}


@pytest.fixture(
    params=[(kind, basis) for kind in KINDS for basis in BASES], ids=lambda at: "-".join(at), scope="module"
)
def loaded(request: pytest.FixtureRequest, planted: dict[str, Planted]) -> tuple[Planted, Model]:
    kind, basis = request.param
    return planted[kind], load(planted[kind].path, basis=basis)


def input_vectors(model: Model, layer: int, matrix: str) -> NDArray[np.float32]:
    return model[f"blocks.{layer}.mlp.{matrix}"].numpy().T


def cosine(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def test_embeddings_are_nearly_orthogonal_and_centered_both_ways(loaded: tuple[Planted, Model]) -> None:
    _, model = loaded
    embeddings = model.W_E.numpy()
    assert np.abs(embeddings.mean(axis=0)).max() < 1e-6
    assert np.abs(embeddings.mean(axis=1)).max() < 1e-6
    assert np.linalg.norm(embeddings, axis=1) == pytest.approx(1.0, abs=0.1)
    cosines = pairwise_cosines(embeddings)
    assert cosines.rms == pytest.approx(theory.cosine_deviation(model.info.d_model), rel=0.05)


def test_neurons_are_sums_of_their_tokens(loaded: tuple[Planted, Model]) -> None:
    planted, model = loaded
    words = centered(model.W_E)
    logic = {one.neuron for one in (planted.truth.or_neuron, planted.truth.and_neuron) if one is not None}
    assert set(planted.truth.members) == set(planted.sizes.mlp_inputs)
    for matrix, rows in planted.truth.members.items():
        vectors = input_vectors(model, 0, matrix)
        assert len(rows) == len(vectors)
        for neuron, tokens in enumerate(rows):
            noise = 0.0 if matrix == "W_in" and neuron in logic else planted.noise
            assert cosine(vectors[neuron], words[list(tokens)].sum(axis=0)) == pytest.approx(
                1 / np.sqrt(1 + noise**2), abs=0.02
            )


def test_pursuit_finds_the_planted_tokens(loaded: tuple[Planted, Model]) -> None:
    planted, model = loaded
    for matrix, rows in planted.truth.members.items():
        found = bundles.greedy_pursuit(input_vectors(model, 0, matrix), centered(model.W_E), max_tokens=5)
        hits = [len(set(found.tokens(neuron).tolist()) & set(rows[neuron])) for neuron in range(len(rows))]
        assert sum(hits) / sum(map(len, rows)) > 0.95


def test_noise_hides_the_tokens_as_far_as_asked() -> None:
    for noise in (0.0, 1.0, 3.0):
        weights, truth = plant(GPT2, noise=noise)
        sums = weights.W_E[list(truth.members["W_in"][20])].sum(axis=0)
        assert cosine(weights.W_in[0, :, 20], sums) == pytest.approx(
            1 / np.sqrt(1 + noise**2), abs=0.15 * (noise > 0) + 1e-9
        )


def test_bundles_have_the_size_asked_for() -> None:
    _, truth = plant(GPT2, bundle=8)
    assert {len(set(tokens)) for tokens in truth.members["W_in"][2:]} == {8}


def test_heads_bind_by_scaled_isometries(loaded: tuple[Planted, Model]) -> None:
    planted, model = loaded
    group = planted.sizes.n_heads // planted.sizes.n_kv_heads
    for layer in range(planted.sizes.n_layers):
        q, k, v, o = (model[f"blocks.{layer}.attn.{name}"].numpy() for name in ("W_Q", "W_K", "W_V", "W_O"))
        k, v = np.repeat(k, group, axis=0), np.repeat(v, group, axis=0)
        assert isometry.isometry(v, o) == pytest.approx(1.0, abs=2 * CENTERING[model.basis])
        assert isometry.isometry(q, k.transpose(0, 2, 1)) == pytest.approx(1.0, abs=2 * CENTERING[model.basis])


def test_attention_vectors_are_more_orthogonal_than_random_ones(loaded: tuple[Planted, Model]) -> None:
    planted, model = loaded
    for name in ("W_Q", "W_K", "W_V"):
        vectors = model[f"blocks.1.attn.{name}"].numpy().transpose(0, 2, 1).reshape(-1, planted.sizes.d_model)
        assert rms_cosine(live_rows(vectors).unit) <= CENTERING[model.basis]


def test_mlp_outputs_form_a_tight_frame(loaded: tuple[Planted, Model]) -> None:
    planted, model = loaded
    welch = theory.welch_bound(planted.sizes.d_mlp, planted.sizes.d_model)
    assert rms_cosine(live_rows(model["blocks.0.mlp.W_out"]).unit) == pytest.approx(welch, rel=0.03)


def test_circuits_read_and_write_what_is_said(loaded: tuple[Planted, Model]) -> None:
    planted, model = loaded
    assert planted.truth.circuits
    for circuit in planted.truth.circuits:
        outputs = model["blocks.0.mlp.W_out"].numpy()
        read = outputs[list(circuit.sources)].sum(axis=0)
        for matrix in planted.sizes.mlp_inputs:
            found = [cosine(vector, read) for vector in input_vectors(model, circuit.layer, matrix)]
            assert int(np.argmax(found)) == circuit.neuron
            assert found[circuit.neuron] == pytest.approx(1.0, abs=2 * CENTERING[model.basis])
        assert model.W_U is not None
        write = model[f"blocks.{circuit.layer}.mlp.W_out"].numpy()[circuit.neuron]
        towards = write @ model.W_U.numpy() / np.linalg.norm(model.W_U.numpy(), axis=0)
        assert int(np.argmax(towards)) == circuit.token
        assert towards.max() / np.linalg.norm(write) > 0.99


def before_activation(model: Model, stream: NDArray[np.float32], layer: int = 0) -> NDArray[np.float32]:
    """What the model's own norm and MLP make of a stream (n, d), before the activation function (n, d_mlp)."""
    block = model.bridge.original_model.transformer.h[layer]
    with torch.no_grad():
        return block.mlp.c_fc(block.ln_2(torch.from_numpy(stream)[None]))[0].numpy()


@pytest.mark.parametrize("basis", BASES)
def test_a_circuit_fires_on_the_output_of_its_sources(basis: str, planted: dict[str, Planted]) -> None:
    model = load(planted["like GPT-2"].path, basis=basis)  # type: ignore[arg-type]
    for circuit in planted["like GPT-2"].truth.circuits:
        stream = model["blocks.0.mlp.W_out"].numpy()[list(circuit.sources)].sum(axis=0, keepdims=True)
        assert int(np.argmax(before_activation(model, stream, circuit.layer)[0])) == circuit.neuron


@pytest.mark.parametrize("basis", BASES)
def test_one_neuron_is_an_or_and_one_an_and(basis: str, planted: dict[str, Planted]) -> None:
    model, truth = load(planted["like GPT-2"].path, basis=basis), planted["like GPT-2"].truth  # type: ignore[arg-type]
    embeddings = model.W_E.numpy()
    assert truth.or_neuron is not None and truth.and_neuron is not None
    alone = before_activation(model, embeddings) > 0

    members = list(truth.or_neuron.members)
    assert alone[members, truth.or_neuron.neuron].all()
    assert np.delete(alone[:, truth.or_neuron.neuron], members).mean() < 0.02

    members = list(truth.and_neuron.members)
    assert not alone[members, truth.and_neuron.neuron].any()
    pairs = np.stack([embeddings[a] + embeddings[b] for a in members for b in members if a < b])
    assert (before_activation(model, pairs)[:, truth.and_neuron.neuron] > 0).all()
    rng = np.random.default_rng(0)
    others = embeddings[rng.integers(0, len(embeddings), 1000)] + embeddings[rng.integers(0, len(embeddings), 1000)]
    assert (before_activation(model, others)[:, truth.and_neuron.neuron] > 0).mean() < 0.02
    assert AND_BIAS < OR_BIAS


def test_raw_and_processed_agree_up_to_centering(planted: dict[str, Planted]) -> None:
    for kind in KINDS:
        raw, processed = (load(planted[kind].path, basis=basis) for basis in BASES)
        for name in ("embed.W_E", "blocks.0.mlp.W_in"):
            assert raw[name].numpy() == pytest.approx(processed[name].numpy(), abs=1e-5)
        logits = [model.run_with_cache([[4, 8, 15]], names_filter=[])[0].log_softmax(-1) for model in (raw, processed)]
        assert logits[0].numpy() == pytest.approx(logits[1].numpy(), abs=1e-3)


def test_the_seed_decides_everything(tmp_path: Path) -> None:
    small = Sizes(d_model=24, d_vocab=50, n_layers=2, d_head=6, d_mlp=30)
    first, again, other = (planted_model(tmp_path / str(i), small, seed=seed) for i, seed in enumerate((7, 7, 8)))
    contents = [(one.path / "model.safetensors").read_bytes() for one in (first, again, other)]
    assert contents[0] == contents[1] != contents[2]
    assert first.truth == again.truth != other.truth


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"d_mlp": 64}, "must differ from d_model"),
        ({"d_vocab": 64}, "must differ from d_model"),
        ({"d_head": 8}, "n_heads x d_head = d_model"),
        ({"n_kv_heads": 2}, "n_kv_heads = n_heads"),
        ({"n_kv_heads": 3, "gated": True}, "cannot share"),
    ],
)
def test_sizes_that_no_such_model_has_are_refused(sizes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sizes(**sizes)


def test_too_few_tokens_or_neurons_are_refused() -> None:
    with pytest.raises(ValueError, match="4 tokens are too few for bundles of 5"):
        plant(Sizes(d_vocab=4))
    with pytest.raises(ValueError, match="10 neurons are too few"):
        plant(Sizes(d_mlp=10))
