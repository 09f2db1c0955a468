"""The small GPT-2 that whole runs measure, and its tensors read back without the code under test."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file

from tests.models import tiny

Array = NDArray[np.float64]

D_MODEL, N_HEADS, N_LAYERS, D_MLP, D_VOCAB = 48, 4, 2, 40, 300
D_HEAD = D_MODEL // N_HEADS


def write_plain(directory: Path, seed: int = 0) -> Path:
    """Writes the model: duplicated and dead rows, layer-0 neurons that are sums of five tokens, one dead neuron."""
    # Windows of text nearly as long as any: with 32 positions, a run would read four times as many.
    tiny.write_hf(directory, "gpt2", seed=seed, n_embd=D_MODEL, n_inner=D_MLP, n_positions=127)
    stored = load_file(directory / "model.safetensors")
    prefix = "transformer." if any(name.startswith("transformer.") for name in stored) else ""
    rng = np.random.default_rng(seed)
    embedding = stored[f"{prefix}wte.weight"].copy()
    embedding[20:28] = embedding[20] + 0.01 * rng.standard_normal((8, D_MODEL))  # never told apart
    embedding[5] = 0
    reading = stored[f"{prefix}h.0.mlp.c_fc.weight"].copy()
    for neuron in range(24):
        reading[:, neuron] = embedding[rng.choice(np.arange(30, D_VOCAB), 5, replace=False)].sum(axis=0)
    reading[:, 39] = 0
    writing = stored[f"{prefix}h.1.mlp.c_proj.weight"].copy()
    writing[1:12] = writing[0] * rng.choice([-1, 1], (11, 1)) + 0.05 * rng.standard_normal((11, D_MODEL))
    attention = stored[f"{prefix}h.0.attn.c_attn.weight"].copy()
    attention[:, 1:D_HEAD] = attention[:, :1] + 0.1 * rng.standard_normal((D_MODEL, D_HEAD - 1))  # head 0 of W_Q
    changes = {
        "wte.weight": embedding,
        "h.0.mlp.c_fc.weight": reading,
        "h.1.mlp.c_proj.weight": writing,
        "h.0.attn.c_attn.weight": attention,
    }
    tensors = {f"{prefix}{name}".replace(".", "__"): torch.tensor(value) for name, value in changes.items()}
    return tiny.edit_weights(directory, **tensors)


def tensors(directory: Path) -> dict[str, Array]:
    """The stored tensors, in float64, under GPT-2's own names."""
    stored = load_file(directory / "model.safetensors")
    return {name.removeprefix("transformer."): value.astype(np.float64) for name, value in stored.items()}


def stored_names(directory: Path) -> list[str]:
    """The names under which the tensors stand in the file."""
    return sorted(load_file(directory / "model.safetensors"))


def sha256(directory: Path) -> str:
    """Hex sha256 of the weights' file."""
    return hashlib.sha256((directory / "model.safetensors").read_bytes()).hexdigest()
