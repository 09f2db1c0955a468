"""The transformers tokenizer of a model, and its vocabulary read directly."""

from __future__ import annotations

from typing import Any

from vsa_checks.models.architectures import gguf_model_type
from vsa_checks.models.gguf_header import read_header
from vsa_checks.models.sources import Located
from vsa_checks.models.vocabulary import Vocabulary, directory_vocabulary, gguf_vocabulary


def vocabulary_of(found: Located) -> Vocabulary | None:
    """Token names of a model found on this machine; None where only its tokenizer knows them."""
    assert found.path is not None
    return gguf_vocabulary(read_header(found.path)) if found.is_gguf else directory_vocabulary(found.path)


def load_tokenizer(found: Located) -> tuple[Any, str]:
    """The transformers tokenizer of a model found on this machine, or None and why it cannot be used."""
    from vsa_checks.models.quiet import quiet

    assert found.path is not None
    with quiet():
        try:
            try:
                # Without this transformer_lens reads the tokenizer again, by name.
                tokenizer = _read(found, add_bos_token=True)
            except ValueError:
                tokenizer = _read(found)  # it has no beginning-of-text token to add
            if not tokenizer.encode("a", add_special_tokens=False):
                return None, f"the tokenizer in {found.path} knows no token for the letter a"
        except Exception as problem:  # whatever is wrong with its files, the model can be used without text
            return (
                None,
                f"the tokenizer in {found.path} cannot be used ({type(problem).__name__}: {str(problem)[:300]})",
            )
    return tokenizer, ""


def _read(found: Located, **options: Any) -> Any:
    """The tokenizer as transformers reads it.

    For a GGUF file, naming the model type keeps transformers from reading the configuration: the gguf package's reader
    takes ten times as long for that as all the rest, with 49,152 tokens.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

    assert found.path is not None
    options |= {"local_files_only": True, "trust_remote_code": False}
    if not found.is_gguf:
        return AutoTokenizer.from_pretrained(found.path, **options)
    options["gguf_file"] = found.path.name
    model_type = gguf_model_type(read_header(found.path).architecture, found.name)
    if model_type not in TOKENIZER_MAPPING_NAMES:
        return PreTrainedTokenizerFast.from_pretrained(found.path.parent, **options)
    return AutoTokenizer.from_pretrained(found.path.parent, tokenizer_type=model_type, **options)


def attach_tokenizer(bridge: Any, tokenizer: Any) -> None:
    """Give a bridge that was built without tokenizer one, as transformer_lens does when it loads a model itself."""
    from transformer_lens.model_bridge.sources import detect_tokenizer_bos_eos
    from transformer_lens.model_bridge.sources.transformers import setup_tokenizer

    config = bridge.cfg
    ready = setup_tokenizer(tokenizer, default_padding_side=getattr(config, "default_padding_side", None))
    config.tokenizer_prepends_bos, config.tokenizer_appends_eos = detect_tokenizer_bos_eos(ready)
    bridge.tokenizer = ready
