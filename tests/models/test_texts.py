"""The text that models read: what ships, what is refused, and how it is cut into windows."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from fixtures.reading import word_text, write_word_tokenizer
from tests.models import tiny
from vsa_checks.errors import NotChecked, UsageError
from vsa_checks.models.texts import (
    LEAST_CHARACTERS,
    LEAST_WINDOW,
    MOST_BYTES,
    MOST_TOKENS,
    WINDOW_TOKENS,
    Text,
    cut,
    read_text,
    shipped_text,
)
from vsa_checks.paths import TEXTS


def tokenizer_at(directory: Path) -> object:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(directory)


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> object:
    """Knows the words t0 to t299; puts nothing around a text."""
    return tokenizer_at(write_word_tokenizer(tmp_path_factory.mktemp("words"), 300))


@pytest.fixture(scope="module")
def bytes_with_bos(tmp_path_factory: pytest.TempPathFactory) -> object:
    """Byte-level, with a beginning-of-text token before each text and an end after it."""
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    directory = tmp_path_factory.mktemp("bytes")
    tiny.write_tokenizer(directory)
    inner = PreTrainedTokenizerFast(tokenizer_file=str(directory / "tokenizer.json"))._tokenizer
    inner.post_processor = TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    return PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>")


# --- what ships, and what is given ----------------------------------------------------------------------------


def test_what_ships_is_some_kilobytes_whose_sources_are_named() -> None:
    text = shipped_text()
    files = sorted(TEXTS.glob("*.txt"))
    assert len(text.passages) == len(files) >= 3
    assert 8_000 <= sum(len(passage.encode()) for passage in text.passages) <= 16_000
    readme = (TEXTS / "README.md").read_text(encoding="utf-8")
    for file in files:
        (row,) = [line for line in readme.splitlines() if line.startswith(f"| `{file.name}`")]
        assert row.rstrip(" |").rsplit("| ", 1)[1].isdigit(), "the year"
        assert file.read_text(encoding="utf-8").isascii()


def test_a_file_is_one_passage_under_its_own_name(tmp_path: Path) -> None:
    path = tmp_path / "a text.txt"
    path.write_bytes("\ufeff".encode() + b"word " * 300)
    text = read_text(path)
    assert (text.name, text.passages) == ("a text.txt", ("word " * 300,))
    assert len(text.sha256) == 64 and read_text(path) == text


BAD = {
    "not there": (None, "cannot be read"),
    "empty": (b"", "too short: it has 0 characters"),
    "blank": (b" \n" * LEAST_CHARACTERS, "too short: it has 0 characters"),
    "too short": (b"word " * 100, "too short: it has 499 characters"),
    "not UTF-8": ("caf\u00e9 ".encode("latin-1") * 400, "is not in UTF-8: byte 3"),
}


@pytest.mark.parametrize("case", BAD)
def test_texts_that_cannot_be_used_are_refused_in_one_paragraph(case: str, tmp_path: Path) -> None:
    content, words = BAD[case]
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=words) as refusal:
        read_text(path)
    message = str(refusal.value)
    assert str(path) in message and "--text" in message and "\n" not in message


def test_what_is_no_file_is_no_text_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, word in ((tmp_path, "folder"), (tmp_path / "pipe", "pipe"), (Path("/dev/zero"), "device")):
        with pytest.raises(UsageError, match=f"is a {word}.* Give --text a file"):
            read_text(path)


def test_of_a_long_file_the_beginning_is_read_and_the_name_says_so(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    with path.open("wb") as file:
        file.write("wörd ".encode() * 300_000)
        file.truncate(40 * 10**9)  # 40 GB of nothing, which no text may have
    text = read_text(path)
    (passage,) = text.passages
    n_bytes = len(passage.encode())
    assert MOST_BYTES - 10 < n_bytes <= MOST_BYTES and set(passage.split(" ")) == {"wörd"}
    assert text.name == f"long.txt (its first {n_bytes:,} bytes)"
    assert text.sha256 == hashlib.sha256(passage.encode()).hexdigest()


@pytest.mark.parametrize("shift", range(4))
def test_a_character_of_several_bytes_may_stand_where_a_long_file_is_cut(shift: int, tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_bytes(b"x" * shift + "\U0001d4d0".encode() * (MOST_BYTES // 4 + 10))
    (passage,) = read_text(path).passages
    assert set(passage) <= {"x", "\U0001d4d0"} and MOST_BYTES - 4 < len(passage.encode()) <= MOST_BYTES
    path.write_bytes(b"x" * MOST_BYTES + b"\xff" * 10)
    assert read_text(path).passages == ("x" * MOST_BYTES,), "what is not read may be anything"
    path.write_bytes(b"x" * (MOST_BYTES - 10) + b"\xff" * 100)
    with pytest.raises(UsageError, match=f"byte {MOST_BYTES - 10} is none"):
        read_text(path)


class Counting:
    """A tokenizer of single characters that counts what it is given."""

    def __init__(self, per_token: int) -> None:
        self.per_token, self.given = per_token, 0

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        self.given += len(text)
        return [7] * (len(text) // self.per_token)


@pytest.mark.parametrize("per_token", [1, 5, 100])
@pytest.mark.parametrize("blanks", [True, False])
def test_no_more_of_a_passage_is_tokenized_than_is_needed(per_token: int, blanks: bool) -> None:
    tokenizer = Counting(per_token)
    passage = "word word " * 10**6 if blanks else "w" * 10**7
    found = cut(Text("long", (passage,), ""), tokenizer, 128, 300)
    assert MOST_TOKENS - WINDOW_TOKENS < found.n_tokens <= MOST_TOKENS
    assert tokenizer.given < 6 * max(MOST_TOKENS * per_token, 16 * MOST_TOKENS)


# --- windows --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "positions"), [(1_000, 32), (127, 1_024), (129, 1_024), (500, 100)])
def test_windows_hold_all_of_a_passage_in_order(n: int, positions: int, words: object) -> None:
    tokens = np.random.default_rng(0).integers(300, size=n)
    found = cut(word_text("words", tokens), words, positions, 300)
    assert np.array_equal(np.concatenate([window.tokens for window in found.windows]), tokens)
    assert found.n_tokens == found.n_in_text == n
    lengths = [len(window.tokens) for window in found.windows]
    assert max(lengths) <= min(positions, WINDOW_TOKENS) and max(lengths) - min(lengths) <= 1
    assert all((window.first, window.last) == (0, len(window.tokens)) for window in found.windows)


def test_windows_do_not_cross_passages(words: object) -> None:
    text = Text("two", (" ".join(["t1"] * 100), " ".join(["t2"] * 60)), "")
    assert [set(window.tokens.tolist()) for window in cut(text, words, 64, 300).windows] == [{1}, {1}, {2}]


def test_the_tokenizers_own_tokens_stand_around_each_window(bytes_with_bos: object) -> None:
    found = cut(Text("letters", ("x1 " * 100,), ""), bytes_with_bos, 32, 300)
    assert found.n_in_text == found.n_tokens > 100
    for window in found.windows:
        assert (window.tokens[0], window.tokens[-1]) == (1, 2)
        assert (window.first, window.last) == (1, len(window.tokens) - 1)
        assert not set(window.tokens[1:-1].tolist()) & {1, 2}
        assert len(window.tokens) <= 32


def test_short_ends_are_left_out_and_long_texts_cut_off(words: object) -> None:
    short = Text("short", (" ".join(["t1"] * (LEAST_WINDOW - 1)),), "")
    assert cut(short, words, 64, 300).windows == ()
    long = cut(word_text("long", np.zeros(3 * MOST_TOKENS, int)), words, 128, 300)
    assert MOST_TOKENS - WINDOW_TOKENS < long.n_tokens <= MOST_TOKENS
    assert long.n_in_text == 3 * MOST_TOKENS


def test_a_model_of_few_positions_gets_no_window(bytes_with_bos: object) -> None:
    text = Text("letters", ("abc " * 300,), "")
    for positions in (1, 2, 8):
        assert cut(text, bytes_with_bos, positions, 300).windows == ()


def test_a_token_that_the_model_does_not_have_is_never_fed(words: object, bytes_with_bos: object) -> None:
    tokens = np.random.default_rng(0).integers(200, size=500)
    assert cut(word_text("words", tokens), words, 64, 200).n_tokens == 500, "a longer tokenizer, and none of the rest"
    tokens[300] = 250
    with pytest.raises(NotChecked, match=r"gives token 250 in words.* only the tokens 0 to 199"):
        cut(word_text("words", tokens), words, 64, 200)


def test_a_beginning_of_text_beyond_the_vocabulary_is_named() -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(WordLevel({"a": 0, "b": 1, "<s>": 300}, unk_token="a"))
    inner.pre_tokenizer = Whitespace()
    inner.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 300)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>")
    with pytest.raises(NotChecked, match="gives token 300 around every text"):
        cut(Text("letters", ("a b " * 100,), ""), tokenizer, 64, 300)
