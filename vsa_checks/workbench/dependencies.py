"""What a measurement depends on besides its subject. If any of it differs, a cached measurement is not used."""

from __future__ import annotations

import hashlib
import os
import platform
from dataclasses import asdict
from functools import cache
from importlib import metadata
from typing import Any

from vsa_checks import paths
from vsa_checks.models import ModelInfo
from vsa_checks.models.checksums import content_sha256
from vsa_checks.models.sources import locate

ABOUT_THE_COPY = ("name", "source", "location", "sha256", "revision", "licence", "notes")
"""Fields of `ModelInfo` that describe this copy of the model. Measurements depend on the hash of its files instead."""
LIBRARIES = (
    "gguf",
    "llvmlite",
    "numba",
    "numpy",
    "protobuf",
    "safetensors",
    "scipy",
    "sentencepiece",
    "tiktoken",
    "tokenizers",
    "torch",
    "transformer-lens",
    "transformers",
)
NUMERICAL_VARIABLES = (
    *("ATEN_", "BLIS_", "CUBLAS_", "CUDA_", "DNNL_", "GOMP_", "GOTO_", "KMP_", "MKL_", "NPY_", "NUMBA_", "NVIDIA_"),
    *("OMP_", "ONEDNN_", "OPENBLAS_", "PYTORCH_", "TORCH_"),
)
"""Prefixes of the environment variables that choose threads and kernels in the libraries."""
NOT_NUMERICAL = ("KMP_DUPLICATE_LIB_OK",)
"""scikit-learn sets this when imported, for this process and its children; it changes no numbers."""


@cache
def code_digest() -> str:
    """Hash of this package's source, so that measurements of another version are never used."""
    digest = hashlib.sha256()
    for path in sorted(paths.PACKAGE.rglob("*.py")):
        digest.update(str(path.relative_to(paths.PACKAGE)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def model_content(name: str) -> str:
    """Hex sha256 of the files that a model is loaded from. Raises ModelError, and OSError for an unreadable file."""
    path = locate(name).path
    assert path is not None
    return content_sha256(path)


def dependencies(name: str, info: ModelInfo, seed: int, device: str) -> dict[str, Any]:
    """The dependencies of a run's measurements, as plain JSON: model, code, seed, device, libraries and machine.

    Raises ModelError, and OSError for a file that cannot be read.
    """
    return {
        "content": model_content(name),
        "model": {key: _plain(value) for key, value in asdict(info).items() if key not in ABOUT_THE_COPY},
        "seed": seed,
        "device": [device, *(_cuda() if device == "cuda" else [])],
        "code": code_digest(),
        "published": hashlib.sha256(paths.PUBLISHED_FILE.read_bytes()).hexdigest(),
        "libraries": {"python": platform.python_version(), **{one: _version(one) for one in LIBRARIES}},
        "machine": _machine(),
    }


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _machine() -> dict[str, Any]:
    """Processor and threads: others make kernels add in a different order, so the last bits differ."""
    from llvmlite import binding

    features = binding.get_host_cpu_features().flatten()
    return {
        "system": [platform.system(), platform.machine(), *platform.libc_ver()],
        "processor": [binding.get_host_cpu_name(), hashlib.sha256(features.encode()).hexdigest()],
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "variables": {
            key: value
            for key, value in sorted(os.environ.items())
            if key.startswith(NUMERICAL_VARIABLES) and key not in NOT_NUMERICAL
        },
    }


def _cuda() -> list[Any]:
    import torch

    return [torch.cuda.get_device_name(), torch.version.cuda, torch.backends.cudnn.version()]
