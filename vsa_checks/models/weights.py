"""Weights alone, by TransformerLens names: kept on disk in each basis, and read from there without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vsa_checks.models.description import describe_located
from vsa_checks.models.info import ModelInfo
from vsa_checks.models.model import Basis, load
from vsa_checks.models.sources import ensure_available
from vsa_checks.models.tokenizer import vocabulary_of
from vsa_checks.models.vocabulary import Vocabulary
from vsa_checks.models.weights_cache import WeightsCache


@dataclass(frozen=True)
class KeptWeights:
    """The weights of one model in one basis (float32 arrays), and the names of its tokens."""

    info: ModelInfo
    basis: Basis
    arrays: Mapping[str, NDArray[np.float32]]
    vocabulary: Vocabulary | None

    def token_name(self, token: int) -> str:
        """Readable name of a token, leading space kept; its id as text where there is no tokenizer."""
        return self.vocabulary.name(token) if self.vocabulary is not None else str(token)


def load_weights(name_or_path: str, basis: Basis, cache: WeightsCache) -> KeptWeights:
    """Weights by name or path. The first time they are made by `load`, and kept in `cache` by their content's hash.

    Raises ModelError for a model that cannot be found, read or trusted.
    """
    found = ensure_available(name_or_path)
    info = describe_located(found)

    def make() -> dict[str, NDArray[np.float32]]:
        model = load(name_or_path, basis=basis)
        return {name: tensor.numpy() for name, tensor in model.items()}

    # A revision without a hash names weights as well as the hub does.
    key = {"what": "weights", "sha256": info.sha256, "revision": info.revision, "name": info.name, "basis": basis}
    arrays: Mapping[str, NDArray[np.float32]] = cache.arrays(key, make)  # type: ignore[assignment]
    return KeptWeights(info, basis, arrays, vocabulary_of(found) if info.text else None)
