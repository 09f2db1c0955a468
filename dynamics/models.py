"""The networks to train, each differing in one respect from another.

transformers has no class that varies each thing alone, so the variants form chains. GPT-2's class has learned
positions, LayerNorm and a plain MLP; GPT-NeoX's, attention before MLP, has rotary positions in place of learned ones;
Arcee's, with biases and GELU, has RMSNorm beside rotary positions; Llama's, with the same, a gated MLP beside both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vsa_checks.models.quiet import quiet

INITIAL = 0.06
"""Standard deviation of initial weights: GPT-2's own, .02, is for a width of 768, and slow to leave at this one."""


@dataclass(frozen=True)
class Sizes:
    """Of a network: layers, width, heads, and the positions that it has."""

    n_layers: int = 4
    d_model: int = 128
    n_heads: int = 4
    n_positions: int = 64

    @property
    def d_mlp(self) -> int:
        """Neurons of a layer: four for each dimension, in a gated MLP too."""
        return 4 * self.d_model


@dataclass(frozen=True)
class Variant:
    """A kind of network: of what other it is a change, and in what.

    make: the configuration for sizes and a vocabulary. width: by what the width is multiplied.
    """

    name: str
    title: str
    base: str
    change: str
    make: Callable[[Sizes, int], Any]
    width: int = 1


def _gpt2(sizes: Sizes, d_vocab: int, tied: bool = True) -> Any:
    from transformers import GPT2Config

    return GPT2Config(
        vocab_size=d_vocab,
        n_positions=sizes.n_positions,
        n_embd=sizes.d_model,
        n_layer=sizes.n_layers,
        n_head=sizes.n_heads,
        n_inner=sizes.d_mlp,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
        tie_word_embeddings=tied,
        initializer_range=INITIAL,
    )


def _untied(sizes: Sizes, d_vocab: int) -> Any:
    return _gpt2(sizes, d_vocab, tied=False)


def _common(sizes: Sizes, d_vocab: int) -> dict[str, Any]:
    return {
        "vocab_size": d_vocab,
        "hidden_size": sizes.d_model,
        "num_hidden_layers": sizes.n_layers,
        "num_attention_heads": sizes.n_heads,
        "intermediate_size": sizes.d_mlp,
        "max_position_embeddings": sizes.n_positions,
        "hidden_act": "gelu_new",
        "tie_word_embeddings": True,
        "initializer_range": INITIAL,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }


def _rotary(sizes: Sizes, d_vocab: int) -> Any:
    from transformers import GPTNeoXConfig

    rope = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 1.0}
    return GPTNeoXConfig(**_common(sizes, d_vocab), use_parallel_residual=False, rope_parameters=rope)


def _rms(sizes: Sizes, d_vocab: int) -> Any:
    from transformers import ArceeConfig

    return ArceeConfig(**_common(sizes, d_vocab), attention_bias=True, mlp_bias=True, pad_token_id=None)


def _gated(sizes: Sizes, d_vocab: int) -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(**_common(sizes, d_vocab), attention_bias=True, mlp_bias=True)


VARIANTS: dict[str, Variant] = {
    one.name: one
    for one in (
        Variant("plain", "GPT-2: learned positions, LayerNorm, plain MLP, tied", "", "", _gpt2),
        Variant("untied", "GPT-2, untied", "plain", "embedding and unembedding are two matrices", _untied),
        Variant("wide", "GPT-2, twice as wide", "plain", "twice the width, heads and neurons", _gpt2, width=2),
        Variant("rotary", "GPT-NeoX, tied", "plain", "rotary positions in place of learned ones", _rotary),
        Variant("rmsnorm", "Arcee with biases and GELU, tied", "rotary", "RMSNorm in place of LayerNorm", _rms),
        Variant("gated", "Llama with biases and GELU, tied", "rmsnorm", "a gated MLP in place of a plain one", _gated),
    )
}


def untrained(variant: Variant, sizes: Sizes, d_vocab: int, seed: int) -> Any:
    """The network of a variant with its own initialisation by a seed, float32, as a transformers module."""
    import torch
    import transformers

    from vsa_checks.models.architectures import ARCHITECTURES

    if variant.width > 1:
        wide = (variant.width * sizes.d_model, variant.width * sizes.n_heads)
        sizes = Sizes(sizes.n_layers, *wide, sizes.n_positions)
    config = variant.make(sizes, d_vocab)
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module: Any = getattr(transformers, ARCHITECTURES[config.model_type].hf_class)(config)
    return module.to(torch.float32)
