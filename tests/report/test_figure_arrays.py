"""figures.npz: what measures hand over is right, and what a file claims is not believed."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import oracles
from tests.report import figures_made as made
from tests.sections.stand_in import bench_of
from vsa_checks.figures import kept, store, token_sample
from vsa_checks.figures.grams import MOST_BYTES, WHOLE, block, heads_of, matrix_blocks, room
from vsa_checks.figures.kept_shapes import groups
from vsa_checks.judging.subjects import Subject
from vsa_checks.models import Basis
from vsa_checks.models.vocabulary import Vocabulary
from vsa_checks.sections import attention, circuits, mlp, pursued
from vsa_checks.sections.beyond_chance import share_beyond_chance

RESULTS = '{"results": []}\n'


def cosines_of(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    return unit @ unit.T


def test_blocks_by_brute_force() -> None:
    vectors = np.random.default_rng(0).standard_normal((96, 20))
    vectors[40] = 0
    found = matrix_blocks(vectors, 40_000, 4)
    assert heads_of(found) == [0, 1, 2, 3]
    for head in (WHOLE, 0, 3):
        cosines, rows = block(found, head)
        assert np.array_equal(rows, np.arange(24 * head, 24 * head + 24)) if head != WHOLE else len(rows) == 64
        true = cosines_of(vectors[rows])
        np.fill_diagonal(true, 1.0)
        assert np.abs(cosines - true).max() <= 0.5 / 127 * np.abs(true - np.eye(len(true))).max() + 1e-7


def test_blocks_stay_within_bounds_for_any_model() -> None:
    for n_layers in (1, 30, 120, 5_000):
        found = matrix_blocks(np.ones((64 * 128, 4)), room(n_layers), 64)
        assert found["cosines"].nbytes <= max(room(n_layers), 2 * 64**2)
        assert 8 * n_layers * found["cosines"].nbytes <= 1.01 * MOST_BYTES + 8 * n_layers * 2_016


def test_measures_hand_over_what_they_measured_and_only_when_asked() -> None:
    rng = np.random.default_rng(1)
    outputs = rng.standard_normal((30, 64)).astype(np.float32)
    queries = rng.standard_normal((2, 64, 8)).astype(np.float32)
    bench = bench_of({"blocks.0.mlp.W_out": outputs, "blocks.0.attn.W_Q": queries}, d_model=64, n_layers=1)
    subject, of_heads = Subject("a", "raw", 0), Subject("a", "raw", 0, "W_Q")
    mlp.outputs_artifacts(bench, subject)
    with bench.pictured() as found:
        mlp.outputs_near_orthogonal(bench, subject)
        mlp.outputs_artifacts(bench, subject)
        attention.heads_near_orthogonal(bench, of_heads)
    own = groups(found, kept.GRAM)
    assert set(own) == {"raw/L0/W_out", "raw/L0/W_Q"}
    assert block(own["raw/L0/W_out"])[0] == pytest.approx(cosines_of(outputs), abs=0.005)
    assert block(own["raw/L0/W_Q"], 1)[0] == pytest.approx(cosines_of(queries[1].T), abs=0.005)
    off = cosines_of(outputs)[np.triu_indices(30, 1)]
    counts = groups(found, kept.HISTOGRAM)["raw/L0/W_out"]["counts"]
    assert np.array_equal(counts, np.histogram(off, np.linspace(-1, 1, 401))[0])
    with bench.pictured() as nothing:
        pass
    assert nothing == {} and len(found) == 9


def test_neurons_and_spreads_by_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pursued, "RANDOM_NEURONS", 50)
    rng = np.random.default_rng(2)
    tokens, matrix = rng.standard_normal((40, 8)).astype(np.float32), rng.standard_normal((8, 25)).astype(np.float32)
    matrix[:, 4] = 0
    names = tuple(f"<{token}>" for token in range(40))
    bench = bench_of({"embed.W_E": tokens, "blocks.0.mlp.W_in": matrix}, names=names, d_model=8, n_layers=1)
    with bench.pictured() as found:
        share_beyond_chance(bench, Subject("a", "raw", 0, "W_in"))
    paths = {i: oracles.pursuit(matrix[:, i], tokens - tokens.mean(axis=0), 5) for i in range(25) if i != 4}
    best, spread = groups(found, kept.BEST)["raw/L0/W_in"], groups(found, kept.BUNDLES)["raw/L0/W_in"]
    order = sorted(paths, key=lambda i: -paths[i][1][-1])[:20]
    assert best["neurons"].tolist() == order
    for at, neuron in enumerate(order):
        assert best["tokens"][at].tolist() == list(paths[neuron][0])
        assert best["cosines"][at] == pytest.approx(paths[neuron][1], abs=1e-5)
        assert best["names"][at] == [names[token] for token in paths[neuron][0]]
    everyone = np.array([path[1] for path in paths.values()])
    assert spread["names"][0] == "neurons" and len(spread["names"]) == 6
    assert spread["percentiles"][0] == pytest.approx(np.percentile(everyone, kept.PERCENTILES, axis=0), abs=1e-5)


def test_links_name_neurons_by_their_own_numbers_and_read_no_weights_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neuron 7 of layer 0 writes just what neuron 5 of layer 2 reads; neurons 0 to 3 of all layers are dead."""
    rng = np.random.default_rng(3)
    arrays = {"embed.W_E": rng.standard_normal((40, 32)).astype(np.float32)}
    for layer in range(3):
        writes, reads = rng.standard_normal((12, 32)), rng.standard_normal((32, 12))
        writes[:4], reads[:, :4] = 0, 0
        arrays[f"blocks.{layer}.mlp.W_out"] = writes.astype(np.float32)
        arrays[f"blocks.{layer}.mlp.W_in"] = reads.astype(np.float32)
    arrays["blocks.2.mlp.W_in"][:, 5] = -2 * arrays["blocks.0.mlp.W_out"][7]
    bench = bench_of(arrays, d_model=32, n_layers=3, d_mlp=12)
    read: list[object] = []
    written, picture = bench.written, bench.picture

    def told(basis: Basis, layer: int, matrix: str, expert: int | None = None) -> Any:
        read.append(layer)
        return written(basis, layer, matrix, expert)

    def pictured(prefix: str, make: Any) -> None:
        before = len(read)
        picture(prefix, make)
        assert before == len(read) > 0

    monkeypatch.setattr(bench, "written", told)
    monkeypatch.setattr(bench, "picture", pictured)
    with bench.pictured() as found:
        circuits.mlp_to_mlp(bench, Subject("a", "raw", None, "W_in"))
    links = groups(found, kept.LINKS)["raw/W_in"]
    assert links["strongest"][0].tolist() == [0, 7, 2, 5]
    assert links["strongest_cosines"][0] == pytest.approx(-1.0)
    assert links["shares"][0].shape == (3, 3) and (links["strongest"][:, [1, 3]] >= 4).all()


def test_frequent_words_come_from_the_text_and_not_from_low_ids() -> None:
    pieces = ["zebra", "qq", *(f"x{n}" for n in range(50)), "the", "Ġthe", "Ġof"]
    words = Vocabulary(pieces, "byte-level")
    ids = np.arange(len(pieces))
    found = token_sample.frequent_words(words, ids, 2)
    assert [words.name(token) for token in found] == [" the", " of"]


# --- the file ---------------------------------------------------------------------------------------------------------


def test_it_is_read_back_and_belongs_to_its_results(tmp_path: Path) -> None:
    assert "no figures.npz" in store.read_file(tmp_path, RESULTS).why_none
    texts = [
        store.as_text({"gram/x/rows": np.arange(3, dtype=np.int32)}),
        store.as_text({"best/x/names": store.words("é")}),
    ]
    (tmp_path / store.FILE_NAME).write_bytes(store.file_of(texts, RESULTS))
    found = store.read_file(tmp_path, RESULTS)
    assert not found.why_none and set(found.arrays) == {"gram/x/rows", "best/x/names"}
    assert store.in_words(found.arrays["best/x/names"]) == "é"
    other = store.read_file(tmp_path, RESULTS.replace("[]", "[1]"))
    assert not other.arrays and "a different run" in other.why_none
    with np.load(tmp_path / store.FILE_NAME, allow_pickle=False) as plain:
        assert plain["gram/x/rows"].tolist() == [0, 1, 2]
    assert store.file_of(texts, RESULTS) == store.file_of(texts, RESULTS)


def zipped(**members: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return content.getvalue()


def saved(array: Any, **options: Any) -> bytes:
    content = io.BytesIO()
    np.save(content, array, **options)
    return content.getvalue()


def lzma_damaged() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("about.npy", saved(np.arange(1000, dtype=np.int32)))
    damaged = bytearray(content.getvalue())
    damaged[60:200] = bytes(140)
    return bytes(damaged)


GIANT = saved(np.zeros(2, np.int32)).replace(b"(2,), }", b"(2000000000000,), }")
FORGED = {
    "a pickle": zipped(about=saved(np.array([{}], object), allow_pickle=True)),
    "a giant header": zipped(about=GIANT),
    "numbers that are none": zipped(about=saved(np.zeros(2, "M8[s]"))),
    "no header": zipped(about=b"\x93NUMPY\x01\x00\xff\xff"),
    "cut short": zipped(about=saved(np.zeros(1000, np.int32)))[:90],
    "an open bracket": zipped(about=b"\x93NUMPY\x01\x00\x01\x00("),
    "a list as a key": zipped(about=b"\x93NUMPY\x01\x00\x06\x00{[]:1}"),
    "damaged LZMA": lzma_damaged(),
    "no room for its shape": zipped(
        about=saved(np.zeros((0, 2), np.int32)).replace(b"(0, 2), }", b"(0, %d), }" % 10**30)
    ),
    "no archive": b"not a zip",
}


def refused_in_a_sentence(content: bytes) -> bool:
    found = store.of_results(content, RESULTS)
    return not found.arrays and found.why_none.startswith("figures.npz cannot be used.") and "\n" not in found.why_none


@pytest.mark.parametrize("content", FORGED.values(), ids=list(FORGED))
def test_a_forged_file_is_refused_in_a_sentence(content: bytes) -> None:
    assert refused_in_a_sentence(content)


def test_a_bomb_is_refused_in_a_sentence() -> None:
    assert refused_in_a_sentence(zipped(about=bytes(store.MOST_UNPACKED + 1)))


def test_arrays_that_do_not_fit_each_other_are_passed_over() -> None:
    whole = made.arrays()
    kinds = (kept.GRAM, kept.HISTOGRAM, kept.BUNDLES, kept.BEST, kept.LINKS)
    assert [len(groups(whole, kind)) for kind in kinds] == [7, 3, 3, 3, 1]
    for name in [one for one in whole if "/L0/" in one or one.startswith("links")]:
        kind, missing = name.split("/")[0], [] if "gram" in name and name.endswith("names") else [None]
        for broken in (np.zeros((3, 3, 3, 3), np.float32), np.zeros(0, np.uint8), *missing):
            forged = {key: one for key, one in whole.items() if key != name}
            forged |= {} if broken is None else {name: broken}
            assert len(groups(forged, kind)) == len(groups(whole, kind)) - 1, (name, broken)
    gram, best = "gram/processed/L0/W_Q/", "best/processed/L0/W_in/"
    for name, odd in {
        gram + "heads": np.array([0, 0, 1], np.int32),
        gram + "rows": np.full_like(whole[gram + "rows"], -1),
        gram + "steps": whole[gram + "steps"] * np.float32(np.nan),
        gram + "cosines": whole[gram + "cosines"].astype(np.float32),
        best + "neurons": np.array([np.nan, 1], np.float32),
        best + "tokens": whole[best + "tokens"].astype(np.float32),
    }.items():
        kind = name.split("/")[0]
        assert len(groups(whole | {name: odd}, kind)) == len(groups(whole, kind)) - 1, name
    for frequent, fits in ((0, True), (64, True), (65, False), (-1, False), (10**400, False), (True, False)):
        names = store.words({"frequent": frequent, "tokens": ["a"] * 64})
        assert ("processed/W_E" in groups(whole | {"gram/processed/W_E/names": names}, kept.GRAM)) is fits
    links = whole["links/processed/W_in/strongest"] + 5
    assert groups(whole | {"links/processed/W_in/strongest": links}, kept.LINKS) == {}
    assert groups({"gram/processed/<b>/W_Q/rows": np.zeros(1, np.int8)}, kept.GRAM) == {}
