"""Everything that reads an untrusted file, with small sound files made by the tests' builders."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from fuzz import reports
from fuzz.cases import Case, Reader
from fuzz.changes import change_bytes, change_json, change_toml
from fuzz.containers import change_gguf, change_pickled, change_safetensors
from vsa_checks import paths
from vsa_checks.errors import NotChecked
from vsa_checks.models.texts import Text

ARCHITECTURES = ("gpt2", "llama", "mixtral", "bert", "t5", "gemma3_text", "falcon_mamba", "phi3")
GGUF = ("llama", "gemma3_text", "mixtral", "phi3")
CODE_WAS_RUN: list[str] = []
"""A file got code to run, if anything is in here: some of the pickles ask for it."""
_PASSAGE = Text("a passage", ("The quick brown fox jumps over the lazy dog. " * 40,), "0" * 64)


def all_readers(folder: Path) -> dict[str, Reader]:
    """The readers by name; the folders that their files stand in are written below `folder`."""
    made = [
        Reader("config.json", 3, tuple(_configs(folder))),
        Reader("tokenizer", 4, tuple(_tokenizers(folder))),
        Reader("index of weights", 9, tuple(_indexes(folder))),
        Reader("safetensors", 14, tuple(_safetensors(folder))),
        Reader("pickled weights", 10, tuple(_pickles(folder))),
        Reader("GGUF", 8, tuple(_gguf(folder))),
        Reader("hub's cache", 6, tuple(_references(folder))),
        Reader("list of models", 9, tuple(_registry())),
        Reader("text", 3, tuple(_texts())),
        *reports.readers(folder),
    ]
    return {reader.name: reader for reader in made}


def _described(directory: Path) -> str:
    """Describe a model, load it in both bases, and make its checksum."""
    from vsa_checks.models import BASES, describe, load
    from vsa_checks.workbench.dependencies import model_content
    from vsa_checks.workbench.twin import shape_digest

    info = describe(str(directory))
    assert info.n_layers >= 0 and info.d_model > 0
    model_content(str(directory))
    shape_digest(str(directory))
    for basis in BASES:
        load(str(directory), basis)
    return "read" if info.text else "read, without text"


def _cases(folder: Path, directory: Path, names: tuple[str, ...], change: object, read: object) -> Iterator[Case]:
    for name in names:
        file = directory / name
        yield Case(str(file.relative_to(folder)), file.read_bytes(), change, read)  # type: ignore[arg-type]


def _configs(folder: Path) -> Iterator[Case]:
    from tests.models import tiny

    for kind in ARCHITECTURES:
        directory = tiny.write_hf(folder / f"config-{kind}", kind, tokenizer=kind in ("gpt2", "llama"))
        yield from _cases(folder, directory, ("config.json",), change_json, lambda path: _described(path.parent))


# --- tokenizers -------------------------------------------------------------------------------------------------------


def _tokenized(directory: Path) -> str:
    """The vocabulary's names, then the tokenizer itself and a passage cut by it."""
    from vsa_checks.models import describe
    from vsa_checks.models.sources import locate
    from vsa_checks.models.texts import cut
    from vsa_checks.models.tokenizer import load_tokenizer, vocabulary_of

    found = locate(str(directory))
    info = describe(str(directory))
    vocabulary = vocabulary_of(found)
    if vocabulary is not None:
        assert all(isinstance(vocabulary.name(token), str) for token in range(-1, min(len(vocabulary) + 1, 2000)))
        assert len(vocabulary.named(info.d_vocab)) == info.d_vocab
    if not info.text:
        return "no text"
    tokenizer, why_not = load_tokenizer(found)
    if tokenizer is None:
        assert why_not
        return "no tokenizer"
    try:
        reading = cut(_PASSAGE, tokenizer, 64, info.d_vocab)
    except NotChecked:
        return "not checked"
    assert all(0 <= token < info.d_vocab for window in reading.windows for token in window.tokens)
    return "read"


def _tokenizers(folder: Path) -> Iterator[Case]:
    from tests.models import tiny

    def read(path: Path) -> str:
        return _tokenized(path.parent)

    fast = tiny.write_hf(folder / "tokenizer-fast", "gpt2")
    yield from _cases(folder, fast, ("tokenizer.json", "tokenizer_config.json"), change_json, read)
    slow = tiny.write_hf(folder / "tokenizer-slow", "gpt2", tokenizer=False)
    pieces = tiny.tokenizer_pieces(tiny.D_VOCAB)
    (slow / "vocab.json").write_text(json.dumps({piece: at for at, piece in enumerate(pieces)}))
    (slow / "merges.txt").write_text("\n".join(" ".join(pair) for pair in tiny.token_merges(pieces)))
    (slow / "added_tokens.json").write_text('{"<extra>": 299}')
    yield from _cases(folder, slow, ("vocab.json", "added_tokens.json"), change_json, read)
    yield from _cases(folder, slow, ("merges.txt",), change_bytes, read)
    words = tiny.write_hf(folder / "tokenizer-words", "bert", tokenizer=False)
    listed = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(chr(97 + at % 26) + str(at) for at in range(295))]
    (words / "vocab.txt").write_text("\n".join(listed) + "\n")
    yield from _cases(folder, words, ("vocab.txt",), change_bytes, read)


# --- weights ----------------------------------------------------------------------------------------------------------


def _stored(directory: Path) -> None:
    """Every stored tensor, of the shape that is stated."""
    from vsa_checks.models.checksums import content_sha256
    from vsa_checks.models.files import check_folder, find_weights
    from vsa_checks.models.storage import open_weights
    from vsa_checks.models.stored_facts import shapes_and_dtype

    check_folder(directory, str(directory))
    weights = find_weights(directory, str(directory))
    stored = open_weights(weights, str(directory))
    shapes, _ = shapes_and_dtype(weights, str(directory))
    assert shapes.keys() == set(stored.names)
    for name in stored.names:
        assert stored.read(name).shape == stored.shape(name) == shapes[name], name
    assert len(content_sha256(directory)) == 64


def _indexes(folder: Path) -> Iterator[Case]:
    from tests.models import tiny

    split = tiny.write_hf(folder / "index", "gpt2", tokenizer=False, max_shard_size="60KB")
    yield from _cases(folder, split, ("model.safetensors.index.json",), change_json, lambda path: _stored(path.parent))


def _safetensors(folder: Path) -> Iterator[Case]:
    import torch
    from safetensors.torch import save

    tensors = {"a": torch.arange(12.0).reshape(3, 4), "b.bias": torch.ones(5, dtype=torch.bfloat16)}
    tensors |= {"c": torch.zeros(2, 0), "d": torch.tensor(1.5, dtype=torch.float16)}
    for at, metadata in enumerate((None, {"format": "pt"})):
        place = f"safetensors-{at}/model.safetensors"
        (folder / place).parent.mkdir()
        yield Case(place, save(tensors, metadata), change_safetensors, lambda path: _stored(path.parent))


def note_that_code_was_run(words: str) -> None:
    """What a pickle asks for."""
    CODE_WAS_RUN.append(words)


class _Asks:
    """Pickled, it asks to run a function of this module."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return note_that_code_was_run, ("by a pickle",)


def _pickles(folder: Path) -> Iterator[Case]:
    import torch

    tensors = {"a": torch.arange(12.0).reshape(3, 4), "b": torch.ones(5), "c": torch.nn.Parameter(torch.ones(2, 2))}
    tensors["d"] = tensors["a"].T  # of the same numbers, in another order
    contents = [(tensors, True), (tensors, False), ({"a": tensors["a"], "b": _Asks()}, True)]
    for at, (content, as_archive) in enumerate(contents):
        written, place = io.BytesIO(), f"pickled-{at}/pytorch_model.bin"
        torch.save(content, written, _use_new_zipfile_serialization=as_archive)
        (folder / place).parent.mkdir()
        yield Case(place, written.getvalue(), change_pickled, lambda path: _stored(path.parent))


def _gguf_read(path: Path) -> str:
    """Description, vocabulary and weights of a GGUF file; the tokenizer of one in sixteen, which takes longest."""
    from vsa_checks.models import describe, load
    from vsa_checks.models.gguf_header import read_header
    from vsa_checks.models.sources import locate
    from vsa_checks.models.tokenizer import load_tokenizer, vocabulary_of
    from vsa_checks.workbench.twin import shape_digest

    info = describe(str(path))
    vocabulary = vocabulary_of(locate(str(path)))
    if vocabulary is not None:
        assert all(isinstance(vocabulary.name(token), str) for token in range(-1, min(len(vocabulary) + 1, 2000)))
    read_header(path)
    shape_digest(str(path))
    model = load(str(path), "raw")
    assert model.W_E.shape == (info.d_vocab, info.d_model)
    if info.text and path.read_bytes()[-1] % 16 == 0:
        load_tokenizer(locate(str(path)))
    return "read" if info.text else "read, without text"


def _gguf(folder: Path) -> Iterator[Case]:
    from tests.models import tiny_gguf

    for kind in GGUF:
        file = folder / f"gguf-{kind}" / "model.gguf"
        file.parent.mkdir()
        quantization = "Q4_1" if kind == "llama" else None
        tiny_gguf.write_gguf(file, kind, quantization)
        yield from _cases(folder, file.parent, (file.name,), change_gguf, _gguf_read)


# --- what names models, and what they read ----------------------------------------------------------------------------


def _references(folder: Path) -> Iterator[Case]:
    from tests.models import tiny
    from vsa_checks.models.registry import RegistryEntry
    from vsa_checks.models.sources import locate

    commit = "0123456789abcdef0123456789abcdef01234567"
    model = tiny.write_hf(folder / "plain", "gpt2", tokenizer=False)
    tiny.write_hub_cache(folder / "hub", "org/name", commit, model, "main")
    entry = {"name": RegistryEntry("name", "hub", id="org/name")}

    def read(path: Path) -> str:
        os.environ["HF_HUB_CACHE"] = str(path.parent.parent.parent)
        found = locate("name", entry)
        assert found.path is None or found.path.resolve().is_relative_to(path.parent.parent / "snapshots")
        return "not there" if found.path is None else "read"

    place = "hub/models--org--name/refs/main"
    yield Case(place, commit.encode(), change_bytes, read)


def _registry() -> Iterator[Case]:
    from vsa_checks.models.registry import read_registry

    def read(path: Path) -> None:
        for name, entry in read_registry(path).items():
            assert entry.name == name and entry.location

    for at, content in enumerate(_parts(paths.MODELS_FILE.read_bytes(), b"\n[")):
        yield Case(f"models-{at}.toml", content, change_toml, read)


def _parts(content: bytes, start: bytes, most: int = 4) -> list[bytes]:
    """A file of tables as one of a few of them each, and the whole."""
    tables = [start.lstrip() + part + b"\n" for part in content.split(start)[1:]]
    return [*tables[:most], b"".join(tables[:most]), content]


def _texts() -> Iterator[Case]:
    from vsa_checks.models.texts import read_text

    def read(path: Path) -> None:
        found = read_text(path)
        assert found.name.isprintable() and len(found.passages) == 1

    for at, file in enumerate(sorted(paths.TEXTS.glob("*.txt"))):
        yield Case(f"text-{at}.txt", file.read_bytes()[:6000], change_bytes, read)
