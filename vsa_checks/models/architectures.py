"""The architectures this package reads: one row for each, with all that claims and loading have to know of it."""

from __future__ import annotations

from typing import Any

from vsa_checks.errors import ModelError
from vsa_checks.models import encoder_layouts, layouts
from vsa_checks.models.architecture import LAYER_NORM, Architecture, Gguf
from vsa_checks.models.layout import Layout

_GPT2_KEYS = {"n_layers": "n_layer", "d_model": "n_embd", "n_heads": "n_head", "d_mlp": "n_inner"}
_NEO_KEYS = {"n_layers": "num_layers", "n_heads": "num_heads"}
_BLOOM_KEYS = {"n_layers": "n_layer", "n_heads": "n_head", "d_mlp": "n_inner"}
_BART_KEYS = {
    "d_model": "d_model",
    "n_layers": "decoder_layers",
    "n_heads": "decoder_attention_heads",
    "d_mlp": "decoder_ffn_dim",
}
_T5_KEYS = {"d_model": "d_model", "n_layers": "num_decoder_layers", "n_heads": "num_heads", "d_mlp": "d_ff"}
_MOE_KEYS = {"d_mlp": "moe_intermediate_size"}
_LATENT = "its attention makes queries, keys and values in steps through a smaller space, not by one matrix each"
_STATE_SPACE = "it is a state-space model, which has neither attention heads nor MLP neurons"
_HYBRID = "in its place the layer has a state-space or convolution block"
_LLAMA_GGUF = Gguf(("llama",), permuted=True)
_MISTRAL_GGUF = Gguf(("mistral3",), permuted=True)
# llama.cpp reads the MLP through it, whatever the name says.
_NORM_AFTER_ATTENTION = {"mlp_norm": "post_attention_norm"}
_T5_GGUF = Gguf(("t5",), roles={"o": "attn_o"}, layer="dec.blk.{}.", final_norm="dec.output_norm")


def _bert(hf_class: str, layout: Layout, **more: Any) -> Architecture:
    return Architecture(hf_class, layout, LAYER_NORM, False, family="encoder", **more)


def _plain(hf_class: str, layout: Layout, **more: Any) -> Architecture:
    return Architecture(hf_class, layout, LAYER_NORM, False, **more)


def _pair(hf_class: str, layout: Layout) -> Architecture:
    return Architecture(hf_class, layout, LAYER_NORM, False, family="encoder-decoder", keys=_BART_KEYS)


def _t5(hf_class: str, gguf: Gguf | None = None) -> Architecture:
    return Architecture(hf_class, encoder_layouts.T5, gated=None, family="encoder-decoder", keys=_T5_KEYS, gguf=gguf)


# Every row is loaded from a small directory in tests/models, in both bases.
ARCHITECTURES: dict[str, Architecture] = {
    "gpt2": _plain("GPT2LMHeadModel", layouts.GPT2, keys=_GPT2_KEYS, gguf=Gguf(("gpt2",))),
    "openai-gpt": _plain("OpenAIGPTLMHeadModel", layouts.OPENAI_GPT, keys=_GPT2_KEYS),
    "gpt_bigcode": _plain("GPTBigCodeForCausalLM", layouts.GPT_BIGCODE, keys=_GPT2_KEYS, gguf=Gguf(("starcoder",))),
    "gpt_neo": _plain("GPTNeoForCausalLM", layouts.GPT_NEO, keys=_NEO_KEYS),
    "gpt_neox": _plain(
        "GPTNeoXForCausalLM", layouts.GPT_NEOX, parallel="!use_parallel_residual", gguf=Gguf(("gptneox",))
    ),
    "gptj": _plain("GPTJForCausalLM", layouts.GPTJ, keys=_GPT2_KEYS, parallel=True),
    "codegen": _plain("CodeGenForCausalLM", layouts.CODEGEN, keys=_GPT2_KEYS, parallel=True),
    "opt": _plain("OPTForCausalLM", layouts.OPT, keys={"d_mlp": "ffn_dim"}),
    "xglm": _plain(
        "XGLMForCausalLM",
        layouts.XGLM,
        keys={"d_model": "d_model", "n_layers": "num_layers", "n_heads": "attention_heads", "d_mlp": "ffn_dim"},
    ),
    "phi": _plain("PhiForCausalLM", layouts.PHI, parallel=True, gguf=Gguf(("phi2",))),
    "bloom": _plain("BloomForCausalLM", layouts.BLOOM, keys=_BLOOM_KEYS, gguf=Gguf(("bloom",))),
    "falcon": _plain(
        "FalconForCausalLM",
        layouts.FALCON,
        keys={"d_mlp": "ffn_hidden_size"},
        parallel="!parallel_attn",
        gguf=Gguf(("falcon",), roles={"attn_norm2": "attn_norm_2", "mlp_norm2": "attn_norm"}),
    ),
    "mpt": _plain(
        "MptForCausalLM",
        layouts.MPT,
        keys={"d_model": "d_model", "n_layers": "n_layers", "n_heads": "n_heads"},
        gguf=Gguf(("mpt",)),
    ),
    "starcoder2": _plain("Starcoder2ForCausalLM", layouts.STARCODER2, gguf=Gguf(("starcoder2",))),
    "nemotron": _plain(
        "NemotronForCausalLM",
        layouts.UNGATED_LLAMA,
        norm_offset=1.0,
        gguf=Gguf(("nemotron",), norm_plus_one=True),
    ),
    "stablelm": Architecture(
        "StableLmForCausalLM",
        layouts.STABLELM,
        LAYER_NORM,
        parallel="use_parallel_residual",
        gguf=Gguf(("stablelm",)),
    ),
    "cohere": Architecture("CohereForCausalLM", layouts.COHERE, LAYER_NORM, parallel=True, gguf=Gguf(("command-r",))),
    "cohere2": Architecture("Cohere2ForCausalLM", layouts.COHERE, LAYER_NORM, parallel=True, gguf=Gguf(("cohere2",))),
    "llama": Architecture("LlamaForCausalLM", layouts.LLAMA, gguf=_LLAMA_GGUF),
    "mistral": Architecture("MistralForCausalLM", layouts.LLAMA, gguf=_MISTRAL_GGUF),
    "ministral": Architecture("MinistralForCausalLM", layouts.LLAMA),
    "ministral3": Architecture("Ministral3ForCausalLM", layouts.LLAMA, head_dim=128, gguf=_MISTRAL_GGUF),
    "mixtral": Architecture("MixtralForCausalLM", layouts.MIXTRAL, gguf=_LLAMA_GGUF),
    "qwen2": Architecture("Qwen2ForCausalLM", layouts.LLAMA, gguf=Gguf(("qwen2",))),
    "qwen2_moe": Architecture("Qwen2MoeForCausalLM", layouts.QWEN2_MOE, keys=_MOE_KEYS, gguf=Gguf(("qwen2moe",))),
    "qwen3": Architecture("Qwen3ForCausalLM", layouts.QWEN3, head_dim=128, gguf=Gguf(("qwen3",))),
    "qwen3_moe": Architecture(
        "Qwen3MoeForCausalLM", layouts.QWEN3_MOE, keys=_MOE_KEYS, head_dim=128, gguf=Gguf(("qwen3moe",))
    ),
    "qwen2_vl_text": Architecture("Qwen2VLTextModel", layouts.LLAMA, gguf=Gguf(("qwen2vl",))),
    "qwen2_5_vl_text": Architecture("Qwen2_5_VLTextModel", layouts.LLAMA),
    "qwen3_vl_text": Architecture("Qwen3VLTextModel", layouts.QWEN3, head_dim=128, gguf=Gguf(("qwen3vl",))),
    "gpt_oss": Architecture(
        "GptOssForCausalLM",
        layouts.GPT_OSS,
        head_dim=64,
        gguf=Gguf(("gpt-oss",), roles=_NORM_AFTER_ATTENTION),
    ),
    "gemma": Architecture(
        "GemmaForCausalLM",
        layouts.LLAMA,
        head_dim=256,
        norm_offset=1.0,
        gguf=Gguf(("gemma",), norm_plus_one=True),
    ),
    "gemma2": Architecture(
        "Gemma2ForCausalLM",
        layouts.GEMMA2,
        head_dim=256,
        norm_offset=1.0,
        soft_cap=30.0,
        gguf=Gguf(("gemma2",), norm_plus_one=True),
    ),
    "gemma3_text": Architecture(
        "Gemma3ForCausalLM",
        layouts.GEMMA3,
        head_dim=256,
        norm_offset=1.0,
        gguf=Gguf(("gemma3",), norm_plus_one=True),
    ),
    "vaultgemma": Architecture(
        "VaultGemmaForCausalLM", layouts.VAULTGEMMA, head_dim=256, norm_offset=1.0, soft_cap=30.0
    ),
    "phi3": Architecture("Phi3ForCausalLM", layouts.PHI3, gguf=Gguf(("phi3",), gate_in_up=True)),
    "phimoe": Architecture("PhimoeForCausalLM", layouts.MIXTRAL, LAYER_NORM, gguf=Gguf(("phimoe",))),
    "olmo": Architecture(
        "OlmoForCausalLM", layouts.OLMO, LAYER_NORM, unweighted_norms=True, gguf=Gguf(("olmo",), permuted=True)
    ),
    "olmo2": Architecture("Olmo2ForCausalLM", layouts.OLMO2, gguf=Gguf(("olmo2",))),
    "olmo3": Architecture("Olmo3ForCausalLM", layouts.OLMO2, gguf=Gguf(("olmo2",))),
    "flex_olmo": Architecture("FlexOlmoForCausalLM", layouts.FLEX_OLMO),
    "olmoe": Architecture("OlmoeForCausalLM", layouts.QWEN3_MOE, gguf=Gguf(("olmoe",))),
    "helium": Architecture("HeliumForCausalLM", layouts.LLAMA, head_dim=128),
    "cwm": Architecture("CwmForCausalLM", layouts.LLAMA, head_dim=128),
    "jais2": Architecture("Jais2ForCausalLM", layouts.UNGATED_LLAMA, LAYER_NORM, gated=False, gguf=Gguf(("jais2",))),
    "minimax_m2": Architecture("MiniMaxM2ForCausalLM", layouts.MINIMAX_M2, head_dim=128, gguf=Gguf(("minimax-m2",))),
    "glm4_moe": Architecture(
        "Glm4MoeForCausalLM",
        layouts.QWEN3_MOE,
        keys=_MOE_KEYS,
        head_dim=128,
        gguf=Gguf(("glm4moe",), roles=_NORM_AFTER_ATTENTION),
    ),
    "exaone_moe": Architecture("ExaoneMoeForCausalLM", layouts.QWEN3_MOE, keys=_MOE_KEYS, gguf=Gguf(("exaone-moe",))),
    "ernie4_5_moe": Architecture(
        "Ernie4_5_MoeForCausalLM", layouts.QWEN2_MOE, keys=_MOE_KEYS, gguf=Gguf(("ernie4_5-moe",))
    ),
    "smollm3": Architecture("SmolLM3ForCausalLM", layouts.LLAMA, gguf=Gguf(("smollm3",), permuted=True)),
    "granite": Architecture("GraniteForCausalLM", layouts.LLAMA, gguf=Gguf(("granite",), permuted=True)),
    "granitemoe": Architecture("GraniteMoeForCausalLM", layouts.GRANITE_MOE, gguf=Gguf(("granitemoe",), permuted=True)),
    "granitemoeshared": Architecture(
        "GraniteMoeSharedForCausalLM", layouts.GRANITE_MOE, gguf=Gguf(("granitemoe",), permuted=True)
    ),
    "granitemoehybrid": Architecture(
        "GraniteMoeHybridForCausalLM",
        layouts.GRANITE_MOE,
        uneven=_HYBRID,
        gguf=Gguf(("granitehybrid",), permuted=True),
    ),
    "glm": Architecture("GlmForCausalLM", layouts.GLM, head_dim=128, gguf=Gguf(("chatglm",), gate_in_up=True)),
    "glm4": Architecture("Glm4ForCausalLM", layouts.GLM4, head_dim=128, gguf=Gguf(("glm4",), gate_in_up=True)),
    "exaone4": Architecture("Exaone4ForCausalLM", layouts.OLMO2, gguf=Gguf(("exaone4",))),
    "seed_oss": Architecture(
        "SeedOssForCausalLM",
        layouts.LLAMA,
        head_dim=128,
        gguf=Gguf(("seed_oss",), roles=_NORM_AFTER_ATTENTION),
    ),
    "arcee": Architecture("ArceeForCausalLM", layouts.UNGATED_LLAMA, gated=False, gguf=Gguf(("arcee",), permuted=True)),
    "apertus": Architecture("ApertusForCausalLM", layouts.APERTUS, gated=False, gguf=Gguf(("apertus",))),
    "ernie4_5": Architecture("Ernie4_5ForCausalLM", layouts.LLAMA, head_dim=128, gguf=Gguf(("ernie4_5",))),
    "hunyuan_v1_dense": Architecture("HunYuanDenseV1ForCausalLM", layouts.HUNYUAN, gguf=Gguf(("hunyuan-dense",))),
    "deepseek_v2": Architecture(
        "DeepseekV2ForCausalLM",
        layouts.DEEPSEEK,
        keys=_MOE_KEYS,
        no_attention=_LATENT,
        gguf=Gguf(("deepseek2",)),
    ),
    "deepseek_v3": Architecture(
        "DeepseekV3ForCausalLM",
        layouts.DEEPSEEK,
        keys=_MOE_KEYS,
        no_attention=_LATENT,
        gguf=Gguf(("deepseek2",)),
    ),
    "glm4_moe_lite": Architecture("Glm4MoeLiteForCausalLM", layouts.DEEPSEEK, keys=_MOE_KEYS, no_attention=_LATENT),
    "youtu": Architecture("YoutuForCausalLM", layouts.DENSE_DEEPSEEK, no_attention=_LATENT),
    "llama4_text": Architecture("Llama4ForCausalLM", layouts.LLAMA4, head_dim=128, gguf=Gguf(("llama4",))),
    "jamba": Architecture("JambaForCausalLM", layouts.JAMBA, uneven=_HYBRID, gguf=Gguf(("jamba",))),
    "falcon_h1": Architecture("FalconH1ForCausalLM", layouts.DENSE_JAMBA),
    "bamba": Architecture(
        "BambaForCausalLM", layouts.DENSE_JAMBA, uneven=_HYBRID, gguf=Gguf(("granitehybrid",), permuted=True)
    ),
    "lfm2": Architecture(
        "Lfm2ForCausalLM", layouts.LFM2, uneven=_HYBRID, gguf=Gguf(("lfm2",), final_norm="token_embd_norm")
    ),
    "lfm2_moe": Architecture(
        "Lfm2MoeForCausalLM",
        layouts.LFM2_MOE,
        keys=_MOE_KEYS,
        uneven=_HYBRID,
        gguf=Gguf(("lfm2moe",), final_norm="token_embd_norm"),
    ),
    "mamba": Architecture("MambaForCausalLM", layouts.MAMBA, gated=False, uneven=_STATE_SPACE, gguf=Gguf(("mamba",))),
    "mamba2": Architecture(
        "Mamba2ForCausalLM", layouts.MAMBA, gated=False, uneven=_STATE_SPACE, gguf=Gguf(("mamba2",))
    ),
    "falcon_mamba": Architecture(
        "FalconMambaForCausalLM", layouts.MAMBA, gated=False, uneven=_STATE_SPACE, gguf=Gguf(("mamba",))
    ),
    "bert": _bert("BertForMaskedLM", encoder_layouts.BERT, gguf=Gguf(("bert",))),
    "roberta": _bert("RobertaForMaskedLM", encoder_layouts.ROBERTA),
    "camembert": _bert("CamembertForMaskedLM", encoder_layouts.ROBERTA),
    "xlm-roberta": _bert("XLMRobertaForMaskedLM", encoder_layouts.ROBERTA),
    "distilbert": _bert(
        "DistilBertForMaskedLM",
        encoder_layouts.DISTILBERT,
        keys={"d_model": "dim", "n_layers": "n_layers", "n_heads": "n_heads", "d_mlp": "hidden_dim"},
    ),
    "albert": _bert("AlbertForMaskedLM", encoder_layouts.ALBERT, keys={"n_layers": "num_hidden_groups"}),
    "electra": _bert("ElectraForMaskedLM", encoder_layouts.ELECTRA),
    "deberta-v2": _bert("DebertaV2ForMaskedLM", encoder_layouts.DEBERTA),
    "modernbert": Architecture(
        "ModernBertForMaskedLM",
        encoder_layouts.MODERNBERT,
        LAYER_NORM,
        family="encoder",
        first_layer_unnormed=True,
        gguf=Gguf(("modern-bert",), gate_in_up=True),
    ),
    "t5": _t5("T5ForConditionalGeneration", gguf=_T5_GGUF),
    "mt5": _t5("MT5ForConditionalGeneration"),
    "umt5": _t5("UMT5ForConditionalGeneration"),
    "longt5": _t5("LongT5ForConditionalGeneration"),
    "bart": _pair("BartForConditionalGeneration", encoder_layouts.BART),
    "marian": _pair("MarianMTModel", encoder_layouts.MARIAN),
    "mbart": _pair("MBartForConditionalGeneration", encoder_layouts.MBART),
    "pegasus": _pair("PegasusForConditionalGeneration", encoder_layouts.PEGASUS),
    "blenderbot": _pair("BlenderbotForConditionalGeneration", encoder_layouts.PEGASUS),
    "m2m_100": _pair("M2M100ForConditionalGeneration", encoder_layouts.PEGASUS),
    "led": _pair("LEDForConditionalGeneration", encoder_layouts.LED),
}


def architecture(model_type: str, model: str) -> Architecture:
    """The row of the table for a Hugging Face model type. Raises ModelError for a type that is not in it."""
    if model_type in ARCHITECTURES:
        return ARCHITECTURES[model_type]
    raise unsupported(model_type, model)


def unsupported(model_type: object, model: str, hf_class: object = None) -> ModelError:
    """The error for a model type that is not read, with a near one where only its spelling is wrong."""
    if not model_type:
        known = next((name for name, row in ARCHITECTURES.items() if row.hf_class == hf_class), "")
        hint = f"Its class {hf_class} has the type {known!r}: add that." if known else "Save the model again."
        return ModelError(f"The model {model} cannot be loaded: its config.json does not say its model_type. {hint}")
    plain = str(model_type).lower().replace("-", "_")
    near = next((name for name in ARCHITECTURES if name.replace("-", "_") == plain), "")
    hint = f"It is written {near!r}: correct model_type in config.json." if near else "Give a model of one of these."
    return ModelError(
        f"The model {model} has the architecture {model_type!r}, which is not supported. Supported are: "
        f"{', '.join(sorted(ARCHITECTURES))}. {hint}"
    )


def gguf_model_type(gguf_name: str, model: str) -> str:
    """The Hugging Face model type of a GGUF architecture. Raises ModelError for one that is not supported."""
    for model_type, row in ARCHITECTURES.items():
        if row.gguf is not None and gguf_name in row.gguf.names:
            return model_type
    known = sorted({name for row in ARCHITECTURES.values() if row.gguf is not None for name in row.gguf.names})
    raise ModelError(
        f"The GGUF file {model} has the architecture {gguf_name!r:.80}, which is not supported. Supported in GGUF are: "
        f"{', '.join(known)}. Give a model of one of these, or its Hugging Face directory."
    )
