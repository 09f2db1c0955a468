"""One run of all claims on a small GPT-2: every subject once, every value that of a computation from the file.

The model is measured while recording; a second run, over two processes, holds it to what was recorded.
"""

from __future__ import annotations

import hashlib
import html
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import oracles
from tests.plugin import models
from tests.plugin.models import D_HEAD, D_MODEL, D_VOCAB, N_HEADS, N_LAYERS, Array
from tests.plugin.runs import Run, Server
from tests.report.browser import Browser
from vsa_checks.figures.store import read_file
from vsa_checks.judging.claim import load_claims
from vsa_checks.judging.judge import VERDICTS
from vsa_checks.judging.recorded import Known, read_recorded
from vsa_checks.judging.subjects import enumerate_subjects
from vsa_checks.models import describe
from vsa_checks.paths import CACHE_VARIABLE, DOCS

CUT = 6 / np.sqrt(D_MODEL)
CLOSE = 1e-6
# Whose value, threshold or null is simulated, and so differs with the seed.
SIMULATED = ("beyond-chance", "isometry", "-few")


@pytest.fixture(scope="session")
def weights(plain: Path) -> dict[str, Array]:
    return models.tensors(plain)


# --- the run and its report -----------------------------------------------------------------------------------


def test_a_recording_run_passes_and_says_where_it_wrote(whole: Run, recorded_file: Path, plain: Path) -> None:
    assert whole.code == 0, whole.output[-3000:]
    assert f"Recorded verdicts written to {recorded_file}" in whole.output
    assert whole.first_line.startswith(f"Model checked: {plain}")
    assert "The paper's own model, GPT-2 small, was NOT checked." in whole.first_line


def test_every_subject_of_the_model_stands_in_the_results_once_and_sorted(whole: Run, plain: Path) -> None:
    info = describe(plain)
    expected = [s for claim in load_claims().values() for s in enumerate_subjects(claim, info, ("raw",))]
    found = [result["id"] for result in whole.document["results"]]
    assert found == sorted(subject.id for subject in expected)
    primary = {subject.id for subject in expected if subject.primary}
    assert {name for name, result in whole.results.items() if result["primary"]} == primary
    assert whole.document["environment"]["n_subjects"] == len(found)
    assert {result["verdict"] for result in whole.results.values()} == set(VERDICTS)


def test_the_model_and_the_run_are_described(whole: Run, plain: Path) -> None:
    model, environment = whole.document["model"], whole.document["environment"]
    sizes = ("n_layers", "d_model", "n_heads", "n_kv_heads", "d_head", "d_mlp", "d_vocab")
    assert [model[size] for size in sizes] == [N_LAYERS, D_MODEL, N_HEADS, N_HEADS, D_HEAD, models.D_MLP, D_VOCAB]
    assert model["sha256"] == hashlib.sha256((plain / "model.safetensors").read_bytes()).hexdigest()
    assert (model["architecture"], model["source"], model["is_paper_model"]) == ("gpt2", "path", False)
    assert (environment["device"], environment["seed"], environment["crashed"]) == ("cpu", 0, [])
    assert {"python", "torch", "transformer-lens", "numpy"} <= environment["versions"].keys()
    for result in whole.results.values():
        assert not any(result["effective_flags"].values()), "the raw basis is as stored"


def test_the_recorded_file_holds_what_was_measured(whole: Run, recorded_file: Path, plain: Path) -> None:
    known = read_recorded(recorded_file, whole.document["model"]["sha256"], whole.results)
    expected = {}
    for name, result in whole.results.items():  # near a margin, other draws may give other verdicts
        others = result["details"].get("seeds", {}).get("verdicts", {}).keys() - {result["verdict"]}
        expected[name] = Known(result["verdict"], result["reason"], tuple(sorted(others)))
    assert known == expected


def test_pages_are_written_beside_the_results(whole: Run) -> None:
    assert {"results.json", "index.html", "pytest.html"} <= {path.name for path in whole.report_dir.iterdir()}
    assert [path.name for path in whole.report_dir.iterdir() if path.name.startswith(".")] == []
    # Of circuits there are none: the model has too few layers.
    kept = read_file(whole.report_dir, (whole.report_dir / "results.json").read_text(encoding="utf-8"))
    assert {name.split("/")[0] for name in kept.arrays} == {
        "gram",
        "histogram",
        "bundles",
        "best",
    }


def test_the_log_has_six_columns_for_each_test(whole: Run) -> None:
    page = (whole.report_dir / "pytest.html").read_text(encoding="utf-8")
    head = page.split('id="results-table-head"', 1)[1].split("</thead>", 1)[0]
    columns = re.findall(r'data-column-type="(\w+)"', head)
    assert columns == ["result", "claim", "metric", "value", "threshold", "null", "verdict", "testId", "duration"]
    anchors = set(re.findall(r'id="([^"]+)"', (whole.report_dir / "index.html").read_text(encoding="utf-8")))
    assert len(whole.log) == len(whole.results)
    for row in whole.log:
        cells = row["resultsTableRow"]
        assert len(cells) == 6 + 4, "result, six columns, name, duration, links"
        subject = row["testId"].split("[", 1)[1].rstrip("]").replace(".", "/")
        shown = [re.sub(r"<span hidden.*?</span>|<[^>]*>", "", cell) for cell in cells]
        result = whole.results[subject]
        assert html.unescape(shown[1]) == result["claim"]
        assert html.unescape(shown[2]) == result["metric"]
        assert shown[6].split(", ")[0] == result["verdict"]
        link = re.search(r'href="index.html#([^"]+)"', cells[-1])
        assert link is not None and link[1] in anchors and link[1].endswith(subject.replace("/", "."))
        assert html.unescape(row["log"]).startswith(f"{result['verdict']}: {result['reason']}\n")
        assert "vsa_checks/" not in row["log"], "where in our code a verdict was raised tells nothing"
        assert not re.search(r"<(script|img|iframe|svg)", "".join(cells))
        assert re.fullmatch(r"[\w./:\[\]-]+", row["testId"]), "ids are not escaped by pytest-html"


@pytest.mark.browser
def test_the_log_sorts_by_number_in_a_browser(whole: Run, tmp_path: Path) -> None:
    with Browser(tmp_path) as browser:
        browser.open(whole.report_dir / "pytest.html", 1200)
        header = "[...document.querySelectorAll('#results-table-head th')].map(th => th.textContent.trim()).join(' ')"
        assert browser.evaluate(header) == "Result Claim Metric Value Threshold Null Verdict Test Duration Links"
        ids = "[...document.querySelectorAll('td.col-testId')].map(td => td.textContent.match(/\\[(.*)\\]/)[1])"
        values = {name.replace("/", "."): result["value"] for name, result in whole.results.items()}
        for turn in (1, -1):
            browser.evaluate("document.querySelector('th[data-column-type=value]').click()")
            shown = [-np.inf if values[one] is None else values[one] for one in browser.evaluate(ids)]
            assert shown[::turn] == sorted(shown) and len(set(shown)) > 20
        assert browser.complaints() == []


def test_what_details_hold_is_documented(whole: Run) -> None:
    page = (DOCS / "results.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`([\w.]+)`", page.split("\n## details\n")[1].split("\n## compare.json\n")[0]))
    assert {name for result in whole.results.values() for name in result["details"]} <= told


# --- the same again -------------------------------------------------------------------------------------------


def without_times(document: dict[str, Any]) -> dict[str, Any]:
    """A document less what may differ between runs of the same model, seed and machine."""
    environment = {k: v for k, v in document["environment"].items() if k != "duration_s"}
    results = [{k: v for k, v in one.items() if k not in ("duration_s", "recorded")} for one in document["results"]]
    return {**document, "environment": environment, "results": results}


@pytest.mark.slow
def test_two_processes_give_the_same_results_and_find_them_as_recorded(
    whole: Run, recorded_file: Path, plain: Path, warm: Server, light: Server, tmp_path: Path
) -> None:
    """`pytest claims/ -n 2 --recorded FILE`: both processes keep what they measure."""
    arguments = ("-m", "claim", "--basis", "raw", "--no-twin", "-rA", "--recorded", str(recorded_file))
    kept = {CACHE_VARIABLE: str(tmp_path / "cache")}
    again = warm.claims(plain, tmp_path, *arguments, "-n", "2", env=kept)
    assert again.code == 0, again.output[-3000:]
    assert without_times(again.document) == without_times(whole.document)
    expected = {}
    for name, result in whole.results.items():
        if result["verdict"] != "not-checked":  # what holds only with some seeds is expected to fail, and may pass
            holds = "XPASS" if result["unsettled"] else "PASSED"
            expected[name.replace("/", ".")] = holds if result["verdict"] == "holds" else "XFAIL"
    assert again.outcomes == expected
    for name, result in again.results.items():
        assert result["recorded"] == {k: whole.results[name][k] for k in ("verdict", "reason")}
    assert "Nothing is recorded" not in again.output
    assert all(path.suffix == ".json" for path in (tmp_path / "cache" / "measurements").iterdir())
    third = light.claims(plain, tmp_path / "third", *arguments, env=kept)
    assert f"{len(whole.results)} of {len(whole.results)} results taken from the cache" in third.output
    assert third.document["results"] == again.document["results"]
    assert without_times(third.document) == without_times(whole.document)


SOME = "embedding-mean-zero or mlp-out or ov-isometry or neurons-cos"


@pytest.fixture(scope="session")
def part(plain: Path, warm: Server, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Some claims only, with nothing recorded."""
    return warm.claims(plain, tmp_path_factory.mktemp("part"), "-k", SOME, "--basis", "both", "--no-twin", "-rA")


def test_a_part_of_the_claims_gives_the_same_numbers(whole: Run, part: Run) -> None:
    """Random numbers depend on what they are for, not on what was measured before."""
    in_both = {name: result for name, result in part.results.items() if name in whole.results}
    assert len(in_both) > 8
    for name, result in in_both.items():
        for key in ("value", "ci", "nulls", "reference", "threshold", "verdict", "details"):
            left, right = dict(result), dict(whole.results[name])
            for one in (left, right):  # corrected for the number of tests in the run
                one["details"] = {k: v for k, v in one["details"].items() if k != "q_value"}
            assert left[key] == right[key], f"{name}: {key}"


def test_both_bases_are_measured_side_by_side(whole: Run, part: Run) -> None:
    expected = [name for name in whole.results if any(word in name for word in SOME.split(" or "))]
    assert sorted(part.results) == sorted(expected + [name.replace("/raw", "/processed") for name in expected])
    for result in part.results.values():
        assert result["effective_flags"]["center_writing_weights"] is (result["basis"] == "processed")
    values = [part.results[f"embedding-mean-zero/{basis}"]["value"] for basis in ("processed", "raw")]
    assert abs(values[0] - values[1]) > 1e-5, "centering the writing weights moves it"


def test_another_seed_moves_what_is_simulated_and_nothing_else(
    part: Run, plain: Path, warm: Server, tmp_path: Path
) -> None:
    other = warm.claims(plain, tmp_path, "-k", SOME, "--basis", "raw", "--seed", "7", "--no-twin")
    assert other.document["environment"]["seed"] == 7
    moved = set()
    for name, result in other.results.items():
        before = part.results[name]
        if not any(word in name for word in SIMULATED):
            assert result["value"] == before["value"], name
            assert result["threshold"] == before["threshold"], name
        assert (result["n_examined"], result["n_excluded"]) == (before["n_examined"], before["n_excluded"])
        moved |= {key for key in ("ci", "nulls", "reference", "value") if result[key] != before[key]}
    assert moved == {"ci", "nulls", "reference", "value"}


def test_with_nothing_recorded_only_holds_passes(part: Run) -> None:
    assert "Nothing is recorded for this model: only `holds` passes." in part.first_line
    assert part.code == 1
    checked = {name: result for name, result in part.results.items() if result["verdict"] != "not-checked"}
    for name, result in checked.items():
        expected = "PASSED" if result["verdict"] == "holds" else "FAILED"
        assert part.outcomes[name.replace("/", ".")] == expected, name
    assert {"holds", "chance", "refuted"} <= {result["verdict"] for result in part.results.values()}
    assert "Traceback" not in part.output


# --- every value from the file --------------------------------------------------------------------------------


def cosines(vectors: Array) -> Array:
    """All off-diagonal cosines of the rows that have a direction."""
    return np.array(list(oracles.pair_cosines(vectors).values()))


def rms(vectors: Array) -> float:
    return float(np.sqrt((cosines(vectors) ** 2).mean()))


def share(vectors: Array) -> float:
    return float((np.abs(cosines(vectors)) > CUT).mean())


def head_vectors(weights: dict[str, Array], layer: int, matrix: str) -> Array:
    """One row per head dimension, head by head."""
    if matrix == "W_O":
        return weights[f"h.{layer}.attn.c_proj.weight"]
    fused = weights[f"h.{layer}.attn.c_attn.weight"]
    return fused[:, "QKV".index(matrix[-1]) * D_MODEL :][:, :D_MODEL].T


def test_values_of_embeddings(whole: Run, weights: dict[str, Array]) -> None:
    embedding = np.delete(weights["wte.weight"], 5, axis=0)  # row 5 is zero: no token
    n, mean = len(embedding), embedding.mean(axis=0)
    along = embedding.sum(axis=1) ** 2 / (D_MODEL * (embedding**2).sum(axis=1))
    expected = {
        "embedding-mean-zero": (mean @ mean / (embedding**2).sum(axis=1).mean(), n),
        "embedding-component-mean": (along.mean(), n),
        "embedding-near-orthogonal": (rms(embedding), n),
        "embedding-near-orthogonal-centered": (rms(embedding - mean), n),
        "embedding-artifacts": (share(embedding), n),
        "embedding-artifacts-centered": (share(embedding - mean), n),
    }
    for name, (value, n_examined) in expected.items():
        result = whole.results[f"{name}/raw"]
        assert result["value"] == pytest.approx(value, abs=CLOSE), name
        assert (result["n_examined"], result["n_excluded"]) == (n_examined, D_VOCAB - n_examined), name
    assert expected["embedding-artifacts"][0] > 0, "the example has artifacts to count"
    details = whole.results["embedding-near-orthogonal/raw"]["details"]
    assert details["excluded"] == {"zero": 1}
    # nearly all of the duplicates, which differ a little, count as unused: what is left has the rms of the rest
    assert details["trimmed"]["n_unused_duplicates"] >= 7
    used = np.setdiff1d(np.arange(D_VOCAB), [5, *range(20, 28)])
    assert details["trimmed"]["rms"] == pytest.approx(rms(weights["wte.weight"][used]), abs=1e-4)


@pytest.mark.parametrize("layer", range(N_LAYERS))
def test_values_of_attention_and_mlp_outputs(whole: Run, weights: dict[str, Array], layer: int) -> None:
    written = {"": weights[f"h.{layer}.mlp.c_proj.weight"]}
    read = {f"/W_{letter}": head_vectors(weights, layer, f"W_{letter}") for letter in "QKVO"}
    for place, vectors in (read | written).items():
        kind = "attention" if place else "mlp-out"
        near, tails, beyond = (
            whole.results[f"{kind}-{name}/raw/L{layer}{place}"]
            for name in ("near-orthogonal", "artifacts", "beyond-random")
        )
        assert near["value"] == beyond["details"]["rms"] == pytest.approx(rms(vectors), abs=CLOSE)
        assert tails["value"] == pytest.approx(share(vectors), abs=1e-9)
        assert near["n_examined"] == tails["n_examined"] == beyond["n_examined"] == len(vectors)
        assert near["ci"]["unit"] == tails["ci"]["unit"] == beyond["ci"]["unit"] == ("heads" if place else "neurons")
        n = len(vectors)
        least = max(0.0, (n - D_MODEL) / (D_MODEL * (n - 1)))
        assert beyond["value"] == pytest.approx((1 / D_MODEL - rms(vectors) ** 2) / (1 / D_MODEL - least), abs=1e-4)
    assert whole.results[f"mlp-out-artifacts/raw/L{layer}"]["verdict"] == ("refuted" if layer == 1 else "holds")
    q, k, v, o = (vectors.reshape(N_HEADS, D_HEAD, D_MODEL) for vectors in read.values())
    for name, left, right in (("attention-ov-isometry", v, o), ("attention-qk-isometry", q, k)):
        squares = np.array([np.linalg.svd(a.T @ b, compute_uv=False) ** 2 for a, b in zip(left, right, strict=True)])
        by_head = squares.sum(axis=1) ** 2 / (D_HEAD * (squares**2).sum(axis=1))
        result = whole.results[f"{name}/raw/L{layer}"]
        assert result["value"] == pytest.approx(np.median(by_head), abs=CLOSE) and result["n_examined"] == N_HEADS
    heads = whole.results["attention-near-orthogonal/raw/L0/W_Q"]["details"]
    assert heads["worst_head"] == 0, "what was planted in head 0"


@pytest.mark.parametrize(("claim", "key"), [("neurons-cos50", "share_50"), ("neurons-cos30", "share_30")])
def test_shares_of_scanned_neurons(whole: Run, weights: dict[str, Array], claim: str, key: str) -> None:
    words = weights["wte.weight"] - weights["wte.weight"].mean(axis=0)
    neurons = weights["h.0.mlp.c_fc.weight"].T
    result = whole.results[f"{claim}/raw/L0/W_in"]
    assert (result["n_examined"], result["n_excluded"]) == (models.D_MLP - 1, 1)
    sweep = {row["neurons_per_token"]: row[key] for row in result["details"]["sweep"]}
    assert list(sweep) == [1, 2, 3, 5, 10, None]
    for count, found in sweep.items():
        reached = np.array([bundle.path[-1] if bundle.path else 0 for bundle in oracles.scan(neurons, words, count)])
        limit = {"share_50": 0.5, "share_30": 0.3}[key]
        assert found == pytest.approx((reached[neurons.any(axis=1)] >= limit).mean(), abs=1e-9), f"K = {count}"
    assert result["value"] == sweep[None] and (sweep[1] < sweep[None] or key == "share_30")


def test_shares_of_pursued_neurons(whole: Run, weights: dict[str, Array]) -> None:
    words = weights["wte.weight"] - weights["wte.weight"].mean(axis=0)
    # the bar: the 99th percentile of random directions, with 200 of them here
    drawn = np.random.default_rng(6).standard_normal((200, D_MODEL))
    expected = np.quantile([oracles.pursuit(one, words, 5)[1][-1] for one in drawn], 0.99)
    for layer, verdict in enumerate(("holds", "refuted")):  # sums of five tokens were planted in layer 0
        neurons = weights[f"h.{layer}.mlp.c_fc.weight"].T
        reached = [oracles.pursuit(neuron, words, 5)[1][-1] for neuron in neurons if neuron.any()]
        result = whole.results[f"neurons-beyond-chance/raw/L{layer}/W_in"]
        bar = result["details"]["cosine_bar"]
        assert result["value"] == pytest.approx(np.mean(np.array(reached) > bar), abs=1e-9)
        assert bar == pytest.approx(expected, abs=0.04)
        assert result["verdict"] == verdict
