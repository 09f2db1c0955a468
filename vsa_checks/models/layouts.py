"""Where the weights of decoders and of GGUF files lie, one layout for all architectures of one kind."""

from __future__ import annotations

from dataclasses import replace

from vsa_checks.models.layout import Experts, Layout

_MLP = {"gate": "mlp.gate_proj", "up": "mlp.up_proj", "down": "mlp.down_proj"}
_NO_MLP = dict.fromkeys(_MLP)
_QKVO = {"q": "self_attn.q_proj", "k": "self_attn.k_proj", "v": "self_attn.v_proj", "o": "self_attn.o_proj"}
_QK_NORMS = {"q_norm": "self_attn.q_norm", "k_norm": "self_attn.k_norm"}

LLAMA = Layout(
    "model.embed_tokens",
    "model.layers.{}.",
    {"attn_norm": "input_layernorm", "mlp_norm": "post_attention_layernorm", **_QKVO, **_MLP},
    final_norm="model.norm",
    unembed="lm_head",
)
QWEN3 = LLAMA.having(**_QK_NORMS)
GEMMA2 = LLAMA.having(
    attn_out_norm="post_attention_layernorm",
    mlp_norm="pre_feedforward_layernorm",
    mlp_out_norm="post_feedforward_layernorm",
)
GEMMA3 = GEMMA2.having(**_QK_NORMS)
VAULTGEMMA = LLAMA.having(mlp_norm="pre_feedforward_layernorm")
OLMO2 = QWEN3.having(
    attn_norm=None,
    mlp_norm=None,
    attn_out_norm="post_attention_layernorm",
    mlp_out_norm="post_feedforward_layernorm",
)
OLMO = LLAMA.having(attn_norm=None, mlp_norm=None, final_norm="")
PHI3 = LLAMA.having(q=None, k=None, v=None, gate=None, up=None, qkv="self_attn.qkv_proj", gate_up="mlp.gate_up_proj")
GLM = LLAMA.having(gate=None, up=None, gate_up="mlp.gate_up_proj")
GLM4 = GLM.having(attn_out_norm="post_self_attn_layernorm", mlp_out_norm="post_mlp_layernorm")
COHERE = LLAMA.having(mlp_norm="input_layernorm", **_QK_NORMS)
UNGATED_LLAMA = LLAMA.having(gate=None)
STARCODER2 = UNGATED_LLAMA.having(gate=None, up="mlp.c_fc", down="mlp.c_proj")
APERTUS = UNGATED_LLAMA.having(attn_norm="attention_layernorm", mlp_norm="feedforward_layernorm", **_QK_NORMS)
HUNYUAN = LLAMA.having(q_norm="self_attn.query_layernorm", k_norm="self_attn.key_layernorm")
STABLELM = LLAMA.having(q_norm="self_attn.q_layernorm", k_norm="self_attn.k_layernorm")
PHI = UNGATED_LLAMA.having(
    mlp_norm="input_layernorm",
    o="self_attn.dense",
    up="mlp.fc1",
    down="mlp.fc2",
    final_norm="model.final_layernorm",
    q_norm="self_attn.q_layernorm",
    k_norm="self_attn.k_layernorm",
)
MIXTRAL = LLAMA.having(experts=Experts("block_sparse_moe.experts.{}", "w3", "w1", "w2"), **_NO_MLP)
QWEN2_MOE = LLAMA.having(experts=Experts("mlp.experts.{}"))
QWEN3_MOE = QWEN3.having(experts=Experts("mlp.experts.{}"))
GPT_OSS = LLAMA.having(
    experts=Experts("mlp.experts", fused="gate_up_proj", interleaved=True, rows_out=False), **_NO_MLP
)
GRANITE_MOE = LLAMA.having(
    experts=Experts("block_sparse_moe", fused="input_linear.weight", down="output_linear.weight"), **_NO_MLP
)
FLEX_OLMO = OLMO2.having(experts=Experts("mlp.experts.{}"), **_NO_MLP)
MINIMAX_M2 = MIXTRAL.having(**_QK_NORMS)
DEEPSEEK = LLAMA.having(experts=Experts("mlp.experts.{}"), q=None, k=None, v=None, o=None)
DENSE_DEEPSEEK = DEEPSEEK.having(experts=None)
JAMBA = LLAMA.having(
    mlp_norm="pre_ff_layernorm",
    gate="feed_forward.gate_proj",
    up="feed_forward.up_proj",
    down="feed_forward.down_proj",
    final_norm="model.final_layernorm",
    experts=Experts("feed_forward.experts.{}"),
)
DENSE_JAMBA = JAMBA.having(experts=None)
LLAMA4 = LLAMA.having(
    gate="feed_forward.gate_proj",
    up="feed_forward.up_proj",
    down="feed_forward.down_proj",
    experts=Experts("feed_forward.experts", fused="gate_up_proj", rows_out=False),
)
LFM2 = LLAMA.having(
    attn_norm="operator_norm",
    mlp_norm="ffn_norm",
    o="self_attn.out_proj",
    gate="feed_forward.w1",
    up="feed_forward.w3",
    down="feed_forward.w2",
    q_norm="self_attn.q_layernorm",
    k_norm="self_attn.k_layernorm",
    final_norm="model.embedding_norm",
)
LFM2_MOE = LFM2.having(experts=Experts("feed_forward.experts.{}", "w3", "w1", "w2"))

GPT2 = Layout(
    "transformer.wte",
    "transformer.h.{}.",
    {
        "attn_norm": "ln_1",
        "mlp_norm": "ln_2",
        "qkv": "attn.c_attn",
        "o": "attn.c_proj",
        "up": "mlp.c_fc",
        "down": "mlp.c_proj",
    },
    final_norm="transformer.ln_f",
    unembed="lm_head",
    positions="transformer.wpe",
    transposed=True,
)
OPENAI_GPT = replace(
    GPT2.having(attn_norm=None, mlp_norm=None),
    embed="transformer.tokens_embed",
    positions="transformer.positions_embed",
    final_norm="",
)
GPT_BIGCODE = replace(GPT2, transposed=False)
GPTJ = Layout(
    "transformer.wte",
    "transformer.h.{}.",
    {
        "attn_norm": "ln_1",
        "mlp_norm": "ln_1",
        "q": "attn.q_proj",
        "k": "attn.k_proj",
        "v": "attn.v_proj",
        "o": "attn.out_proj",
        "up": "mlp.fc_in",
        "down": "mlp.fc_out",
    },
    final_norm="transformer.ln_f",
    unembed="lm_head",
)
CODEGEN = GPTJ.having(q=None, k=None, v=None, qkv="attn.qkv_proj", qkv_order="codegen")
GPT_NEO = GPTJ.having(
    mlp_norm="ln_2",
    q="attn.attention.q_proj",
    k="attn.attention.k_proj",
    v="attn.attention.v_proj",
    o="attn.attention.out_proj",
    up="mlp.c_fc",
    down="mlp.c_proj",
    positions="transformer.wpe",
)
GPT_NEOX = Layout(
    "gpt_neox.embed_in",
    "gpt_neox.layers.{}.",
    {
        "attn_norm": "input_layernorm",
        "mlp_norm": "post_attention_layernorm",
        "qkv": "attention.query_key_value",
        "o": "attention.dense",
        "up": "mlp.dense_h_to_4h",
        "down": "mlp.dense_4h_to_h",
    },
    final_norm="gpt_neox.final_layer_norm",
    unembed="embed_out",
    qkv_order="by head",
)
BLOOM = Layout(
    "transformer.word_embeddings",
    "transformer.h.{}.",
    {
        "attn_norm": "input_layernorm",
        "mlp_norm": "post_attention_layernorm",
        "qkv": "self_attention.query_key_value",
        "o": "self_attention.dense",
        "up": "mlp.dense_h_to_4h",
        "down": "mlp.dense_4h_to_h",
    },
    final_norm="transformer.ln_f",
    unembed="lm_head",
    embed_norm="transformer.word_embeddings_layernorm",
    qkv_order="by head",
)
FALCON = replace(BLOOM.having(attn_norm2="ln_attn", mlp_norm2="ln_mlp"), embed_norm="", qkv_order="by group")
MPT = Layout(
    "transformer.wte",
    "transformer.blocks.{}.",
    {
        "attn_norm": "norm_1",
        "mlp_norm": "norm_2",
        "qkv": "attn.Wqkv",
        "o": "attn.out_proj",
        "up": "ffn.up_proj",
        "down": "ffn.down_proj",
    },
    final_norm="transformer.norm_f",
    unembed="lm_head",
)
OPT_LAYER = {
    "attn_norm": "self_attn_layer_norm",
    "mlp_norm": "final_layer_norm",
    **_QKVO,
    "o": "self_attn.out_proj",
    "up": "fc1",
    "down": "fc2",
}
OPT = Layout(
    "model.decoder.embed_tokens",
    "model.decoder.layers.{}.",
    OPT_LAYER,
    final_norm="model.decoder.final_layer_norm",
    unembed="lm_head",
    positions="model.decoder.embed_positions",
    embed_project="model.decoder.project_in",
    project_out="model.decoder.project_out",
    first_position=2,
)
XGLM = Layout("model.embed_tokens", "model.layers.{}.", OPT_LAYER, final_norm="model.layer_norm", unembed="lm_head")
MAMBA = Layout("backbone.embeddings", "backbone.layers.{}.", {}, final_norm="backbone.norm_f", unembed="lm_head")

GGUF = Layout(
    "token_embd",
    "blk.{}.",
    {
        "attn_norm": "attn_norm",
        "mlp_norm": "ffn_norm",
        "attn_out_norm": "post_attention_norm",
        "mlp_out_norm": "post_ffw_norm",
        "q": "attn_q",
        "k": "attn_k",
        "v": "attn_v",
        "qkv": "attn_qkv",
        "o": "attn_output",
        "q_norm": "attn_q_norm",
        "k_norm": "attn_k_norm",
        "up": "ffn_up",
        "gate": "ffn_gate",
        "down": "ffn_down",
    },
    final_norm="output_norm",
    unembed="output",
    positions="position_embd",
    embed_norm="token_embd_norm",
    experts=Experts("", up="ffn_up_exps.weight", gate="ffn_gate_exps.weight", down="ffn_down_exps.weight"),
)
"""The names are the same for all architectures of GGUF files; which of them mean what depends on the architecture."""
