"""Measures, nulls and verdicts for "GPT-2 Through the Lens of Vector Symbolic Architectures" (arXiv:2412.07947)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vsa_checks import bundles, isometry, nulls, orthogonality, theory
    from vsa_checks.models import Model, describe, load

__all__ = ["Model", "bundles", "describe", "isometry", "load", "nulls", "orthogonality", "theory"]

_MODULES = ("bundles", "isometry", "nulls", "orthogonality", "theory")


def __getattr__(name: str) -> Any:
    # Late, so that listing claims or collecting tests needs neither torch nor compiled loops.
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("vsa-checks")
    if name in _MODULES:
        return importlib.import_module(f"vsa_checks.{name}")
    if name in ("Model", "describe", "load"):
        return getattr(importlib.import_module("vsa_checks.models"), name)
    raise AttributeError(f"module 'vsa_checks' has no attribute {name!r}")
