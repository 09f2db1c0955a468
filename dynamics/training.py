"""One training: seeded, on the CPU, with checkpoints at log-spaced steps that any command here reads as a model.

A training that was ended goes on from its last checkpoint, and gives what it would have given.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dynamics.models import Sizes, Variant, untrained
from vsa_checks.models.quiet import quiet

if TYPE_CHECKING:
    import torch

STATE = "state.safetensors"
STEP = "step"
"""Before the number in a checkpoint's folder: `vsa-checks compare` reads such folders as one series."""


@dataclass(frozen=True)
class Schedule:
    """How a network is trained: AdamW with a constant rate after a warm-up, and decay of matrices only.

    first: the step of the first checkpoint after the untrained network, a power of two.
    """

    steps: int = 2048
    windows: int = 16
    rate: float = 3e-3
    warm_up: int = 32
    decay: float = 0.1
    first: int = 16

    def checkpoints(self) -> list[int]:
        """Steps after which the network is saved: 0, then powers of two from the first on, and the last."""
        powers = [2**at for at in range(self.steps.bit_length()) if self.first <= 2**at < self.steps]
        return [0, *powers, self.steps]


def checkpoint(folder: Path, step: int) -> Path:
    """The folder of a checkpoint."""
    return folder / f"{STEP}{step}"


def train(
    folder: Path,
    variant: Variant,
    sizes: Sizes,
    schedule: Schedule,
    tokens: Callable[[], NDArray[np.int64]],
    d_vocab: int,
    seed: int,
    save_tokenizer: Callable[[Path], None],
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Train one network and save its checkpoints; does nothing where the last one is there.

    Parameters
    ----------
    folder : Path
        Of this training: each checkpoint has a folder in it.
    variant, sizes, schedule
        What is trained, and how.
    tokens : callable
        Gives the text as token ids, at least steps x windows x positions of them; each is read once.
    d_vocab : int
    seed : int
        Of the initialisation.
    save_tokenizer : callable
        Called with a checkpoint's folder.
    say : callable
        Called with a line after each checkpoint.

    Raises
    ------
    ValueError
        If the text is too short.
    """
    import torch

    wanted = schedule.checkpoints()
    if checkpoint(folder, wanted[-1]).is_dir():
        return
    module = untrained(variant, sizes, d_vocab, seed)
    optimizer = _optimizer(module, schedule)
    done = _resume(folder / STATE, module, optimizer)
    if done is None:
        _save(folder, module, optimizer, 0, save_tokenizer)
        done = 0
    width = schedule.windows * sizes.n_positions
    read = torch.from_numpy(tokens())
    if len(read) < schedule.steps * width:
        raise ValueError(f"a text of {len(read):,} tokens is too short: {schedule.steps * width:,} are read")
    module.train()
    for step in range(done, schedule.steps):
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate * min(1.0, (step + 1) / schedule.warm_up)
        batch = read[step * width : (step + 1) * width].view(schedule.windows, sizes.n_positions)
        loss = _loss(module, batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        if step + 1 in wanted:
            _save(folder, module, optimizer, step + 1, save_tokenizer)
            say(f"step {step + 1}: loss {loss.item():.3f}")
    (folder / STATE).unlink(missing_ok=True)


def _loss(module: Any, batch: torch.Tensor) -> torch.Tensor:
    import torch

    logits = module(batch).logits[:, :-1]
    return torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), batch[:, 1:].reshape(-1))


def _optimizer(module: Any, schedule: Schedule) -> torch.optim.AdamW:
    import torch

    matrices = [one for one in module.parameters() if one.ndim > 1]
    others = [one for one in module.parameters() if one.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": schedule.decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=schedule.rate, betas=(0.9, 0.98))


def _save(
    folder: Path, module: Any, optimizer: torch.optim.AdamW, step: int, save_tokenizer: Callable[[Path], None]
) -> None:
    """A checkpoint that is there whole or not at all, then the state to go on from."""
    from safetensors.torch import save_file

    place = checkpoint(folder, step)
    partial = place.with_name(f".{place.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    with quiet():
        module.save_pretrained(partial)
    save_tokenizer(partial)
    shutil.rmtree(place, ignore_errors=True)
    os.replace(partial, place)
    tensors = {f"weight {name}": value.detach().contiguous().clone() for name, value in module.named_parameters()}
    for name, value in module.named_parameters():
        for kind, moment in optimizer.state.get(value, {}).items():
            tensors[f"{kind} {name}"] = moment.detach().contiguous().clone()
    temporary = folder / f".{STATE}.partial"
    save_file(tensors, temporary, metadata={"step": str(step)})
    os.replace(temporary, folder / STATE)


def _resume(path: Path, module: Any, optimizer: torch.optim.AdamW) -> int | None:
    """Put weights and moments back as they were saved; returns the step, None where nothing usable was saved."""
    import torch
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            step = int(file.metadata()["step"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except (FileNotFoundError, SafetensorError):
        return None
    with torch.no_grad():
        for name, value in module.named_parameters():
            value.copy_(tensors[f"weight {name}"])
            moments = {kind: tensors[f"{kind} {name}"] for kind in _kinds(tensors, name)}
            if moments:
                optimizer.state[value] = moments
    return step


def _kinds(tensors: dict[str, Any], name: str) -> Iterator[str]:
    for kind in ("step", "exp_avg", "exp_avg_sq"):
        if f"{kind} {name}" in tensors:
            yield kind
