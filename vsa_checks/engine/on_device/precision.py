"""How exactly a device multiplies matrices: in float32, or in TF32 on tensor cores, with a bound on its error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


def tf32_error(d: int) -> float:
    """Bound the error of a dot product of d numbers in TF32, relative to the product of the two norms.

    TF32 keeps 10 of float32's 23 bits. If the others are cut off, each factor is off by 2^-10 of itself, and each term
    by 2^-9 + 2^-20 of itself. The sum of the terms' sizes is at most the product of the norms (Cauchy and Schwarz), and
    so is any partial sum. The terms are exact in float32, where each addition is off by 2^-23 of its result, even if it
    cuts off.
    """
    return (2**-9 + 2**-20) * (1 + d * 2**-22) + d * 2**-23


@contextmanager
def full_float32() -> Iterator[None]:
    """Switch off TF32, which keeps 10 of float32's 23 bits: far fewer than `ROUNDING` allows for."""
    with _precision("highest"):
        yield


def multiply_roughly(left: torch.Tensor, right: torch.Tensor, out: torch.Tensor) -> None:
    """Put the dot products of the rows of two float32 matrices into `out`, off by at most `tf32_error`.

    Uses tensor cores where the device has them; elsewhere the products are those of float32.
    """
    with _precision("high"):
        torch.mm(left, right.T, out=out)


@contextmanager
def _precision(wanted: str) -> Iterator[None]:
    backends: Any = torch.backends
    settings = (backends.cuda.matmul, backends.mkldnn.matmul)
    apart = [one.fp32_precision for one in settings]
    try:
        before = torch.get_float32_matmul_precision()
    except RuntimeError:  # this older API refuses to report what was set with PyTorch's newer one
        before = "high" if apart[0] == "tf32" else "highest"
    torch.set_float32_matmul_precision(wanted)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
        for one, precision in zip(settings, apart, strict=True):
            if one.fp32_precision != precision:  # set each by itself
                one.fp32_precision = precision
