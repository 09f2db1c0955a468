"""Each null model lacks the structure that it is said to lack, and keeps the rest."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from fixtures import null_models
from fixtures.cases.entry import raw
from fixtures.small_models import Sizes, Weights
from tests.meta.benches import Benches, measured
from vsa_checks import bundles, isometry
from vsa_checks.models import Model
from vsa_checks.orthogonality import centered, live_rows, pairwise_cosines, rms_cosine

Load = Callable[[str], Model]
TOKENS = torch.tensor([[3, 141, 59, 26, 5]])


@pytest.fixture(scope="module")
def raw_model(benches: Benches) -> Load:
    return lambda name: benches(name).model("raw")


def assert_same_but_for(model: Model, planted: Model, *changed: str) -> None:
    """All matrices are the planted model's but for those whose names end like this, which are not."""
    for name in planted:
        same = bool(torch.equal(model[name], planted[name]))
        assert same != name.endswith(changed), name


def test_random_initialisation_is_gaussian_of_the_usual_size(raw_model: Load) -> None:
    model = raw_model("random")
    for name in ("embed.W_E", "blocks.0.mlp.W_in", "blocks.2.attn.W_O"):
        weights = model[name].numpy().ravel()
        assert weights.std() == pytest.approx(0.02, rel=0.05)
        assert np.mean(weights**4) == pytest.approx(3 * 0.02**4, rel=0.1)


@pytest.mark.parametrize("name", ["random", "covariance-matched neurons", "common mean", "rewritten heads, gated"])
def test_null_models_run(name: str, raw_model: Load) -> None:
    assert torch.isfinite(raw_model(name).run_with_cache(TOKENS, names_filter=[])[0]).all()


@pytest.mark.parametrize(
    "build",
    [
        null_models.random_initialisation,
        null_models.covariance_matched_neurons,
        null_models.permuted_coordinates,
        null_models.common_mean,
        null_models.low_rank_embeddings,
        null_models.near_duplicate_tokens,
        null_models.heavy_tailed_norms,
        null_models.rewritten_heads,
        null_models.skewed_heads,
        null_models.shared_direction,
    ],
)
def test_the_seed_decides_everything(build: Callable[..., Weights]) -> None:
    sizes = Sizes(d_model=24, d_vocab=50, n_layers=2, d_head=6, d_mlp=30)
    first, again, other = (vars(build(sizes, seed=seed)) for seed in (3, 3, 4))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not any(np.array_equal(first[name], other[name]) for name in ("W_E", "W_Q", "W_V", "W_O", "W_in", "W_out"))


def test_covariance_matched_neurons_favour_tokens_without_being_sums_of_them(raw_model: Load) -> None:
    planted, model = raw_model("planted"), raw_model("covariance-matched neurons")
    assert_same_but_for(model, planted, "blocks.0.mlp.W_in", "blocks.0.mlp.b_in")
    words = centered(model.W_E)
    neurons = model["blocks.0.mlp.W_in"].numpy().T
    # In a Gaussian no direction stands out but by its variance: along each its kurtosis is 3.
    unit = neurons - neurons.mean(axis=0)
    along = unit @ np.linalg.svd(unit, full_matrices=False)[2][:10].T
    kurtosis = np.mean(along**4, axis=0) / np.mean(along**2, axis=0) ** 2
    assert kurtosis.mean() == pytest.approx(3.0, abs=0.4)
    reached = bundles.greedy_pursuit(neurons, words, 5).cosine
    of_random = bundles.greedy_pursuit(np.random.default_rng(0).standard_normal((500, 64)), words, 5).cosine
    assert np.mean(reached > np.quantile(of_random, 0.99)) > 0.5


def test_permuted_coordinates_keep_each_neurons_numbers(raw_model: Load) -> None:
    planted, model = raw_model("planted"), raw_model("permuted coordinates")
    assert_same_but_for(model, planted, "mlp.W_in")
    for layer in range(planted.info.n_layers):
        name = f"blocks.{layer}.mlp.W_in"
        assert torch.equal(model[name].sort(dim=0).values, planted[name].sort(dim=0).values)


@pytest.mark.parametrize("name", ["common mean", "common mean along the ones"])
def test_a_common_mean_is_undone_by_centering(name: str, raw_model: Load) -> None:
    planted, model = raw_model("planted"), raw_model(name)
    assert_same_but_for(model, planted, "W_E", "W_U")
    assert centered(model.W_E) == pytest.approx(planted.W_E.numpy(), abs=1e-5)
    assert np.linalg.norm(model.W_E.numpy().mean(axis=0)) == pytest.approx(3.0 if name == "common mean" else 1.0)


def test_low_rank_embeddings_have_that_rank(raw_model: Load) -> None:
    values = np.linalg.svd(raw_model("low-rank embeddings").W_E.numpy(), compute_uv=False)
    assert values[7] > 1.0 and values[8] < 1e-5


def test_near_duplicates_come_in_groups(raw_model: Load) -> None:
    cosines = pairwise_cosines(raw_model("near-duplicate tokens").W_E, thresholds=(0.99,))
    assert set(cosines.above_by_row[0.99]) == {9}


def test_heavy_tails_leave_raw_cosines_alone_and_upset_centered_ones(raw_model: Load) -> None:
    planted, model = raw_model("planted"), raw_model("heavy-tailed norms")
    assert rms_cosine(live_rows(model.W_E).unit) == pytest.approx(rms_cosine(live_rows(planted.W_E).unit), rel=1e-5)
    norms = np.linalg.norm(model.W_E.numpy(), axis=1)
    assert norms.max() / np.median(norms) > 20
    assert rms_cosine(live_rows(centered(model.W_E)).unit) > 2 * rms_cosine(live_rows(model.W_E).unit)


def test_heads_written_otherwise_are_the_same_model_with_other_vectors(benches: Benches, raw_model: Load) -> None:
    for planted_name, name in (("planted", "rewritten heads"), ("planted, gated", "rewritten heads, gated")):
        planted, model = raw_model(planted_name), raw_model(name)
        assert_same_but_for(model, planted, "attn.W_V", "attn.W_O")
        logits = [one.run_with_cache(TOKENS, names_filter=[])[0].log_softmax(-1) for one in (planted, model)]
        assert logits[0].numpy() == pytest.approx(logits[1].numpy(), abs=1e-3)
        assert torch.equal(logits[0].argmax(-1), logits[1].argmax(-1))
        before, after = (
            measured("attention-near-orthogonal", raw(one, 0, "W_V"), benches).value for one in (planted_name, name)
        )
        assert after > before + 0.1
        for layer in range(3):
            before, after = (
                measured("attention-ov-isometry", raw(one, layer), benches).value for one in (planted_name, name)
            )
            assert after == pytest.approx(before, abs=1e-3)


def test_skewed_heads_stretch_unevenly(raw_model: Load) -> None:
    planted = raw_model("planted")
    for name, changed in (("skewed OV", "attn.W_V"), ("skewed QK", "attn.W_K")):
        model = raw_model(name)
        assert_same_but_for(model, planted, changed)
        v, o, q, k = (model[f"blocks.1.attn.{matrix}"].numpy() for matrix in ("W_V", "W_O", "W_Q", "W_K"))
        skewed = {"OV": isometry.isometry(v, o), "QK": isometry.isometry(q, k.transpose(0, 2, 1))}
        assert (skewed.pop(name[-2:]) < 0.3).all()
        assert (skewed.popitem()[1] > 0.99).all()


def test_vectors_that_share_a_direction_are_alike(raw_model: Load) -> None:
    model = raw_model("shared direction")
    assert pairwise_cosines(model["blocks.1.mlp.W_out"]).mean == pytest.approx(0.9, abs=0.02)
    assert pairwise_cosines(model["blocks.1.attn.W_O"].reshape(-1, 64)).mean == pytest.approx(0.9, abs=0.02)


def test_options_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="no subspace of 65"):
        null_models.low_rank_embeddings(Sizes(), rank=65)
    with pytest.raises(ValueError, match="pool of 4"):
        null_models.covariance_matched_neurons(Sizes(), pool=4)


def test_null_models_come_gated_too(raw_model: Load) -> None:
    planted, model = raw_model("planted, gated"), raw_model("covariance-matched neurons, gated")
    assert_same_but_for(model, planted, "blocks.0.mlp.W_in", "blocks.0.mlp.W_gate")
