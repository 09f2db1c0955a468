"""Token names and tokenizers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fixtures.reading import write_word_tokenizer
from tests.models import tiny, tiny_gguf
from vsa_checks.errors import ModelError
from vsa_checks.models import load
from vsa_checks.models.sources import locate
from vsa_checks.models.tokenizer import load_tokenizer, vocabulary_of
from vsa_checks.models.vocabulary import Vocabulary, directory_text_state, directory_vocabulary


def test_names_are_readable_and_keep_the_leading_space(tmp_path: Path) -> None:
    directory = tiny.write_hf(tmp_path / "hf", "llama")
    gguf = tiny_gguf.write_gguf(tmp_path / "model.gguf", "llama")
    pieces = tiny.tokenizer_pieces(tiny.D_VOCAB)
    for path in (directory, gguf):
        model = load(path, "raw")
        assert model.token_name(pieces.index("Ġk")) == " k"
        assert model.token_name(pieces.index("Ċ")) == "\n"
        assert model.token_name(pieces.index("a")) == "a"
        assert model.token_name(1) == "<s>"
        assert model.token_name(tiny.D_VOCAB) == str(tiny.D_VOCAB)
        assert model.token_name(-1) == "-1"


@pytest.mark.parametrize(
    ("style", "piece", "name"),
    [
        ("byte-level", "Ġhello", " hello"),
        ("byte-level", "Ã©", "é"),
        ("byte-level", "âĢ", "\\xe2\\x80"),  # two bytes of three
        ("byte-level", "<|endoftext|>", "<|endoftext|>"),
        ("byte-level", "日本", "日本"),  # an added token, not in the alphabet of bytes
        ("sentencepiece", "▁hello", " hello"),
        ("sentencepiece", "<0x0A>", "\n"),
        ("sentencepiece", "<0xE2>", "\\xe2"),
        ("plain", "##ing", "##ing"),
    ],
)
def test_every_way_of_writing_tokens(style: str, piece: str, name: str) -> None:
    assert Vocabulary([piece], style).name(0) == name


def test_names_agree_with_the_tokenizer(tmp_path: Path) -> None:
    model = load(tiny.write_hf(tmp_path, "llama"), "raw")
    for token in range(3, tiny.D_VOCAB):
        decoded = model.tokenizer.decode([token])
        assert decoded == model.token_name(token) or "�" in decoded


UNIGRAM = {"model": {"vocab": [["<unk>", 0.0], ["▁the", -1.0]]}, "decoder": {"replacement": "▁"}}


@pytest.mark.parametrize(
    ("file", "content", "names"),
    [
        ("vocab.json", json.dumps({"Ġa": 1, "b": 0}), ["b", " a", "2"]),
        ("vocab.txt", "[PAD]\n##s\n", ["[PAD]", "##s", "2"]),
        ("tokenizer.json", json.dumps(UNIGRAM), ["<unk>", " the", "2"]),
    ],
)
def test_the_older_files_are_read(file: str, content: str, names: list[str], tmp_path: Path) -> None:
    (tmp_path / file).write_text(content)
    vocabulary = directory_vocabulary(tmp_path)
    assert vocabulary is not None and [vocabulary.name(token) for token in range(3)] == names


def test_a_damaged_tokenizer_leaves_the_weights(tmp_path: Path) -> None:
    directory = tiny.write_hf(tmp_path, "llama")
    (directory / "tokenizer.json").write_text("{")
    model = load(directory, "raw")
    assert not model.info.text
    assert model.token_name(5) == "5"
    assert model.tokenizer is None
    assert model.text_reason == model.info.text_reason
    with pytest.raises(ModelError, match="Give token ids instead"):
        model.run_with_cache("some text")
    assert model.run_with_cache([1, 2, 3])[0].shape == (1, 3, tiny.D_VOCAB)


@pytest.mark.parametrize("fault", ["an unknown step", "a panic in Rust"])
def test_a_tokenizer_that_fails_when_read_leaves_the_weights(
    fault: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    directory = tiny.write_hf(tmp_path, "llama")
    content = json.loads((directory / "tokenizer.json").read_text())
    if fault == "a panic in Rust":
        content["model"]["continuing_subword_prefix"] = "longer than any token"
    else:
        content["pre_tokenizer"] = {"type": "NoSuchStep"}
    (directory / "tokenizer.json").write_text(json.dumps(content))
    model = load(directory, "raw")
    assert model.info.text
    assert model.tokenizer is None
    assert "cannot be used" in model.text_reason
    assert ("PanicException" in model.text_reason) == (fault == "a panic in Rust")
    assert "panicked" not in capfd.readouterr().err
    with pytest.raises(ModelError, match="cannot be used"):
        model.run_with_cache(["some text"])


def test_text_is_read_from_a_gguf_file(tmp_path: Path) -> None:
    model = load(tiny_gguf.write_gguf(tmp_path / "model.gguf", "llama"), "raw")
    assert model.text_reason == ""
    ids = model.tokenizer.encode("b c", add_special_tokens=False)
    assert "".join(model.token_name(token) for token in ids) == "b c"
    logits, _ = model.run_with_cache("b c")
    assert logits.shape == (1, 1 + len(ids), tiny.D_VOCAB)


def test_several_texts_at_once(tmp_path: Path) -> None:
    model = load(tiny.write_hf(tmp_path, "gpt2"))
    logits, _ = model.run_with_cache(["ab", "ac"])
    assert logits.shape == (2, 2, tiny.D_VOCAB)


@pytest.mark.parametrize("model_type", tiny_gguf.TRANSFORMERS_READS)
def test_a_gguf_files_text_becomes_the_ids_that_transformers_gives_by_its_configuration(
    tmp_path: Path, model_type: str
) -> None:
    from transformers import AutoTokenizer

    path = tiny_gguf.write_gguf(tmp_path / "model.gguf", model_type)
    found, why = load_tokenizer(locate(str(path)))
    slow = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name, add_bos_token=True)
    assert found is not None, why
    assert (found.bos_token_id, found.eos_token_id, found.pad_token_id) == (1, 2, 0)
    assert found.encode("a b c") == slow.encode("a b c")
    ids = found.encode("a b c the abc cab", add_special_tokens=False)
    assert ids == slow.encode("a b c the abc cab", add_special_tokens=False)
    assert len(set(ids)) > 3


# --- which tokenizer belongs to which weights -----------------------------------------------------------------

SENTENCEPIECE = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "a", "b", "▁a", "ab", "▁ab"]
"""A vocabulary whose ids follow from its scores alone: no list of merges stands beside it."""


def tokenizer_alone(path: Path, architecture: str, kind: str, pieces: list[str], bos: int = 1) -> Path:
    """A GGUF file with a tokenizer and one tensor, which is all that a tokenizer needs."""
    import gguf

    writer = gguf.GGUFWriter(path, architecture)
    writer.add_tokenizer_model(kind)
    writer.add_token_list(pieces)
    if kind == "llama":
        writer.add_token_scores([0.0] * 259 + [-float(at) for at in range(len(pieces) - 259)])
        writer.add_token_types([2, 3, 3] + [6] * 256 + [1] * (len(pieces) - 259))
        writer.add_unk_token_id(0)
    else:
        writer.add_token_types([3] * 3 + [1] * (len(pieces) - 3))
        writer.add_token_merges([" ".join(pair) for pair in tiny.token_merges(pieces)])
    writer.add_bos_token_id(bos)
    writer.add_eos_token_id(2)
    writer.add_tensor("token_embd.weight", np.zeros((len(pieces), 32), np.float32))
    return tiny_gguf.close(writer, path)


ALONE = {
    # Scores fall from "▁" on, so pieces join in that order; a space is put before the text.
    "llama": ("llama", SENTENCEPIECE, "ab c", [1, 264, 259, 3 + ord("c")]),
    "gpt2": ("gpt2", tiny.tokenizer_pieces(300), "b a", None),
}


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "olmo2", "gptneox", "granite", "no-such-architecture"])
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("neighbour", [False, True])
def test_a_gguf_file_is_read_with_its_own_tokenizer(
    kind: str, architecture: str, neighbour: bool, tmp_path: Path
) -> None:
    _, pieces, text, ids = ALONE[kind]
    if ids is None:
        ids = [1, pieces.index("b"), pieces.index("Ġa")]
    path = tokenizer_alone(tmp_path / "model.gguf", architecture, kind, pieces)
    if neighbour:
        write_word_tokenizer(tmp_path, 300)
    tokenizer, why = load_tokenizer(locate(str(path)))
    assert tokenizer is not None, why
    assert tokenizer.encode(text) == ids
    vocabulary = vocabulary_of(locate(str(path)))
    assert vocabulary is not None
    assert "".join(vocabulary.name(token) for token in ids[1:]).strip() == text


@pytest.mark.parametrize("adds", [True, False])
def test_text_goes_into_a_gguf_model_as_its_own_tokenizer_has_it(adds: bool, tmp_path: Path) -> None:
    """transformer_lens reads a tokenizer again, by the folder's name, where it does not add a token before the text."""
    fields = {"tokenizer.ggml.add_bos_token": adds, "tokenizer.ggml.padding_token_id": None}
    path = tiny_gguf.write_gguf(tmp_path / "model.gguf", "llama", fields=fields)
    write_word_tokenizer(tmp_path, 300)
    model = load(path, "raw")
    own = model.tokenizer.encode("b c")
    assert own == [1] * adds + [68, 261]
    logits, _ = model.run_with_cache("b c")
    assert np.array_equal(logits.numpy(), model.run_with_cache([1, 68, 261])[0].numpy()), (
        "transformer_lens adds its own"
    )
    assert model.tokenizer.encode("b c") == own, "and nothing was added to it"


def test_a_special_token_beyond_a_gguf_files_vocabulary_is_named(tmp_path: Path) -> None:
    path = tokenizer_alone(tmp_path / "model.gguf", "llama", "gpt2", tiny.tokenizer_pieces(300), bos=50256)
    tokenizer, why = load_tokenizer(locate(str(path)))
    assert tokenizer is None
    assert "the bos token" in why and "is 50256" in why and "only tokens 0 to 299" in why


def test_a_tokenizer_some_tokens_longer_than_the_vocabulary_keeps_its_names(tmp_path: Path) -> None:
    directory = tiny.write_hf(tmp_path, "llama", tokenizer=False)
    tiny.write_tokenizer(directory, tiny.D_VOCAB + 1)
    model = load(directory, "raw")
    assert model.info.text and model.token_name(5) != "5"
    assert model.run_with_cache("b c")[0].shape == (1, len(model.tokenizer.encode("b c")), tiny.D_VOCAB)


# --- which ids have a name ------------------------------------------------------------------------------------


def test_ids_in_gaps_and_past_the_end_have_no_name(tmp_path: Path) -> None:
    content = {"model": {"vocab": {"a": 0, "b": 3}}, "added_tokens": [{"id": 5, "content": "<new>"}]}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    vocabulary = directory_vocabulary(tmp_path)
    assert vocabulary is not None
    assert vocabulary.named(8).tolist() == [True, False, False, True, False, True, False, False]
    assert vocabulary.named(2).tolist() == [True, False]


@pytest.mark.parametrize(("file", "content"), [("vocab.json", '{"a": 0, "b": 1}'), ("vocab.txt", "a\nb\n")])
def test_added_tokens_beside_an_older_file_have_names(file: str, content: str, tmp_path: Path) -> None:
    (tmp_path / file).write_text(content)
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<one>": 3}))
    config = {"added_tokens_decoder": {"4": {"content": "<two>"}}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    vocabulary = directory_vocabulary(tmp_path)
    assert vocabulary is not None and len(vocabulary) == 5
    assert vocabulary.named(6).tolist() == [True, True, False, True, True, False]
    assert [vocabulary.name(token) for token in (2, 3, 4)] == ["2", "<one>", "<two>"]


def test_a_file_of_lines_may_hold_characters_that_end_lines_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("[PAD]\n\u2028\n\x85\nword\n", encoding="utf-8")
    vocabulary = directory_vocabulary(tmp_path)
    assert vocabulary is not None and len(vocabulary) == 4 and vocabulary.name(3) == "word"


def test_ids_that_a_gguf_converter_filled_in_have_no_name(tmp_path: Path) -> None:
    pieces = [*tiny.tokenizer_pieces(290), *(f"[PAD{token}]" for token in range(290, 300))]
    path = tokenizer_alone(tmp_path / "model.gguf", "llama", "gpt2", pieces)
    vocabulary = vocabulary_of(locate(str(path)))
    assert vocabulary is not None
    assert vocabulary.named(300).tolist() == [True] * 290 + [False] * 10
    assert vocabulary.name(295) == "295"


def test_where_only_transformers_can_read_the_tokenizer_nothing_is_known_of_names(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(b"")
    assert directory_vocabulary(tmp_path) is None and directory_text_state(tmp_path, 300) == (True, "")
