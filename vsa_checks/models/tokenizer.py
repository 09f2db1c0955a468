"""The transformers tokenizer of a model, and its vocabulary read directly."""

from __future__ import annotations

from typing import Any

from vsa_checks.models.gguf_header import read_header
from vsa_checks.models.sources import Located
from vsa_checks.models.vocabulary import Vocabulary, directory_vocabulary, gguf_vocabulary


def vocabulary_of(found: Located) -> Vocabulary | None:
    """Token names of a model found on this machine; None where only its tokenizer knows them."""
    assert found.path is not None
    return gguf_vocabulary(read_header(found.path)) if found.is_gguf else directory_vocabulary(found.path)


def load_tokenizer(found: Located) -> tuple[Any, str]:
    """The transformers tokenizer of a model found on this machine, or None and why it cannot be used."""
    from transformers import AutoTokenizer

    from vsa_checks.models.quiet import quiet

    assert found.path is not None
    if found.is_gguf:
        where: dict[str, Any] = {
            "pretrained_model_name_or_path": found.path.parent,
            "gguf_file": found.path.name,
        }
    else:
        where = {"pretrained_model_name_or_path": found.path}
    where |= {"local_files_only": True, "trust_remote_code": False}
    with quiet():
        try:
            try:
                # Without this transformer_lens reads the tokenizer again, by name.
                tokenizer = AutoTokenizer.from_pretrained(add_bos_token=True, **where)
            except ValueError:
                tokenizer = AutoTokenizer.from_pretrained(**where)  # it has no beginning-of-text token to add
            if not tokenizer.encode("a", add_special_tokens=False):
                return None, f"the tokenizer in {found.path} knows no token for the letter a"
        except Exception as problem:  # whatever its files are, the model serves without text
            return (
                None,
                f"the tokenizer in {found.path} cannot be used ({type(problem).__name__}: {str(problem)[:300]})",
            )
    return tokenizer, ""


def attach_tokenizer(bridge: Any, tokenizer: Any) -> None:
    """Gives a bridge its tokenizer after it was built without one, as transformer_lens does when booting."""
    from transformer_lens.model_bridge.sources import detect_tokenizer_bos_eos
    from transformer_lens.model_bridge.sources.transformers import setup_tokenizer

    config = bridge.cfg
    ready = setup_tokenizer(tokenizer, default_padding_side=getattr(config, "default_padding_side", None))
    config.tokenizer_prepends_bos, config.tokenizer_appends_eos = detect_tokenizer_bos_eos(ready)
    bridge.tokenizer = ready
