"""Rows of W_E that are no tokens change no claim's value, wherever among the tokens they stand."""

from __future__ import annotations

import copy
import dataclasses
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures import reading
from fixtures.claim_tests import claim_test
from fixtures.in_memory import ModelOfArrays, model_in_memory
from fixtures.planted import planted_weights
from fixtures.small_models import GATED, Sizes, Weights, save
from tests.oracles import Rows
from tests.sections.stand_in import bench_of
from vsa_checks.errors import NotChecked
from vsa_checks.judging.claim import load_claims
from vsa_checks.judging.subjects import Subject, enumerate_subjects
from vsa_checks.models.vocabulary import Vocabulary
from vsa_checks.sections import figure2, pursued, recall, table1
from vsa_checks.sections.tokens import token_dictionary
from vsa_checks.workbench.access import Workbench

SMALL = Sizes(d_model=24, d_vocab=90, n_layers=3, n_heads=2, n_kv_heads=2, d_head=12, d_mlp=30)
SMALL_GATED = Sizes(d_model=24, d_vocab=90, n_layers=3, n_heads=2, n_kv_heads=1, d_head=6, d_mlp=30, gated=True)
KINDS = ("zero", "unnamed", "copies")
CLAIMS = {claim.id: (claim, claim_test(claim.id)) for claim in load_claims().values()}


def padding(kinds: list[str], d: int, size: float = 3.0) -> Rows:
    """A row of each of these kinds; the copies are all of one."""
    rng = np.random.default_rng(5)
    copied = size * rng.standard_normal(d)
    rows = {"zero": lambda: np.zeros(d), "unnamed": lambda: size * rng.standard_normal(d), "copies": lambda: copied}
    return np.stack([rows[kind]() for kind in kinds])


def padded(weights: Weights, kinds: list[str], places: list[int]) -> Weights:
    """Rows of these kinds put into W_E before these places."""
    more = copy.copy(weights)
    more.W_E = np.insert(weights.W_E, places, padding(kinds, weights.W_E.shape[1]), axis=0)
    return more


def measured(bench: Workbench, needs_text: bool) -> dict[str, Any]:
    """Every claim's measurement that has something to do with the model's tokens, in JSON, or why there is none."""
    found: dict[str, Any] = {}
    for claim, test in CLAIMS.values():
        if claim.subjects == "paper-model" or ("text" in claim.needs) != needs_text:
            continue
        for subject in enumerate_subjects(claim, bench.model("raw").info, ["raw"]):
            try:
                found[subject.id] = test.measure(bench, subject).as_json()
            except NotChecked as reason:
                found[subject.id] = str(reason)
    return found


def assert_same_but_for_padding(plain: dict[str, Any], other: dict[str, Any], kinds: list[str]) -> None:
    assert plain.keys() == other.keys()
    counted = 0
    for name, one in plain.items():
        two = other[name]
        if isinstance(one, str):
            assert two == one, name
            continue
        for field in ("value", "n_examined", "interval", "reference"):
            assert two[field] == (pytest.approx(one[field], rel=1e-6) if field == "value" else near(one[field])), name
        assert two["nulls"] == near(one["nulls"]), name
        if "excluded" in two["details"]:
            counted += 1
            assert two["details"]["excluded"] == Counter(kinds), name
        if name.startswith(("embedding", "bundle")):
            assert two["n_excluded"] == one["n_excluded"] + len(kinds), name
    assert counted >= 3


def near(value: Any) -> Any:
    """Equal but for rounding, at any depth."""
    if isinstance(value, dict):
        return {key: near(one) for key, one in value.items()}
    if isinstance(value, list):
        return [near(one) for one in value]
    return pytest.approx(value, rel=1e-5, abs=1e-7) if isinstance(value, float) else value


@pytest.mark.slow
@pytest.mark.parametrize(
    "sizes", [pytest.param(SMALL, id="GPT-2", marks=pytest.mark.thorough), pytest.param(SMALL_GATED, id="gated")]
)
def test_no_claim_on_the_weights_sees_padding(sizes: Sizes, monkeypatch: pytest.MonkeyPatch) -> None:
    weights, rng = planted_weights(sizes, bundle=3), np.random.default_rng(8)
    kinds = [str(kind) for kind in rng.permutation(np.repeat(KINDS, 7))]
    places = sorted(rng.integers(0, sizes.d_vocab + 1, len(kinds)).tolist())
    wider = dataclasses.replace(sizes, d_vocab=sizes.d_vocab + len(kinds))
    model = model_in_memory(wider, padded(weights, kinds, places))
    named = np.insert(np.ones(sizes.d_vocab, bool), places, [kind != "unnamed" for kind in kinds])
    model.info = dataclasses.replace(model.info, text=True)
    vocabulary = Vocabulary([f"t{at}" if has else None for at, has in enumerate(named)], "plain")
    monkeypatch.setattr(ModelOfArrays, "vocabulary", vocabulary)
    plain = measured(Workbench("plain", loaded=model_in_memory(sizes, weights)), False)
    assert_same_but_for_padding(plain, measured(Workbench("padded", loaded=model), False), kinds)


@pytest.mark.thorough
@pytest.mark.parametrize("sizes", [Sizes(n_layers=2), dataclasses.replace(GATED, n_layers=2)], ids=["GPT-2", "Llama"])
def test_no_claim_on_text_sees_padding(sizes: Sizes, tmp_path: Path) -> None:
    weights, kinds = planted_weights(sizes), [kind for kind in ("copies", "zero", "unnamed") for _ in range(7)]
    weights.b_in[:] = 0.1
    wider = dataclasses.replace(sizes, d_vocab=sizes.d_vocab + len(kinds))
    text = reading.uniform_text(n=400)

    def bench(name: str, of: Sizes, one: Weights, names: int) -> Workbench:
        reading.write_word_tokenizer(save(tmp_path / name, of, one), names)
        return Workbench(str(tmp_path / name), text=text)

    plain = measured(bench("plain", sizes, weights, sizes.d_vocab), True)
    # the tokenizer has names for the first two kinds
    names = sizes.d_vocab + 14
    more = measured(bench("padded", wider, padded(weights, kinds, [sizes.d_vocab] * len(kinds)), names), True)
    assert sum(isinstance(one, dict) for one in plain.values()) >= 5
    assert_same_but_for_padding(plain, more, kinds)


@pytest.mark.parametrize("kind", KINDS)
def test_recall_is_that_of_the_rows_that_are_tokens(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """2,000 rows of 256 dimensions, of which the last 36 are no tokens; as tokens, all zero, they would give .86."""
    words = np.random.default_rng(0).standard_normal((2_000, 256)).astype(np.float32)
    words[-36:] = padding([kind] * 36, 256)
    cut = recall.bundle_recall(bench_of({"embed.W_E": words[:-36]}, d_model=256, d_vocab=1_964), Subject("c", "raw"))
    bench = bench_of({"embed.W_E": words}, d_model=256, d_vocab=2_000, text=kind == "unnamed")
    names: list[str | None] = [f"t{at}" for at in range(1_964)]
    monkeypatch.setattr(ModelOfArrays, "vocabulary", Vocabulary(names, "plain"))
    found = recall.bundle_recall(bench, Subject("c", "raw"))
    assert found.value == cut.value and found.value == pytest.approx(0.963, abs=0.01)
    assert (found.n_excluded, cut.n_excluded) == (36, 0)
    assert found.details == cut.details | {"excluded": {kind: 36}}


def test_rows_of_the_dictionary_are_token_ids_and_the_mean_is_that_of_the_tokens() -> None:
    words = np.random.default_rng(1).standard_normal((30, 49)).astype(np.float32) + 2
    words[[0, 7]], words[[12, 13]] = 0, words[12]
    kept = [at for at in range(30) if at not in (0, 7, 12, 13)]
    middle = words[kept] - words[kept].mean(axis=0, dtype=np.float64)
    target = middle[[kept.index(3), kept.index(20), kept.index(29)]].sum(axis=0)
    bench = bench_of({"embed.W_E": words, "blocks.0.mlp.W_in": np.stack([target, words[5]], axis=1)}, n_layers=1)
    dictionary = token_dictionary(bench, "raw")
    assert dictionary.rows.tolist() == kept
    assert dictionary.vectors / dictionary.norms[:, None] == pytest.approx(
        middle / np.linalg.norm(middle, axis=1, keepdims=True), abs=1e-6
    )
    found = pursued.token_bundles(bench, "raw", 0, "W_in")
    assert set(found.tokens(0)[:3]) == {3, 20, 29} and found.cosine_at(3)[0] == pytest.approx(1)


# --- the paper's own model ------------------------------------------------------------------------------------


def papers(kind: str | None, n: int = 15) -> tuple[Any, Rows]:
    """A bench that takes its weights for the paper's, and where its tokens stand."""
    rng = np.random.default_rng(2)
    words = rng.standard_normal((50, 49))
    inside = np.arange(50)
    if kind is not None:
        places = [0, 20, *[50] * (n - 2)]
        words = np.insert(words, places, padding([kind] * n, 49), axis=0)
        inside = np.flatnonzero(np.insert(np.ones(50, bool), places, False))
    weights = {
        "embed.W_E": words,
        "unembed.W_U": words.T,
        "blocks.0.mlp.W_in": rng.standard_normal((49, 30)),
        "blocks.0.mlp.W_out": rng.standard_normal((30, 49)),
    }
    names = [f"padding {at}" for at in range(len(words))]
    for token, place in enumerate(inside):
        names[place] = f"t{token}"
    bench = bench_of(weights, names=tuple(names), is_paper_model=True, d_vocab=len(words), n_layers=1)
    return bench, inside


Measure = Callable[..., Any]


@pytest.mark.parametrize("kind", ["zero", "copies"])
def test_published_neurons_and_links_are_looked_for_among_the_tokens(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    neuron = table1.PublishedNeuron(0, 4, 0.5, "as printed", ("t3", "t31", "padding 0"))
    links = tuple(figure2.Link((0, at), None, f"t{7 * at}") for at in range(6))
    monkeypatch.setattr(table1, "published_neurons", lambda: (neuron,))
    monkeypatch.setattr(figure2, "published_links", lambda: links)
    subject = Subject("a-claim", "raw")
    for measure in (table1.published_cosines, figure2.published_path):
        plain, more = (measure(papers(one)[0], subject) for one in (None, kind))
        assert (more.value, more.interval, more.nulls) == (plain.value, plain.interval, plain.nulls)
        assert {key: one for key, one in more.details.items() if key != "excluded"} == plain.details
