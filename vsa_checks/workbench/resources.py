"""Estimate a run's memory and time, and announce them before it starts."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from vsa_checks.errors import UsageError
from vsa_checks.judging.claim import Claim
from vsa_checks.judging.subjects import Subject
from vsa_checks.models import ModelInfo
from vsa_checks.models.memory import GB
from vsa_checks.workbench.cost import MOST_GRAM, TOKENS_READ, expected_seconds, measured_speed

SHARE = 0.8
"""Share of the free memory that a run may take by default."""
LIBRARIES = 520 * 2**20
"""Memory of the process before it reads any weights; measured."""
BLOCKS = 700 * 2**20
"""Most memory for blocks of dot products and temporary copies, in any claim; measured."""
SEEDS = 5
"""Number of seeds for a subject near a margin; what heads do on the text is kept for each."""
MOST_SAMPLED = 256 * 2**20
"""Memory for the inputs of heads at some positions of the text, in all layers."""
LEAST_GRAM = 64 * 2**20
SHORT_S = 90.0
"""Shorter times are not given in minutes."""
SLOW = 2e9
"""Multiplications per second of a slow or busy machine: if these are enough for a short run, the speed is not
measured."""
SMALL_SHARE = 0.1
"""Below this share of the time, the untrained twin is not mentioned."""
_PURSUES = {
    *("neurons-beyond-chance", "neurons-kurtosis", "neurons-cos50-few", "neurons-cos30-few", "circuits-bound-tokens"),
    *("neuron-or", "neuron-and", "circuits-mlp-to-mlp"),
}
_BIND = {"circuits-bound-tokens", "neurons-cos50-bound", "neurons-cos50-bound-few"}


@dataclass(frozen=True)
class Plan:
    """The memory that a run may use, and what it is expected to use.

    Attributes
    ----------
    limit, peak : int
        Bytes that the run may take, and is expected to take at most.
    gram_bytes : int
        For rows of the Gram matrix of each dictionary.
    kept_bytes : int
        For weights that were read, of each basis.
    shared_bytes : int
        For work on single layers that several claims share.
    no_run : str
        Why the model is not run, for claims on activations; "" if it is.
    no_twin : str
        Why its untrained twin is not made; "" if it is, or is not needed.
    """

    limit: int
    peak: int
    gram_bytes: int
    kept_bytes: int
    shared_bytes: int
    no_run: str = ""
    no_twin: str = ""


@dataclass(frozen=True)
class Sizes:
    """Bytes of a model in float32: its embedding, the tokens bound by a layer's heads, one layer, the whole model.

    The covariance of a layer is in float64.
    """

    embedding: int
    bound: int
    layer: int
    whole: int
    law: int

    @classmethod
    def of(cls, info: ModelInfo) -> Sizes:
        """Sizes from a model's description."""
        d, heads = info.d_model, 2 * (info.n_heads + info.n_kv_heads) * info.d_head
        experts = max(info.n_experts, 1) if info.expert_layers else 1
        mlp = (3 if info.gated else 2) * info.d_mlp
        layer = 4 * d * (heads + mlp)
        embedding = 4 * info.d_vocab * d
        whole = 2 * embedding + info.n_layers * 4 * d * (heads + mlp * experts)
        # One head's are held twice while they are rotated to their axes, along with their squared lengths.
        bound = 4 * info.d_vocab * ((info.n_heads + 1) * info.d_head + info.n_heads)
        return cls(embedding, bound, layer, whole, 8 * d * d)


def plan(
    info: ModelInfo,
    subjects: Iterable[Subject],
    claims: dict[str, Claim],
    limit: int,
    twin: Collection[Subject] = (),
) -> Plan:
    """Distribute the memory that a run may use.

    Parameters
    ----------
    info : ModelInfo
    subjects : iterable of Subject
        The subjects to measure.
    claims : dict of str to Claim
    limit : int
        Bytes that the run may use.
    twin : collection of Subject
        The subjects to measure on the untrained twin.

    Returns
    -------
    Plan

    Raises
    ------
    UsageError
        If the limit is too small; says how much the run needs.
    """
    chosen = list(subjects)
    size = Sizes.of(info)
    bases = {subject.basis for subject in chosen}
    # Without LayerNorm both bases have the same embedding, and share everything computed from it.
    dictionaries = len(bases) if info.norm == "layer_norm" else min(len(bases), 1)
    pursues = any(subject.claim in _PURSUES for subject in chosen)
    whole_gram = min(info.d_vocab**2, MOST_GRAM) if pursues else 0
    blocks = min(BLOCKS, 20 * size.embedding)
    fixed = LIBRARIES + blocks + len(bases) * size.embedding + dictionaries * 2 * size.embedding + size.embedding
    fixed += len({subject.basis for subject in chosen if subject.claim in _BIND}) * size.bound
    passing = 3 * size.layer + 4 * size.law
    least = fixed + passing + dictionaries * min(LEAST_GRAM, whole_gram)
    if least > limit:
        one_basis = "" if len(bases) == 1 else ", or check one basis at a time"
        raise UsageError(
            f"The model {info.name} is expected to take at least {least / GB:.1f} GB of memory, with {info.d_vocab:,} "
            f"tokens of {info.d_model} dimensions; the limit is {limit / GB:.1f} GB. Free memory, or allow more with "
            f"--memory-limit{one_basis}."
        )
    left = limit - least
    no_run, running = "", 0
    # A model without a tokenizer is not run either.
    if info.text and any("text" in claims[subject.claim].needs for subject in chosen):
        running = size.whole + len(bases) * (size.embedding + SEEDS * _on_text(info))
        if running > left:
            no_run = (
                f"to run the model takes {(least + running) / GB:.1f} GB of memory, more than the limit of "
                f"{limit / GB:.1f} GB"
            )
            running = 0
    left -= running
    of_twin, own = _of_twin(info, twin, size, bool(running))
    no_twin, least_gram = "", min(LEAST_GRAM, whole_gram)
    if of_twin + own * least_gram > left:
        needed = limit - left + of_twin + own * least_gram
        no_twin = f"with it the run takes {needed / GB:.1f} GB of memory, more than the limit of {limit / GB:.1f} GB"
        of_twin = own = 0
    left -= of_twin + own * least_gram
    dictionaries += own
    gram = min(whole_gram, LEAST_GRAM + left // (2 * max(dictionaries, 1))) if pursues else 0
    left -= dictionaries * max(gram - LEAST_GRAM, 0)
    layers = info.n_layers * size.layer
    kept = min(layers, left // (2 * max(len(bases), 1)))
    left -= len(bases) * kept
    shared = min(len(bases) * info.n_layers * 3 * size.law, left // 2)
    peak = fixed + passing + running + of_twin + dictionaries * gram + len(bases) * kept + shared
    return Plan(limit, peak, gram, kept + 2 * size.embedding + 2 * size.layer, shared + 4 * size.law, no_run, no_twin)


def _on_text(info: ModelInfo) -> int:
    """Bytes that the claims about attention on text keep, for one seed."""
    sampled = min(4 * info.n_layers * info.n_heads * info.d_model * 128, MOST_SAMPLED)
    return sampled + 4 * info.n_layers * info.d_model * min(info.d_vocab, TOKENS_READ // 2)


def _of_twin(info: ModelInfo, subjects: Collection[Subject], size: Sizes, runs: bool) -> tuple[int, int]:
    """Bytes of the untrained twin without its dictionaries' Gram matrices, and the number of these."""
    bases = {subject.basis for subject in subjects}
    own = len(bases) if info.norm == "layer_norm" else min(len(bases), 1)
    measured = (len(bases) + 2 * own) * size.embedding + 3 * size.layer + 4 * size.law
    measured += len({subject.basis for subject in subjects if subject.claim in _BIND}) * size.bound
    # It is built as a whole, and released once it is written.
    return (max(size.whole, measured + (size.whole if runs else 0)), own) if subjects else (0, 0)


def announcement(
    info: ModelInfo,
    subjects: Collection[Subject],
    chosen: Plan,
    processes: int = 1,
    twin: Collection[Subject] = (),
) -> str:
    """The expected memory and time, with the twin, in one line; measures the machine's speed if the run may be long."""
    twin = () if chosen.no_twin else twin
    short = expected_seconds(info, subjects, SLOW) + expected_seconds(info, twin, SLOW) < SHORT_S
    speed = SLOW if short else measured_speed()  # for the whole machine: processes share its cores
    of_twin = expected_seconds(info, twin, speed)
    seconds = expected_seconds(info, subjects, speed) + of_twin
    if seconds < SHORT_S:
        time_taken = "one or two minutes"
    else:
        time_taken = f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
    peak, limit = processes * chosen.peak / GB, processes * chosen.limit / GB
    text = (
        f"Measuring all this takes up to about {peak:.1f} GB of memory ({limit:.1f} GB are allowed) and about "
        f"{time_taken} on this machine; measurements from an earlier run take no time."
    )
    if of_twin > SMALL_SHARE * seconds:
        text += f" Its untrained twin takes {of_twin / seconds:.0%} of the time (--no-twin skips it)."
    if chosen.no_run:
        text += f" The model is not run: {chosen.no_run}."
    return f"{text} No untrained twin is measured: {chosen.no_twin}." if chosen.no_twin else text


def torch_threads() -> int:
    """PyTorch's default number of threads; imports PyTorch.

    Read in a new thread, because numba's compiled loops set the number for the thread that calls them.
    """
    import torch

    with ThreadPoolExecutor(1) as pool:
        return int(pool.submit(torch.get_num_threads).result())
