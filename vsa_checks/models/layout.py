"""Where each weight of a model lies among its stored tensors: modules by role, and how fused matrices split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

QKV = Literal["concatenated", "by head", "by group", "codegen"]
"""How one matrix holds queries, keys and values: all queries first; by head; by key-value group; as in CodeGen."""


@dataclass(frozen=True)
class Experts:
    """Names of a mixture of experts within a layer.

    `module` holds {} for the expert's number, and its matrices have the names of `up`, `gate` and `down` in it. Without
    {} one tensor holds all experts along its first axis: `fused` (gate and up, or up alone) and `down`.
    """

    module: str
    up: str = "up_proj"
    gate: str = "gate_proj"
    down: str = "down_proj"
    fused: str = ""
    interleaved: bool = False
    rows_out: bool = True
    """Whether the tensors of all experts are (expert, out, in), as linear layers are, rather than (expert, in, out)."""


@dataclass(frozen=True)
class Layout:
    """Names of modules as the model's class has them; each matrix is `<module>.weight`, its bias `<module>.bias`.

    Attributes
    ----------
    embed, positions, embed_norm, embed_project, final_norm, unembed, project_out : str
        Modules outside the layers; "" for none.
    unembed_bias : str
        The unembedding's bias, where it is a tensor of another name than `<unembed>.bias` and that is not stored.
    layer : str
        Prefix of a layer, with {} for its number.
    roles : mapping of str to str
        Role to module within the layer: attn_norm, mlp_norm (read through), attn_out_norm, mlp_out_norm (on what is
        written, before it is added), q, k, v, qkv, o, q_norm, k_norm, up, gate, gate_up (both in one, the gate first),
        down, and attn_norm2, mlp_norm2, up2 as alternatives by configuration. A role that a model does not have is left
        out.
    qkv_order : str
        How a fused `qkv` splits.
    first_position : int
        The row of `positions` that the first token gets.
    transposed : bool
        Whether matrices are stored (in, out), as GPT-2's are, instead of (out, in).
    """

    embed: str
    layer: str
    roles: Mapping[str, str]
    final_norm: str = ""
    unembed: str = ""
    unembed_bias: str = ""
    positions: str = ""
    embed_norm: str = ""
    embed_project: str = ""
    project_out: str = ""
    qkv_order: QKV = "concatenated"
    transposed: bool = False
    experts: Experts | None = None
    first_position: int = 0

    def having(self, **changes: Any) -> Layout:
        """This layout with other names: of its own fields, and of roles for all other keywords; None drops a role."""
        own = {key: value for key, value in changes.items() if key in Layout.__dataclass_fields__}
        roles = {**self.roles, **{key: value for key, value in changes.items() if key not in own}}
        return replace(self, **own, roles={key: value for key, value in roles.items() if value is not None})

    @property
    def prefix(self) -> str:
        """The outermost module of the embedding, which a model saved without its head leaves out."""
        return self.embed.split(".")[0] + "."
