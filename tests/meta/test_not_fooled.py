"""Where nothing but chance is at work, no claim that names a decisive null says `holds`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures import null_models
from fixtures.claim_tests import verdict_on
from fixtures.reading import uniform_text, write_word_tokenizer
from fixtures.small_models import Sizes, Weights, save
from vsa_checks.judging.claim import load_claims
from vsa_checks.judging.judge import CHANCE, HOLDS, NOT_CHECKED
from vsa_checks.judging.subjects import enumerate_subjects
from vsa_checks.workbench.access import Workbench

pytestmark = pytest.mark.slow

SIZES = {
    "like GPT-2": Sizes(d_model=48, d_vocab=160, n_layers=3, d_head=12, d_mlp=100),
    "gated": Sizes(d_model=48, d_vocab=160, n_layers=3, n_kv_heads=2, d_head=10, d_mlp=100, gated=True),
}
# A gated MLP has no biases to make an AND of a sum, and the published circuit is one of the paper's model alone.
# In so few dimensions no sum of two tokens or more is few.
MEANINGLESS = {
    ("gated", "neuron-and"),
    *((kind, "circuit-figure2") for kind in SIZES),
    *((kind, f"neurons-{name}") for kind in SIZES for name in ("cos50-few", "cos30-few", "cos50-bound-few")),
}
NULLS: dict[str, Callable[..., Weights]] = {
    "random initialisation": null_models.random_initialisation,
    "covariance-matched neurons": null_models.covariance_matched_neurons,
}


def verdicts(directory: Path, seed: int) -> dict[str, Counter[str]]:
    """How often each claim with a decisive null has each verdict over the raw weights of a model."""
    d_vocab = next(iter(SIZES.values())).d_vocab
    bench = Workbench(str(write_word_tokenizer(directory, d_vocab)), seed=seed, text=uniform_text(d_vocab, seed=seed))
    model, found = bench.model("raw"), defaultdict[str, Counter[str]](Counter)
    for claim in load_claims().values():
        if not claim.decisive:
            continue
        for subject in enumerate_subjects(claim, model.info, ["raw"]):
            found[claim.id][verdict_on(bench, subject)[0]] += 1
    return dict(found)


@pytest.mark.parametrize(
    ("kind", "null"),
    [
        ("like GPT-2", "random initialisation"),
        pytest.param("gated", "covariance-matched neurons", marks=pytest.mark.thorough),
    ],
)
def test_no_claim_holds_by_chance(kind: str, null: str, tmp_path: Path) -> None:
    """The heads and outputs beside covariance-matched neurons are planted ones, so that those claims rightly hold."""
    found = verdicts(save(tmp_path, SIZES[kind], NULLS[null](SIZES[kind], seed=0)), 0)
    about_neurons = {claim for claim in found if load_claims()[claim].subjects.startswith("mlp-in")}
    examined = found if null == "random initialisation" else {claim: found[claim] for claim in about_neurons}
    assert examined
    for claim, counts in examined.items():
        assert not counts[HOLDS], f"{claim} holds on {counts[HOLDS]} of {counts.total()} subjects"
        assert counts[NOT_CHECKED] < counts.total() or (kind, claim) in MEANINGLESS, claim
    if null == "covariance-matched neurons":
        # The trap was set: by its threshold alone the claim would have held.
        assert found["neurons-beyond-chance"][CHANCE]


def test_where_no_cosine_can_be_an_artifact_none_is_looked_for(tmp_path: Path) -> None:
    """In 36 dimensions 6/sqrt(d) is 1: a share of 0 would say nothing of vectors that all point the same way."""
    sizes = Sizes(d_model=36, d_vocab=90, n_layers=1, n_kv_heads=2, d_head=8, d_mlp=50, gated=True)
    bench = Workbench(str(save(tmp_path, sizes, null_models.shared_direction(sizes, seed=0))))
    model = bench.model("raw")
    for claim in ("embedding-artifacts", "embedding-artifacts-centered", "attention-artifacts", "mlp-out-artifacts"):
        for subject in enumerate_subjects(load_claims()[claim], model.info, ["raw"]):
            assert verdict_on(bench, subject)[0] == NOT_CHECKED, subject.id
