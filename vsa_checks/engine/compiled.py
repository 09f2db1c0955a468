"""Compile loops in place, under their own names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compile_in_place(*loops: Callable[..., Any], **options: Any) -> None:
    """Put the compiled function in place of each plain one in its module.

    A decorator would do the same, but hides the function from mutation testing (docs/mutation.md).

    Parameters
    ----------
    *loops
        Functions of one module, compiled when they are first called.
    **options
        Options of `numba.njit`; machine code is always cached on disk.
    """
    for loop in loops:
        loop.__globals__[loop.__name__] = numba.njit(cache=True, **options)(loop)
