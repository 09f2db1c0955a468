"""Builds the transformers module of a GGUF file from the weights that are read from it, dequantized part by part."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vsa_checks.errors import first_line
from vsa_checks.models.architecture import Architecture
from vsa_checks.models.architectures import ARCHITECTURES
from vsa_checks.models.forward import CannotRun, module_from_tensors
from vsa_checks.models.gguf_config import gguf_config
from vsa_checks.models.gguf_description import all_tensors, gguf_shape
from vsa_checks.models.gguf_header import GGUFHeader
from vsa_checks.models.gguf_parts import read_parts
from vsa_checks.models.gguf_weights import GgufTensors, raw_weights
from vsa_checks.models.parts import Norm, Part
from vsa_checks.models.raw_weights import RawWeights

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Array = NDArray[np.float32]
_FREQUENCIES = "rope_freqs.weight"
_GATES_AND_UPS = "experts.gate_up_proj"
_OTHERS = {
    "mlp.gate.weight": "ffn_gate_inp.weight",
    "block_sparse_moe.router.weight": "ffn_gate_inp.weight",
    "mlp.shared_expert_gate.weight": "ffn_gate_inp_shexp.weight",
    "mlp.shared_expert.gate_proj.weight": "ffn_gate_shexp.weight",
    "mlp.shared_expert.up_proj.weight": "ffn_up_shexp.weight",
    "mlp.shared_expert.down_proj.weight": "ffn_down_shexp.weight",
}


def module_from_gguf(path: Path, model: str) -> PreTrainedModel:
    """The module of a GGUF file, float32 on the CPU.

    Raises CannotRun for an architecture whose configuration is not read from GGUF files, and for weights that its class
    does not have or that the file lacks.
    """
    import torch
    import transformers

    headers = read_parts(path, model)
    config = gguf_config(headers, model)
    row = ARCHITECTURES[config.model_type]
    raw = raw_weights(headers, row, gguf_shape(headers, model), model, path)
    try:
        with torch.device("meta"):
            skeleton = getattr(transformers, row.hf_class)(config)
    except Exception as problem:  # whatever the class cannot be built from
        reason = first_line(problem)
        raise CannotRun(f"its header describes no {row.hf_class} that can be built ({reason})") from None
    wanted = {name: tuple(tensor.shape) for name, tensor in skeleton.state_dict().items()}
    tensors = Packed(raw, row, wanted, headers[0]).tensors()
    module = module_from_tensors(config, tensors, model, path, row)
    _divide_frequencies(module, headers)
    return module


class Packed:
    """Puts weights back under the names and into the shapes that a class has: the inverse of how they are read."""

    def __init__(
        self, raw: RawWeights, row: Architecture, wanted: Mapping[str, tuple[int, ...]], header: GGUFHeader | None
    ) -> None:
        self._header = header
        self._raw, self._row, self._layout, self._wanted = raw, row, row.layout, wanted
        self._found: dict[str, torch.Tensor] = {}

    def tensors(self) -> dict[str, torch.Tensor]:
        """Every tensor of the class. Raises CannotRun where the file has others."""
        raw, layout = self._raw, self._layout
        self._put(f"{layout.embed}.weight", raw.embedding())
        if layout.positions:
            self._put(f"{layout.positions}.weight", raw.positions())
        if layout.embed_norm:
            self._norm(layout.embed_norm, raw.embedding_norm())
        if layout.final_norm:
            self._norm(layout.final_norm, raw.final_norm())
        matrix, bias = raw.unembedding()
        # Newer classes have another name for it than the files that they write.
        unembed = layout.unembed if f"{layout.unembed}.weight" in self._wanted else "lm_head"
        self._put(f"{unembed}.weight", raw.embedding() if matrix is None else matrix.T)
        self._put(f"{unembed}.bias", bias)
        mixtures = raw.expert_layers()
        for layer in range(raw.shape.n_layers):
            self._attention(layer, raw.attention(layer))
            if layer in mixtures:
                self._mixture(layer)
            else:
                self._mlp(layer, raw.mlp(layer))
            self._others(layer)
        missing = sorted(self._wanted.keys() - self._found.keys())
        if missing:
            raise CannotRun(f"{missing[0]} of {self._row.hf_class} is not in the file")
        return self._found

    def part(self, kind: str, layer: int, part: Part) -> dict[str, torch.Tensor]:
        """The tensors of a layer's attention ("attn") or MLP ("mlp"). Raises CannotRun where the class has others."""
        self._found = {}
        (self._attention if kind == "attn" else self._mlp)(layer, part)
        return self._found

    def _put(self, name: str, values: Array | None) -> None:
        import torch

        if values is None:
            return
        if name not in self._wanted:
            raise CannotRun(f"the file has what {self._row.hf_class} calls {name} and does not have")
        if values.size != np.prod(self._wanted[name]):
            raise CannotRun(f"{name} of {self._row.hf_class} is {self._wanted[name]}, in the file {values.shape}")
        self._found[name] = torch.from_numpy(np.ascontiguousarray(values).reshape(self._wanted[name]))

    def _module(self, layer: int, role: str) -> str:
        return self._layout.layer.format(layer) + self._layout.roles[role] if role in self._layout.roles else ""

    def _matrix(self, layer: int, role: str, rows: Array, bias: Array | None) -> None:
        module = self._module(layer, role)
        self._put(f"{module}.weight", rows.T if self._layout.transposed else rows)
        self._put(f"{module}.bias", bias)

    def _norm(self, module: str, norm: Norm | None) -> None:
        if norm is not None and norm.gain is not None:
            self._put(f"{module}.weight", norm.gain - np.float32(self._row.norm_offset))
            self._put(f"{module}.bias", norm.bias)

    def _layer_norm(self, layer: int, norm: Norm | None, *roles: str) -> None:
        modules = [self._module(layer, role) for role in roles]
        module = next((one for one in modules if f"{one}.weight" in self._wanted), "")
        if module and f"{module}.weight" not in self._found:
            self._norm(module, norm)

    def _attention(self, layer: int, part: Part) -> None:
        weights = part.weights
        rows = {letter: _rows(weights[f"W_{letter}"]) for letter in "QKV"}
        biases = {letter: weights[f"b_{letter}"].reshape(-1) for letter in "QKV" if f"b_{letter}" in weights}
        if "qkv" in self._layout.roles:
            self._matrix(layer, "qkv", self._fused(rows), self._fused(biases) if biases else None)
        else:
            for role, letter in zip("qkv", "QKV", strict=True):
                self._matrix(layer, role, rows[letter], biases.get(letter))
        out = weights["W_O"]
        self._matrix(layer, "o", out.reshape(-1, out.shape[-1]).T, weights.get("b_O"))
        self._layer_norm(layer, part.reads_through, "attn_norm2", "attn_norm")
        self._layer_norm(layer, part.written_through, "attn_out_norm")
        for role, gain in (("q_norm", part.q_norm), ("k_norm", part.k_norm)):
            if gain is not None:
                name = f"{self._module(layer, role)}.weight"
                shared = np.prod(self._wanted.get(name, ())) == gain.shape[1]
                self._put(name, (gain[0] if shared else gain) - np.float32(self._row.norm_offset))

    def _fused(self, rows: Mapping[str, Array]) -> Array:
        """Queries, keys and values in one matrix or bias, in the order of the class."""
        q, k, v = (rows[letter] for letter in "QKV")
        shape, order = self._raw.shape, self._layout.qkv_order
        one_key = shape.n_kv_heads == 1 and shape.n_heads > 1
        if order == "concatenated" or (order == "by group" and one_key):
            return np.concatenate([q, k, v])
        rest = q.shape[1:]
        groups = shape.n_kv_heads
        each = [part.reshape(groups, -1, shape.d_head, *rest) for part in (q, k, v)]
        return np.concatenate(each, axis=1).reshape(-1, *rest)

    def _mlp(self, layer: int, part: Part) -> None:
        weights = part.weights
        if "gate_up" in self._layout.roles:
            both = np.concatenate([weights["W_gate"].T, weights["W_in"].T])
            bias = np.concatenate([weights["b_gate"], weights["b_in"]]) if "b_in" in weights else None
            self._matrix(layer, "gate_up", both, bias)
        else:
            for role, name in (("gate", "gate"), ("up", "in")):
                if f"W_{name}" in weights:
                    self._matrix(layer, role, weights[f"W_{name}"].T, weights.get(f"b_{name}"))
        self._matrix(layer, "down", weights["W_out"].T, weights.get("b_out"))
        self._mlp_norms(layer, part)

    def _mlp_norms(self, layer: int, part: Part) -> None:
        self._layer_norm(layer, part.reads_through, "mlp_norm2", "mlp_norm")
        self._layer_norm(layer, part.written_through, "mlp_out_norm")

    def _mixture(self, layer: int) -> None:
        """The experts of a layer, which the classes have in one tensor of gates and ups and one of downs."""
        experts = [self._raw.expert(layer, at) for at in range(self._raw.n_experts)]
        both = [np.concatenate([one.weights["W_gate"].T, one.weights["W_in"].T]) for one in experts]
        prefix = self._layout.layer.format(layer)
        name = next((name for name in self._wanted if name.startswith(prefix) and name.endswith(_GATES_AND_UPS)), "")
        if not name or any(one.weights.keys() - {"W_in", "W_gate", "W_out"} for one in experts):
            raise CannotRun(f"the experts of {self._row.hf_class} are not as the file has them")
        self._put(name, np.stack(both))
        down = name.removesuffix(_GATES_AND_UPS) + "experts.down_proj"
        self._put(down, np.stack([one.weights["W_out"].T for one in experts]))
        self._mlp_norms(layer, experts[0])

    def _others(self, layer: int) -> None:
        """Routers, shared experts and parameters of nonlinearities, which no claim looks at."""
        prefix, stored = self._layout.layer.format(layer), self._raw.stored
        for name in [name for name in self._wanted if name.startswith(prefix) and name not in self._found]:
            own = f"blk.{layer}.{_OTHERS.get(name.removeprefix(prefix), '')}"
            if own in stored.names:
                self._put(name, stored.read(own))
            assert self._header is not None
            values = self._header.array(f"xielu.{name.rpartition('.')[2]}") if ".act_fn." in name else []
            if layer < len(values):
                self._put(name, np.array(values[layer], np.float32))


def _rows(matrix: Array) -> Array:
    """A matrix of heads (heads, d, r) as rows (heads * r, d)."""
    return np.ascontiguousarray(matrix.transpose(0, 2, 1)).reshape(-1, matrix.shape[1])


def _divide_frequencies(module: Any, headers: list[GGUFHeader]) -> None:
    """Divides rotary frequencies by the factors that llama.cpp stores for Llama 3's scaling."""
    import torch

    entry = all_tensors(headers).get(_FREQUENCIES)
    if entry is None:
        return
    factors = torch.from_numpy(GgufTensors(headers, "").read(_FREQUENCIES))
    rotary = getattr(getattr(module, "model", None), "rotary_emb", None)
    frequencies = getattr(rotary, "inv_freq", None)
    if frequencies is None or frequencies.shape != factors.shape:
        raise CannotRun(f"its rotary positions are scaled by {_FREQUENCIES} in a way that is not read from GGUF files")
    for name in ("inv_freq", "original_inv_freq"):
        if hasattr(rotary, name):
            setattr(rotary, name, frequencies / factors)
