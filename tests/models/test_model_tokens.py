"""Token names and tokenizers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.models import tiny
from vsa_checks.errors import ModelError
from vsa_checks.models import load
from vsa_checks.models.sources import locate
from vsa_checks.models.tokenizer import load_tokenizer
from vsa_checks.models.vocabulary import Vocabulary, directory_vocabulary


def test_names_are_readable_and_keep_the_leading_space(tmp_path: Path) -> None:
    directory = tiny.write_hf(tmp_path / "hf", "llama")
    gguf = tiny.write_gguf(tmp_path / "model.gguf", "llama")
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


def test_a_tokenizer_that_fails_when_read_leaves_the_weights(tmp_path: Path) -> None:
    directory = tiny.write_hf(tmp_path, "llama")
    content = json.loads((directory / "tokenizer.json").read_text())
    content["pre_tokenizer"] = {"type": "NoSuchStep"}
    (directory / "tokenizer.json").write_text(json.dumps(content))
    model = load(directory, "raw")
    assert model.info.text
    assert model.tokenizer is None
    assert "cannot be used" in model.text_reason
    with pytest.raises(ModelError, match="cannot be used"):
        model.run_with_cache(["some text"])


def test_text_is_read_from_a_gguf_file(tmp_path: Path) -> None:
    model = load(tiny.write_gguf(tmp_path / "model.gguf", "llama"), "raw")
    assert model.text_reason == ""
    ids = model.tokenizer.encode("b c", add_special_tokens=False)
    assert "".join(model.token_name(token) for token in ids) == "b c"
    logits, _ = model.run_with_cache("b c")
    assert logits.shape == (1, 1 + len(ids), tiny.D_VOCAB)


def test_several_texts_at_once(tmp_path: Path) -> None:
    model = load(tiny.write_hf(tmp_path, "gpt2"))
    logits, _ = model.run_with_cache(["ab", "ac"])
    assert logits.shape == (2, 2, tiny.D_VOCAB)


@pytest.mark.parametrize("model_type", tiny.GGUF_ARCHITECTURES)
def test_a_gguf_file_has_the_tokenizer_that_transformers_finds_by_its_configuration(
    tmp_path: Path, model_type: str
) -> None:
    from transformers import AutoTokenizer

    path = tiny.write_gguf(tmp_path / "model.gguf", model_type)
    found, why = load_tokenizer(locate(str(path)))
    slow = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name, add_bos_token=True)
    assert found is not None, why
    assert type(found) is type(slow)
    assert found.backend_tokenizer.to_str() == slow.backend_tokenizer.to_str()
    assert found.special_tokens_map == slow.special_tokens_map
    ids = found.encode("a b c the abc cab", add_special_tokens=False)
    assert ids == slow.encode("a b c the abc cab", add_special_tokens=False)
    assert len(set(ids)) > 3
