"""One checkpoint measured: every claim with its nulls, the known concepts, and what the network has learned."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from dynamics.answers import and_table, answers, loss
from dynamics.concepts import conjunction, recover
from dynamics.language import HELD_OUT, Language
from fixtures.claim_tests import claim_test
from vsa_checks.judging.claim import Claim, load_claims
from vsa_checks.judging.judge import NOT_CHECKED, judge
from vsa_checks.judging.measurement import Measurement
from vsa_checks.judging.subjects import Subject, enumerate_subjects, mlp_inputs
from vsa_checks.models import Basis
from vsa_checks.models.quiet import quiet
from vsa_checks.paths import CLAIMS_FILE
from vsa_checks.reading import MB, Unreadable, read_json
from vsa_checks.sections.tokens import token_dictionary
from vsa_checks.workbench.access import Workbench
from vsa_checks.workbench.dependencies import code_digest
from vsa_checks.workbench.outcome import measure_subject
from vsa_checks.writing import write_whole

BASIS: Basis = "processed"
FILE = "measured.json"
OF_MEASURING = ("answers", "concepts", "grammar", "language", "measuring")
"""Modules of this folder on which a measurement depends, beside the package and the checkpoint."""
Json = dict[str, Any]


def measured(folder: Path, language: Language, seed: int, claims: Collection[str] | None = None) -> Json:
    """What a checkpoint gives; kept in its folder, and read from there where nothing has changed that it depends on.

    Parameters
    ----------
    folder : Path
        Of the checkpoint.
    language : Language
        What it was trained on.
    seed : int
        Of all random numbers of the measurement.
    claims : collection of str, optional
        Ids of the claims; by default all.
    """
    kept = folder / FILE
    depends_on = [code_digest(), *(Path(__file__).with_name(f"{name}.py").read_text("utf-8") for name in OF_MEASURING)]
    depends_on += [str(seed), "" if claims is None else ",".join(sorted(claims)), CLAIMS_FILE.read_text("utf-8")]
    digest = hashlib.sha256("\0".join(depends_on).encode()).hexdigest()
    with suppress(Unreadable):
        found: Json = read_json(kept, limit=MB, what="What was measured", schema=dict[str, Any])
        if found.get("depends_on") == digest:
            return found
    found = measure(folder, language, seed, claims) | {"depends_on": digest}
    write_whole(kept, json.dumps(found, indent=1, allow_nan=False) + "\n")
    return found


def measure(folder: Path, language: Language, seed: int, claims: Collection[str] | None = None) -> Json:
    """The same, measured now. Keys: loss, answers, concepts, and (the last two None without a grammar), claims."""
    bench = Workbench(str(folder), seed=seed, text=language.text)
    found: Json = {"loss": None, "answers": None, "concepts": None, "and": None}
    model, grammar = bench.model(BASIS), language.grammar
    with _module(folder) as module:
        n_positions = module.config.max_position_embeddings
        found["loss"] = loss(module, language.held_out, n_positions)
        if grammar is not None:
            found["answers"] = answers(module, grammar, n_positions, HELD_OUT)
    if grammar is not None:
        ids = {word: at for at, word in enumerate(grammar.words())}
        # the matrix on whose products the nonlinearity acts
        neurons = bench.weight(BASIS, 0, mlp_inputs(model.info)[0]).T
        recoveries = recover(neurons, token_dictionary(bench, BASIS), grammar.concepts(), ids.__getitem__, seed)
        found["concepts"] = {
            score: [asdict(one) | {"recovered": one.recovered} for one in some] for score, some in recoveries.items()
        }
        in_set = [grammar.in_and_set(category) for category in range(grammar.noun_categories)]
        found["and"] = asdict(conjunction(and_table(model, grammar, HELD_OUT), in_set, seed))
    chosen = [claim for claim in load_claims().values() if claims is None or claim.id in claims]
    found["claims"] = {claim.id: _claim(bench, claim) for claim in chosen}
    return found


@contextmanager
def _module(folder: Path) -> Iterator[Any]:
    import torch
    from transformers import AutoModelForCausalLM

    with quiet(), torch.no_grad():
        yield AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def _claim(bench: Workbench, claim: Claim) -> Json:
    """A claim over its subjects: the primary ones, or all if it has no primary ones.

    Keys: version (of the claim), of (subjects), verdicts (how many of each), and, where some were measured, the medians
    of value and threshold and of the decisive null that comes closest, and least and largest value; reason, where none
    was measured.
    """
    subjects = enumerate_subjects(claim, bench.model(BASIS).info, [BASIS])
    subjects = [one for one in subjects if one.primary] or subjects
    verdicts: Counter[str] = Counter()
    values, thresholds, nulls, reason = [], [], [], ""
    for subject in subjects:
        outcome = measure_subject(bench, subject, _of_its_test, {})
        if outcome.measurement is None:
            verdicts[NOT_CHECKED] += 1
            reason = outcome.reason
            continue
        judgement = judge(claim, outcome.measurement, bench.model(BASIS).info.d_model)
        verdicts[judgement.verdict] += 1
        values.append(outcome.measurement.value)
        thresholds.append(judgement.threshold)
        decisive = [null for null in outcome.measurement.nulls if null.name in claim.decisive]
        if decisive:
            nulls.append(max(decisive, key=lambda null: (null.p_value, null.value)).value)
    found: Json = {"version": claim.version, "of": len(subjects), "verdicts": dict(sorted(verdicts.items()))}
    if not values:
        return found | {"reason": reason}
    return found | {
        "value": median(values),
        "least": min(values),
        "largest": max(values),
        "threshold": median(thresholds),
        "chance": median(nulls) if nulls else None,
    }


def _of_its_test(bench: Workbench, subject: Subject) -> Measurement:
    return claim_test(subject.claim).measure(bench, subject)
