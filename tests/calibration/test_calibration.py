"""The calibration can fail, its shortcuts change no number, and its committed page is of the present claims."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from calibration import rates
from calibration.__main__ import main
from calibration.page import as_json, judged_rate, read
from calibration.power import power, precision_and_recall, recovered
from calibration.rates import judged_drawn, mapper, model_seed, null_rates, pooled, rate
from calibration.run import measure_again, unmeasured
from calibration.thresholds import claims_with_trials
from fixtures.cases import CASES, attention, boolean, residual
from fixtures.cases.draws import SMALL
from fixtures.claim_tests import claim_test
from fixtures.in_memory import bench_in_memory
from fixtures.planted import mixture, plant
from fixtures.small_models import GATED, Sizes, save
from vsa_checks import nulls, theory
from vsa_checks.bundles import Bundles
from vsa_checks.errors import NotChecked, UsageError
from vsa_checks.judging.claim import load_claims
from vsa_checks.judging.judge import CHANCE, judge
from vsa_checks.judging.subjects import enumerate_subjects
from vsa_checks.orthogonality import live_rows, rms_cosine
from vsa_checks.paths import DOCS
from vsa_checks.sections.bound_tokens import REFLECTED
from vsa_checks.workbench.access import Workbench

pytestmark = pytest.mark.slow

SLOWER = {*attention.CASES, *boolean.CASES, *residual.CASES}
DECISIVE = [claim.id for claim in load_claims().values() if claim.decisive]
PURSUED = (
    *("neurons-beyond-chance", "neurons-kurtosis", "neurons-cos50-few", "neurons-cos30-few"),
    *("neurons-cos50-bound", "neurons-cos50-bound-few", "circuits-bound-tokens"),
)
SHAPES = {"like GPT-2": SMALL, "gated": replace(GATED, n_layers=1)}


def in_turn(jobs: Any) -> list[Any]:
    return [job() for job in jobs]


def measurements(bench: Workbench, claim: str) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for subject in enumerate_subjects(load_claims()[claim], bench.model("raw").info, ["raw"]):
        try:
            measured = claim_test(claim).measure(bench, subject)
        except NotChecked as reason:
            found.append((subject.id, str(reason)))
        else:
            found.append((subject.id, measured))
    return found


@pytest.mark.parametrize(
    ("shape", "left_out"),
    [
        pytest.param("gated", PURSUED, id="gated, without pursuits"),
        *(pytest.param(shape, (), id=shape, marks=pytest.mark.thorough) for shape in SHAPES),
    ],
)
def test_a_model_in_memory_measures_as_the_same_model_loaded_from_disk(
    shape: str, left_out: tuple[str, ...], tmp_path: Path
) -> None:
    sizes = SHAPES[shape]
    weights = plant(sizes, noise=1.0, seed=3)[0]
    memory = bench_in_memory(sizes, weights, 7)
    disk = Workbench(str(save(tmp_path, sizes, weights)), seed=7)
    for name, tensor in memory.model("raw").items():
        assert np.array_equal(tensor.numpy(), disk.model("raw")[name].numpy()), name
    for claim in load_claims():
        if claim not in left_out:
            assert measurements(memory, claim) == measurements(disk, claim), claim


def test_rates_have_clopper_and_pearsons_interval() -> None:
    none = rate(0, 400)
    assert (none["low"], none["high"]) == (0.0, pytest.approx(1 - 0.025 ** (1 / 400)))
    some = rate(6, 200)
    assert (some["low"], some["high"]) == (pytest.approx(0.01109, abs=1e-5), pytest.approx(0.06416, abs=1e-5))
    assert [judged_rate(one, 0.01) for one in (none, some, rate(2, 200))] == [
        "yes, shown",
        "**no**",
        "not contradicted",
    ]


def test_no_two_models_share_a_seed() -> None:
    seeds = [model_seed(0, claim, number) for claim in CASES for number in range(100)]
    assert len(set(seeds)) == len(seeds)
    assert model_seed(0, "a") == model_seed(0, "a") != model_seed(1, "a")


def rates_on(claim: str, model: str, n: int = 10) -> dict[str, Any]:
    (place,) = (place for place, null in enumerate(CASES[claim].nulls) if null.name == model)
    return null_rates(claim, place, n, 0, in_turn)


CHEAP = [
    pytest.param(claim, null.name, marks=[pytest.mark.thorough] if further or claim in SLOWER else [])
    for claim in DECISIVE
    if claim not in PURSUED
    for further, null in enumerate(CASES[claim].nulls)
]
"""`make test` tries the first kind of null models of each claim that is quick, `make thorough` the others."""


@pytest.mark.parametrize(("claim", "model"), CHEAP)
def test_claims_do_not_hold_by_chance(claim: str, model: str) -> None:
    """Not once in a few: rates are for the committed page, whose numbers are looked at below."""
    n = 2 if claim in SLOWER else 4
    row = rates_on(claim, model, n)
    assert sum(row["verdicts"].values()) == row["holds"]["n"] == n
    assert row["verdicts"].get("holds", 0) == 0
    for null in row["nulls"]:
        assert null["p_distribution"]["1.0"] == 1.0
        if null["obeyed"] and claim not in SLOWER:  # of two, one that is at most alpha shows nothing
            assert null["p_at_most_alpha"]["low"] <= load_claims()[claim].alpha


@pytest.mark.parametrize("claim", ["neurons-beyond-chance", "neurons-kurtosis"])
def test_the_pursuit_does_not_hold_by_chance_either(claim: str) -> None:
    job = partial(judged_drawn, claim, "nulls", 1, model_seed(0, "a quick look"))
    found = job()
    assert found.verdict == CHANCE, found
    assert job() == found


@pytest.mark.parametrize(
    "law", [pytest.param("sparse vectors, heads that select", marks=pytest.mark.thorough), "the same, rotated"]
)
def test_neurons_and_bound_tokens_of_one_law_do_not_hold(law: str) -> None:
    """A reflection in principal axes alone is beaten: it destroys the law."""
    names = [null.name for null in CASES["circuits-bound-tokens"].nulls]
    found = judged_drawn("circuits-bound-tokens", "nulls", names.index(law), model_seed(0, "a quick look"))
    assert found.verdict == CHANCE, found
    assert found.p_values[REFLECTED] == 0.01


def test_a_judge_that_ignores_p_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "judge", lambda claim, *rest: judge(replace(claim, alpha=1.0), *rest))
    row = rates_on("attention-beyond-random", "random initialisation, 4 vectors")
    assert row["holds"]["low"] > 0.01
    assert judged_rate(row["holds"], 0.01) == "**no**"


def test_a_judge_that_ignores_one_decisive_null_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "judge", lambda claim, *rest: judge(replace(claim, decisive=claim.decisive[:1]), *rest))
    assert rates_on("neurons-cos50", "covariance-matched neurons, 44 tokens")["holds"]["low"] > 0.01


def test_a_null_that_is_too_wide_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The law of vectors with something in common: real ones then seem more orthogonal than chance by this null."""
    law = theory.mean_square_law
    monkeypatch.setattr(theory, "mean_square_law", lambda n, d: law(n, d // 2))
    row = rates_on("mlp-out-beyond-random", "random initialisation, 6 vectors")
    gaussian, signs = row["nulls"]
    assert gaussian["p_at_most_alpha"]["low"] > 0.01
    assert signs["p_at_most_alpha"]["low"] <= 0.01


def test_a_null_without_the_layers_covariance_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def isotropic(vectors: np.ndarray) -> nulls.Matched:
        d = vectors.shape[1]
        return nulls.Matched(np.zeros(d, np.float32), np.eye(d, dtype=np.float32))

    monkeypatch.setattr(nulls, "covariance_matched", isotropic)
    row = rates_on("neurons-cos50", "covariance-matched neurons, 44 tokens")
    assert row["holds"]["low"] > 0.01
    assert row["nulls"][1]["p_at_most_alpha"]["low"] > 0.01


@pytest.mark.thorough
def test_processes_change_nothing() -> None:
    jobs = [partial(judged_drawn, "attention-beyond-random", "nulls", 0, seed) for seed in range(3)]
    with mapper(2) as in_two, mapper(1) as in_one:
        assert in_two(jobs) == in_one(jobs)


def test_one_claim_measured_anew_gives_what_measuring_all_gave(committed: dict[str, Any]) -> None:
    """On few models, so that it is quick. Behind thresholds stand as many models as in the committed file."""
    claim = "attention-beyond-random"
    few = committed | {"models": 3, "power_models": 1}
    again = measure_again(few, [claim], 1, lambda line: None)
    (entry,) = (one for one in again["calibration"] if one["claim"] == claim)
    assert {row["holds"]["n"] for row in entry["null_models"]} == {3}
    assert as_json({"thresholds": again["thresholds"]}) == as_json({"thresholds": committed["thresholds"]})
    others = [one for one in again["calibration"] if one["claim"] != claim]
    assert others == [one for one in committed["calibration"] if one["claim"] != claim]
    assert again["reach"] == committed["reach"]


def test_power_falls_with_the_signal() -> None:
    (signal,) = power("attention-beyond-random", 2, 0, in_turn)["signals"]
    rates_of = [row["holds"]["rate"] for row in signal["rows"]]
    assert rates_of[0] == 1.0
    assert rates_of[-1] == 0.0
    values = [row["value"] for row in signal["rows"][:6]]
    assert values == sorted(values, reverse=True)


def test_mixtures_go_from_a_frame_to_random_vectors() -> None:
    rng = np.random.default_rng(0)
    frame, random = (rms_cosine(live_rows(mixture(30, 40, share, rng)).unit) for share in (1.0, 0.0))
    assert frame < 1e-6
    assert random == pytest.approx(1 / np.sqrt(40), rel=0.1)


def test_precision_and_recall_are_of_the_tokens_found() -> None:
    found = Bundles(np.array([0, 2, 2, 5]), np.array([4, 9, 1, 2, 3]), np.zeros(5), np.zeros(3, bool), 0)
    precision, recall = precision_and_recall(found, {0: {4, 7}, 1: {1}, 2: {1, 2}})
    assert precision == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert recall == pytest.approx((1 / 2 + 0 + 1) / 3)


def test_planted_tokens_are_recovered_without_noise_and_lost_in_it() -> None:
    sizes = Sizes(d_model=128, d_vocab=400, n_layers=1, d_head=32, d_mlp=60)
    clean, drowned = (recovered(sizes, noise, 0) for noise in (0.0, 6.0))
    assert clean["pursuit_recall"] == clean["scan_all_recall"] == 1.0
    assert drowned["pursuit_precision"] < 0.2
    assert drowned["scan_all_precision"] < 0.2


# --- the committed page ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def committed() -> dict[str, Any]:
    return read(DOCS / "calibration.json")


LEAST_MODELS = 50
STALE = "docs/calibration.* is not of the present claims: run `make calibration`"


def test_the_page_covers_all_claims_as_they_are_now(committed: dict[str, Any]) -> None:
    shown = {entry["claim"]: entry for entry in committed["calibration"]}
    waiting = unmeasured(committed)
    assert list(shown) == [entry["claim"] for entry in committed["power"]], STALE
    assert list(shown) == [claim for claim in DECISIVE if claim not in waiting], STALE
    page = (DOCS / "calibration.md").read_text()
    listed = ", ".join(f"`{claim}`" for claim in waiting)
    assert not waiting or f"**Not measured yet in their current version:** {listed}." in page
    for claim in shown:
        record, entry = load_claims()[claim], shown[claim]
        for name in ("version", "threshold", "alpha", "delta"):
            assert entry[name] == getattr(record, name), f"{claim}, {name}: {STALE}"
        assert tuple(entry["decisive"]) == record.decisive, STALE
        assert [row["model"] for row in entry["null_models"]] == [null.name for null in CASES[claim].nulls], STALE
        (power_of,) = (one for one in committed["power"] if one["claim"] == claim)
        assert [one["model"] for one in power_of["signals"]] == [one.name for one in CASES[claim].signals], STALE


def test_the_page_covers_all_thresholds_of_ours_as_they_are_now(committed: dict[str, Any]) -> None:
    shown = {entry["claim"]: [trial["model"] for trial in entry["trials"]] for entry in committed["thresholds"]}
    assert list(shown.items()) == [
        (claim, [one.name for one in CASES[claim].trials])
        for claim in claims_with_trials()
        if claim not in unmeasured(committed)
    ], STALE
    for entry in committed["thresholds"]:
        record = load_claims()[entry["claim"]]
        if record.threshold_unit == "reference":
            continue
        unit = 1.0 if record.threshold_unit == "1" else 1 / np.sqrt(SMALL.d_model)
        for trial in entry["trials"]:
            assert trial["threshold"] == pytest.approx(record.threshold * unit, rel=1e-4), f"{entry['claim']}: {STALE}"


def test_the_committed_rates_are_at_most_alpha(committed: dict[str, Any]) -> None:
    for entry in committed["calibration"]:
        together = pooled([row["holds"] for row in entry["null_models"]])
        assert together["n"] >= LEAST_MODELS, entry["claim"]
        assert together["low"] <= entry["alpha"], f"{entry['claim']}: {together}"
        for row in entry["null_models"]:
            assert row["holds"]["low"] <= entry["alpha"], (entry["claim"], row["model"])
            for null in row["nulls"]:
                if null["obeyed"]:
                    assert null["p_at_most_alpha"]["low"] <= entry["alpha"], (
                        entry["claim"],
                        row["model"],
                        null["name"],
                    )


def test_the_page_is_that_of_the_committed_numbers_and_the_figure_shows_each_claim(
    committed: dict[str, Any], tmp_path: Path
) -> None:
    shutil.copy(DOCS / "calibration.json", tmp_path)
    assert main(["--render", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "calibration.md").read_text() == (DOCS / "calibration.md").read_text(), (
        f"calibration.md: {STALE}"
    )
    assert (tmp_path / "nulls.md").read_text() == (DOCS / "nulls.md").read_text(), f"nulls.md: {STALE}"
    assert as_json(committed) == (DOCS / "calibration.json").read_text()
    for figure in (tmp_path / "calibration.svg", DOCS / "calibration.svg"):
        text = " ".join(ElementTree.parse(figure).getroot().itertext())
        assert all(entry["claim"] in text for entry in committed["calibration"]), f"{figure.name}: {STALE}"


@pytest.mark.parametrize("arguments", [["--seed", "-1"], ["--models", "0"], ["--workers", "0"], ["--models", "few"]])
def test_bad_options_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert arguments[0] in capsys.readouterr().err


def test_what_cannot_be_rendered_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--render", "--out", str(tmp_path)])
    assert "run the command without --render" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["--claims", "neurons-cos51", "--out", str(DOCS)])
    assert "nothing is measured here of neurons-cos51" in capsys.readouterr().err
    (tmp_path / "calibration.json").write_text("{", encoding="utf-8")
    with pytest.raises(UsageError, match="make calibration"):
        read(tmp_path / "calibration.json")
