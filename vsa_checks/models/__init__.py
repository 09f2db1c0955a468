"""Finds, describes and loads models; only loading imports torch and transformers."""

from vsa_checks.models.description import describe
from vsa_checks.models.info import ModelInfo
from vsa_checks.models.model import Model, load
from vsa_checks.models.registry import RegistryEntry, read_registry
from vsa_checks.models.sources import default_model, ensure_available
from vsa_checks.models.weights_in_basis import BASES, Basis

__all__ = [
    "BASES",
    "Basis",
    "Model",
    "ModelInfo",
    "RegistryEntry",
    "default_model",
    "describe",
    "ensure_available",
    "load",
    "read_registry",
]
