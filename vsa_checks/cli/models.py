"""`vsa-checks models`: the short names, one line for each; with a name or path, what that one model is."""

from __future__ import annotations

import argparse

from vsa_checks.models.description import describe_located
from vsa_checks.models.registry import read_registry
from vsa_checks.models.sources import Located, locate, with_config


def run(options: argparse.Namespace) -> int:
    """Print the registry, or what one model is. Raises ModelError where it cannot be read or found."""
    print(listing() if options.model is None else about(options.model))
    return 0


def listing() -> str:
    """Name, source, id, licence and notes of every registered model, in columns. Raises ModelError as `run` does."""
    rows = [(one.name, one.source, one.location, one.licence, one.notes) for one in read_registry().values()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def about(name: str) -> str:
    """What one model is and whether its weights are here, a line each; config.json alone is downloaded for that."""
    found = locate(name)
    if not found.complete:
        found = with_config(found)
    info = describe_located(found)
    lines = {
        "model": info.name,
        "source": f"{info.source} ({info.location})",
        "revision": info.revision,
        "weights": _weights(found),
        "sha256": info.sha256,
        "architecture": info.architecture,
        "layers": info.n_layers,
        "d_model": info.d_model,
        "heads": f"{info.n_heads} of dimension {info.d_head}, {info.n_kv_heads} for keys and values",
        "d_mlp": f"{info.d_mlp}{', gated' if info.gated else ''}",
        "experts": f"{info.n_experts} in {len(info.expert_layers)} of {info.n_layers} layers" if info.n_experts else "",
        "vocabulary": info.d_vocab,
        "stored as": info.quantization or info.dtype,
        "text": "read" if info.text else f"not read: {info.text_reason}",
        "licence": info.licence,
        "notes": info.notes,
    }
    return "\n".join(f"{key:13} {value}" for key, value in lines.items() if value)


def _weights(found: Located) -> str:
    return str(found.path) if found.complete else "not on this machine yet: downloaded when needed"
