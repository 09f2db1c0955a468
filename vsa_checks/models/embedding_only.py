"""Model types whose layers this package does not know: which they are, and where their embeddings lie."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from vsa_checks.errors import ModelError
from vsa_checks.models.architecture import UNKNOWN_NORM, Architecture, Family, Shape
from vsa_checks.models.layout import Layout
from vsa_checks.models.storage import Stored

# All model types of transformers that read and write text alone, and are not in the table; with the class of each.
EMBEDDING_ONLY: dict[str, str] = {
    "afmoe": "AfmoeForCausalLM",
    "aria_text": "AriaTextForCausalLM",
    "axk1": "AXK1ForCausalLM",
    "axk2": "AXK2ForCausalLM",
    "bailing_hybrid": "BailingHybridForCausalLM",
    "beam": "BeamForCausalLM",
    "bert-generation": "BertGenerationDecoder",
    "big_bird": "BigBirdForMaskedLM",
    "bigbird_pegasus": "BigBirdPegasusForConditionalGeneration",
    "biogpt": "BioGptForCausalLM",
    "bitnet": "BitNetForCausalLM",
    "blenderbot-small": "BlenderbotSmallForConditionalGeneration",
    "cohere2_moe": "Cohere2MoeForCausalLM",
    "cohere_compass_text": "CohereCompassForCausalLM",
    "convbert": "ConvBertForMaskedLM",
    "ctrl": "CTRLLMHeadModel",
    "data2vec-text": "Data2VecTextForMaskedLM",
    "dbrx": "DbrxForCausalLM",
    "deberta": "DebertaForMaskedLM",
    "deepseek_v32": "DeepseekV32ForCausalLM",
    "deepseek_v4": "DeepseekV4ForCausalLM",
    "diffllama": "DiffLlamaForCausalLM",
    "doge": "DogeForCausalLM",
    "dots1": "Dots1ForCausalLM",
    "dots3_note_text": "Dots3NoteForCausalLM",
    "ernie": "ErnieForMaskedLM",
    "esm": "EsmForMaskedLM",
    "esmc": "EsmcForMaskedLM",
    "eurobert": "EuroBertForMaskedLM",
    "flaubert": "FlaubertWithLMHeadModel",
    "flint": "FlintForCausalLM",
    "fnet": "FNetForMaskedLM",
    "funnel": "FunnelForMaskedLM",
    "gemma3n_text": "Gemma3nForCausalLM",
    "gemma4_text": "Gemma4ForCausalLM",
    "gemma4_unified_text": "Gemma4UnifiedForCausalLM",
    "glm_moe_dsa": "GlmMoeDsaForCausalLM",
    "gpt-sw3": "GPT2LMHeadModel",
    "gpt_neox_japanese": "GPTNeoXJapaneseForCausalLM",
    "granite_swa": "GraniteSWAForCausalLM",
    "granitemoe_swa": "GraniteMoeSWAForCausalLM",
    "gte": "GteForMaskedLM",
    "hrm_text": "HrmTextForCausalLM",
    "hunyuan_v1_moe": "HunYuanMoEV1ForCausalLM",
    "hy_v3": "HYV3ForCausalLM",
    "hy_v4": "HYV4ForCausalLM",
    "hyperclovax": "HyperCLOVAXForCausalLM",
    "ibert": "IBertForMaskedLM",
    "inkling2_text": "Inkling2ForCausalLM",
    "inkling_text": "InklingForCausalLM",
    "internlm3": "LlamaForCausalLM",
    "iquestcoder": "LlamaForCausalLM",
    "jetmoe": "JetMoeForCausalLM",
    "jina_embeddings_v3": "JinaEmbeddingsV3ForMaskedLM",
    "kimi_linear": "KimiLinearForCausalLM",
    "kolibri1": "Kolibri1ForCausalLM",
    "laguna": "LagunaForCausalLM",
    "lfm3": "Lfm3ForCausalLM",
    "longcat_flash": "LongcatFlashForCausalLM",
    "longformer": "LongformerForMaskedLM",
    "luke": "LukeForMaskedLM",
    "megatron-bert": "MegatronBertForMaskedLM",
    "mellum": "MellumForCausalLM",
    "mimo_v2_flash": "MiMoV2FlashForCausalLM",
    "minicpm3": "MiniCPM3ForCausalLM",
    "minimax": "MiniMaxForCausalLM",
    "minimax_m3_vl_text": "MiniMaxM3VLForCausalLM",
    "modernbert-decoder": "ModernBertDecoderForCausalLM",
    "mpnet": "MPNetForMaskedLM",
    "mra": "MraForMaskedLM",
    "mvp": "MvpForConditionalGeneration",
    "nanochat": "NanoChatForCausalLM",
    "nemotron_h": "NemotronHForCausalLM",
    "nllb-moe": "NllbMoeForConditionalGeneration",
    "nomic_bert": "NomicBertForMaskedLM",
    "nystromformer": "NystromformerForMaskedLM",
    "olmo_hybrid": "OlmoHybridForCausalLM",
    "pegasus_x": "PegasusXForConditionalGeneration",
    "persimmon": "PersimmonForCausalLM",
    "plbart": "PLBartForConditionalGeneration",
    "prophetnet": "ProphetNetForConditionalGeneration",
    "qwen3_5_moe_text": "Qwen3_5MoeForCausalLM",
    "qwen3_5_text": "Qwen3_5ForCausalLM",
    "qwen3_next": "Qwen3NextForCausalLM",
    "qwen4_exp_text": "Qwen4ExpForCausalLM",
    "recurrent_gemma": "RecurrentGemmaForCausalLM",
    "reformer": "ReformerForMaskedLM",
    "roberta-prelayernorm": "RobertaPreLayerNormForMaskedLM",
    "roc_bert": "RoCBertForMaskedLM",
    "roformer": "RoFormerForMaskedLM",
    "rwkv": "RwkvForCausalLM",
    "solar_open": "SolarOpenForCausalLM",
    "squeezebert": "SqueezeBertForMaskedLM",
    "switch_transformers": "SwitchTransformersForConditionalGeneration",
    "ultrabert": "UltrabertForMaskedLM",
    "xlm": "XLMWithLMHeadModel",
    "xlm-roberta-xl": "XLMRobertaXLForMaskedLM",
    "xlnet": "XLNetLMHeadModel",
    "xlstm": "xLSTMForCausalLM",
    "xmod": "XmodForMaskedLM",
    "yoso": "YosoForMaskedLM",
    "zamba": "ZambaForCausalLM",
    "zamba2": "Zamba2ForCausalLM",
    "zaya": "ZayaForCausalLM",
}
# Classes that transformer_lens runs from code in the model's repository, which is never run here.
_REMOTE_CLASSES = {
    "BaiChuanForCausalLM",
    "BaichuanForCausalLM",
    "DreamModel",
    "ExaoneForCausalLM",
    "GiddForDiffusionLM",
    "HyenaDNAForCausalLM",
    "InternLM2ForCausalLM",
    "JetMoEForCausalLM",
    "LLaDA2MoeModelLM",
    "LLaDAModelLM",
    "MPTForCausalLM",
    "OpenELMForCausalLM",
    "OuroForCausalLM",
    "PhiMoEForCausalLM",
    "QWenLMHeadModel",
    "QwenForCausalLM",
    "RWKV7ForCausalLM",
    "RavenForCausalLM",
}
_EMBEDDINGS = ("embed_tokens", "wte", "word_embeddings", "embeddings", "tok_embeddings", "embed_in", "embed")
_UNEMBEDDINGS = ("lm_head", "embed_out", "output", "head", "ff_out", "unembed", "cls")
_ENCODER_CLASSES = ("ForMaskedLM", "WithLMHeadModel")


def embedding_row(config: Mapping[str, Any]) -> Architecture | None:
    """The row of a type whose embeddings alone are read; None where not even these can be.

    Its layout is empty until `with_embedding` has found them.
    """
    model_type = str(config.get("model_type"))
    hf_class = EMBEDDING_ONLY.get(model_type, "")
    named = config.get("architectures")
    remote = "auto_map" in config or (isinstance(named, list) and not _REMOTE_CLASSES.isdisjoint(map(str, named)))
    if not hf_class and not remote:
        return None
    family: Family = "decoder"
    if hf_class.endswith("ForConditionalGeneration"):
        family = "encoder-decoder"
    elif hf_class.endswith(_ENCODER_CLASSES):
        family = "encoder"
    reason = f"layers of model type {model_type} are not in this package's table"
    layout = Layout("", "", {})
    return Architecture(hf_class, layout, UNKNOWN_NORM, family=family, uneven=reason, no_attention="", not_run=reason)


def with_embedding(
    row: Architecture, stored: Stored, config: Mapping[str, Any], class_config: Any, shape: Shape, model: str
) -> tuple[Architecture, bool]:
    """The row with the modules of the embedding and unembedding, and whether the two are one.

    Raises ModelError where no stored tensor, or more than one, can be the embedding.
    """
    rows = [name for name in stored.names if stored.shape(name) == (shape.d_vocab, shape.d_model)]
    own, other, biases, tied = _names_in_class(row, class_config)
    embed = _stored_as(own, rows) or _ending_in(_EMBEDDINGS, rows)
    if not embed:
        code = "" if row.hf_class else "its layers are code of its own repository, which is not run here, and "
        raise ModelError(
            f"The model {model} cannot be loaded: it has the architecture {config.get('model_type')!r}, {code}none or "
            f"several of its tensors can be the embedding of {shape.d_vocab:,} tokens in {shape.d_model} dimensions. "
            "Give a model of another architecture."
        )
    rest = [name for name in rows if name != embed]
    unembed = _stored_as(other, rest) or _ending_in(_UNEMBEDDINGS, rest)
    tied = tied if row.hf_class else bool(config.get("tie_word_embeddings")) and not unembed
    lengths = [name for name in stored.names if stored.shape(name) == (shape.d_vocab,)]
    bias = next((found for name in biases if (found := _stored_as(name, lengths))), "")
    layout = replace(
        row.layout,
        embed=embed.removesuffix(".weight"),
        unembed=unembed.removesuffix(".weight"),
        unembed_bias=bias,
    )
    return replace(row, layout=layout), tied


def _names_in_class(row: Architecture, class_config: Any) -> tuple[str, str, list[str], bool]:
    """Names of the two matrices in the model's class, all names of the bias of the second, and whether the two are one.

    Without names where the class cannot be built or asked.
    """
    if not row.hf_class:
        return "", "", [], False
    import torch
    import transformers

    tied = bool(getattr(class_config, "tie_word_embeddings", False))
    try:
        with torch.device("meta"):
            module = getattr(transformers, row.hf_class)(class_config)
        own, other = module.get_input_embeddings().weight, module.get_output_embeddings()
        names: dict[int, list[str]] = {}
        for name, parameter in module.named_parameters(remove_duplicate=False):
            names.setdefault(id(parameter), []).append(name)
        after = getattr(other, "weight", None)
        biases = names.get(id(getattr(other, "bias", None)), [])
        first, second = (names.get(id(matrix), [""])[0] for matrix in (own, after))
        return first, "" if after is own else second, biases, after is own
    except Exception:  # whatever the class objects to, the names of the tensors may still tell
        return "", "", [], tied


def _stored_as(name: str, stored: Collection[str]) -> str:
    """The one stored tensor with this name, or with its last module's; "" without one."""
    if name in stored or not name:
        return name
    return _one([one for one in stored if one.split(".")[-2:] == name.split(".")[-2:]])


def _ending_in(modules: tuple[str, ...], stored: Collection[str]) -> str:
    return _one([name for name in stored if name.removesuffix(".weight").split(".")[-1] in modules])


def _one(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ""
