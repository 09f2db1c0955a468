"""Where the weights of encoders and encoder-decoders lie, one layout for all architectures of one kind."""

from __future__ import annotations

from dataclasses import replace

from vsa_checks.models.layout import Layout
from vsa_checks.models.layouts import OPT_LAYER

ALL_LOGITS = "final_logits_bias"
"""The bias of BART and its kin, one row."""
# In these the norms follow the sums: they norm the stream, and nothing is read through a norm of its own.
_BERT_LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "o": "attention.output.dense",
    "up": "intermediate.dense",
    "down": "output.dense",
}
BERT = Layout(
    "bert.embeddings.word_embeddings",
    "bert.encoder.layer.{}.",
    _BERT_LAYER,
    unembed="cls.predictions.decoder",
    unembed_bias="cls.predictions.bias",
    positions="bert.embeddings.position_embeddings",
    embed_norm="bert.embeddings.LayerNorm",
)


def _bert_like(root: str, unembed: str, unembed_bias: str, **changes: str) -> Layout:
    """BERT's layout with another outermost module."""
    moved = {
        name: getattr(BERT, name).replace("bert.", f"{root}.", 1)
        for name in ("embed", "layer", "positions", "embed_norm")
    }
    return replace(BERT, **moved, unembed=unembed, unembed_bias=unembed_bias).having(**changes)


ROBERTA = replace(_bert_like("roberta", "lm_head.decoder", "lm_head.bias"), first_position=2)
ELECTRA = replace(_bert_like("electra", "generator_lm_head", ""), embed_project="electra.embeddings_project")
DEBERTA = _bert_like(
    "deberta",
    "cls.predictions.decoder",
    "cls.predictions.bias",
    q="attention.self.query_proj",
    k="attention.self.key_proj",
    v="attention.self.value_proj",
)
DISTILBERT = Layout(
    "distilbert.embeddings.word_embeddings",
    "distilbert.transformer.layer.{}.",
    {
        "q": "attention.q_lin",
        "k": "attention.k_lin",
        "v": "attention.v_lin",
        "o": "attention.out_lin",
        "up": "ffn.lin1",
        "down": "ffn.lin2",
    },
    unembed="vocab_projector",
    positions="distilbert.embeddings.position_embeddings",
    embed_norm="distilbert.embeddings.LayerNorm",
)
ALBERT = Layout(
    "albert.embeddings.word_embeddings",
    "albert.encoder.albert_layer_groups.{}.albert_layers.0.",
    {
        "q": "attention.query",
        "k": "attention.key",
        "v": "attention.value",
        "o": "attention.dense",
        "up": "ffn",
        "down": "ffn_output",
    },
    unembed="predictions.decoder",
    unembed_bias="predictions.bias",
    positions="albert.embeddings.position_embeddings",
    embed_norm="albert.embeddings.LayerNorm",
    embed_project="albert.encoder.embedding_hidden_mapping_in",
)
MODERNBERT = Layout(
    "model.embeddings.tok_embeddings",
    "model.layers.{}.",
    {
        "attn_norm": "attn_norm",
        "mlp_norm": "mlp_norm",
        "qkv": "attn.Wqkv",
        "o": "attn.Wo",
        # The first half goes through the nonlinearity, as a gate does.
        "gate_up": "mlp.Wi",
        "down": "mlp.Wo",
    },
    final_norm="model.final_norm",
    unembed="decoder",
    embed_norm="model.embeddings.norm",
)
T5 = Layout(
    "shared",
    "decoder.block.{}.",
    {
        "attn_norm": "layer.0.layer_norm",
        "mlp_norm": "layer.2.layer_norm",
        "q": "layer.0.SelfAttention.q",
        "k": "layer.0.SelfAttention.k",
        "v": "layer.0.SelfAttention.v",
        "o": "layer.0.SelfAttention.o",
        "up": "layer.2.DenseReluDense.wi_1",
        "up2": "layer.2.DenseReluDense.wi",
        "gate": "layer.2.DenseReluDense.wi_0",
        "down": "layer.2.DenseReluDense.wo",
    },
    final_norm="decoder.final_layer_norm",
    unembed="lm_head",
)
BART = Layout(
    "model.shared",
    "model.decoder.layers.{}.",
    {key: value for key, value in OPT_LAYER.items() if not key.endswith("norm")},
    unembed="lm_head",
    unembed_bias=ALL_LOGITS,
    positions="model.decoder.embed_positions",
    embed_norm="model.decoder.layernorm_embedding",
    first_position=2,
)
# The norms of these come before what reads the stream, as in GPT-2.
MBART = replace(
    BART,
    roles={**OPT_LAYER},
    final_norm="model.decoder.layer_norm",
)
LED = replace(
    BART,
    embed="led.shared",
    layer="led.decoder.layers.{}.",
    positions="led.decoder.embed_positions",
    embed_norm="led.decoder.layernorm_embedding",
    first_position=0,
)
MARIAN = replace(BART, embed_norm="", first_position=0)
PEGASUS = replace(MBART, embed_norm="", first_position=0)
