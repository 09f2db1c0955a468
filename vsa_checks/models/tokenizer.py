"""The transformers tokenizer of a model, and its vocabulary read directly."""

from __future__ import annotations

import copy
from typing import Any

from vsa_checks.models.gguf_header import read_header
from vsa_checks.models.sources import Located
from vsa_checks.models.vocabulary import Vocabulary, directory_vocabulary, gguf_token_count, gguf_vocabulary


def vocabulary_of(found: Located) -> Vocabulary | None:
    """Token names of a model found on this machine; None where only its tokenizer knows them."""
    assert found.path is not None
    return gguf_vocabulary(read_header(found.path)) if found.is_gguf else directory_vocabulary(found.path)


def load_tokenizer(found: Located) -> tuple[Any, str]:
    """The transformers tokenizer of a model found on this machine, or None and why it cannot be used."""
    from vsa_checks.models.quiet import quiet, silent_stderr

    assert found.path is not None
    wrong = _special_token_past_end(found)
    if wrong:
        return None, wrong
    with quiet(), silent_stderr():
        try:
            try:
                # As transformer_lens would: models were trained with a beginning-of-text token more often than not.
                tokenizer = _read(found, add_bos_token=True)
            except ValueError:
                tokenizer = _read(found)  # it has no beginning-of-text token to add
            if not tokenizer.encode("a", add_special_tokens=False):
                return None, f"the tokenizer in {found.path} knows no token for the letter a"
        except BaseException as problem:  # whatever is wrong with its files, the model can be used without text
            if not isinstance(problem, Exception) and not is_panic(problem):
                raise
            return (
                None,
                f"the tokenizer in {found.path} cannot be used ({type(problem).__name__}: {str(problem)[:300]})",
            )
    return tokenizer, ""


def is_panic(error: BaseException) -> bool:
    """Whether an error is a panic of a library in Rust, as tokenizers has them, which is no Exception."""
    return type(error).__name__ == "PanicException"


def _read(found: Located, **options: Any) -> Any:
    """The tokenizer as transformers reads it.

    That of a GGUF file is made from the file alone. `from_pretrained` would also look into the file's folder, and
    prefer a tokenizer.json there, which may belong to another model.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    assert found.path is not None
    if found.is_gguf:
        return PreTrainedTokenizerFast(name_or_path=str(found.path.parent), gguf_file=found.path.name, **options)
    return AutoTokenizer.from_pretrained(found.path, local_files_only=True, trust_remote_code=False, **options)


def _special_token_past_end(found: Located) -> str:
    """What is wrong if a GGUF file names a special token that its vocabulary does not have; "" if nothing is."""
    if not found.is_gguf or found.path is None:
        return ""
    header = read_header(found.path)
    n_tokens = gguf_token_count(header)
    for name in ("bos", "eos", "unknown", "padding"):
        token = header.fields.get(f"tokenizer.ggml.{name}_token_id")
        known = isinstance(token, int) and 0 <= token < n_tokens
        if token is not None and not known:
            return (
                f"the {name} token in {found.path} is {token!r}, and its tokenizer has only tokens 0 to {n_tokens - 1}"
            )
    return ""


def attach_tokenizer(bridge: Any, tokenizer: Any) -> None:
    """Give a bridge that was built without tokenizer one, as transformer_lens does when it loads a model itself."""
    from transformer_lens.model_bridge.sources import detect_tokenizer_bos_eos
    from transformer_lens.model_bridge.sources.transformers import setup_tokenizer

    config = bridge.cfg
    # A copy, because transformer_lens adds tokens that are missing. Unless it believes that a beginning-of-text token
    # is added, it reads the tokenizer again, by name: beside a GGUF file, that of another model.
    own = copy.deepcopy(tokenizer)
    own.init_kwargs["add_bos_token"] = True
    ready = setup_tokenizer(own, default_padding_side=getattr(config, "default_padding_side", None))
    config.tokenizer_prepends_bos, config.tokenizer_appends_eos = detect_tokenizer_bos_eos(ready)
    bridge.tokenizer = ready
