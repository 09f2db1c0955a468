"""Which rows of the word embeddings are tokens, decided row by row the obvious way."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from fixtures.planted import planted_weights
from fixtures.reading import write_word_tokenizer
from fixtures.small_models import GATED, Sizes, save
from tests.oracles import Rows
from vsa_checks.models.token_rows import token_rows
from vsa_checks.workbench.access import Workbench


def rows(n: int = 40, d: int = 6, seed: int = 0) -> Rows:
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


def test_rows_that_all_differ_are_tokens() -> None:
    found = token_rows(rows())
    assert found.ids.tolist() == list(range(40)) and found.mask.all()
    assert (found.excluded, found.n_excluded, found.n_rows) == ({}, 0, 40)
    words = rows()
    assert found.of(words) is words


def test_each_reason_is_counted_once() -> None:
    """Zero, unnamed, and equal to another row; a row for which two hold counts for the first."""
    words, named = rows(), np.ones(40, bool)
    words[[3, 38]] = 0
    named[[5, 37, 38, 39]] = False
    words[[10, 11, 12, 37]] = words[10]
    words[[20, 30]] = words[20]
    found = token_rows(words, named)
    assert found.excluded == {"zero": 2, "unnamed": 3, "copies": 5}
    gone = {3, 38, 5, 37, 39, 10, 11, 12, 20, 30}
    assert found.ids.tolist() == [at for at in range(40) if at not in gone]
    assert found.n_excluded == 10 and set(np.flatnonzero(~found.mask)) == gone
    assert np.array_equal(found.of(words), np.stack([words[at] for at in range(40) if at not in gone]))


def test_a_named_row_that_equals_an_unnamed_one_was_not_trained() -> None:
    words, named = rows(), np.arange(40) < 39
    words[7] = words[39]
    assert token_rows(words, named).excluded == {"unnamed": 1, "copies": 1}
    assert token_rows(words, named).ids.tolist() == [at for at in range(39) if at != 7]


def test_equal_is_equal_to_the_last_bit() -> None:
    words = rows()
    words[1] = words[0]
    words[1, 2] = np.nextafter(words[0, 2], np.float32(9))
    words[5] = words[4][[1, 0, 2, 3, 4, 5]]  # the same numbers in another order
    words[8] = -words[9]
    assert token_rows(words).excluded == {}
    words[1, 2] = words[0, 2]
    assert token_rows(words).excluded == {"copies": 2}


def test_zero_has_no_sign() -> None:
    words = rows()
    words[3:6] = words[3] * [1, 0, 1, 0, 1, 1]
    words[4] = np.where(words[4] == 0, -0.0, words[4])
    words[9] = -0.0
    assert token_rows(words).excluded == {"zero": 1, "copies": 3}


@pytest.mark.parametrize(("alike", "copies"), [(19, 19), (20, 0), (40, 0)])
def test_where_most_rows_are_alike_that_tells_nothing(alike: int, copies: int) -> None:
    words = rows()
    words[:alike] = words[0]
    assert token_rows(words).n_excluded == copies
    # zero and unnamed rows are none of those that are left to compare
    more, named = np.concatenate([np.zeros((30, 6)), words, rows(30, seed=1)]), np.arange(100) < 70
    assert token_rows(more, named).n_excluded == 60 + copies


def test_no_row_is_a_token_where_all_are_zero_or_unnamed() -> None:
    assert token_rows(np.zeros((4, 3))).excluded == {"zero": 4}
    assert token_rows(rows(), np.zeros(40, bool)).excluded == {"unnamed": 40}


def test_copies_far_apart_and_among_many() -> None:
    """More rows than are looked at together."""
    words = rows(10_000, 3)
    words[9_999] = words[0]
    assert np.flatnonzero(~token_rows(words).mask).tolist() == [0, 9_999]


@pytest.mark.parametrize("sizes", [Sizes(), GATED], ids=["LayerNorm", "RMSNorm"])
def test_both_bases_of_a_model_have_the_same_tokens(sizes: Sizes, tmp_path: Path) -> None:
    """LayerNorm's processing takes the mean of each row away; the tokenizer lacks the last three rows and one more."""
    weights = planted_weights(sizes)
    weights.W_E[[4, 9]] = 0
    weights.W_E[20:25] = weights.W_E[20] + 0.25
    write_word_tokenizer(save(tmp_path, sizes, weights), sizes.d_vocab - 3)
    bench = Workbench(str(tmp_path))
    for basis in ("raw", "processed"):
        found = bench.tokens(basis)
        assert found.excluded == {"zero": 2, "unnamed": 3, "copies": 5}
        assert set(np.flatnonzero(~found.mask)) == {4, 9, *range(20, 25), 297, 298, 299}
    assert bench.model("raw").info.d_vocab == 300


def test_a_tokenizer_that_is_not_the_models_names_no_rows(tmp_path: Path) -> None:
    """One of far fewer tokens than the model has is not its own."""
    sizes = dataclasses.replace(Sizes(), n_layers=1)
    write_word_tokenizer(save(tmp_path, sizes, planted_weights(sizes)), 100)
    bench = Workbench(str(tmp_path))
    assert not bench.model("raw").info.text and bench.tokens("raw").n_excluded == 0
