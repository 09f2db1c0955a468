"""Writes the tables of docs/models.md: what is read of each architecture, and what that was held against.

`python -m tests.models.models_page` writes the page from the package's tables and docs/models.json;
with `--measure` it first loads a small model of every architecture in both bases, and writes that file (two minutes).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from vsa_checks.models.architecture import Architecture
from vsa_checks.models.architectures import ARCHITECTURES
from vsa_checks.models.embedding_only import EMBEDDING_ONLY

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
MEASURED = PAGE.with_suffix(".json")
COMMAND = "python -m tests.models.models_page"
START, END = f"<!-- architectures: written by `{COMMAND}` -->", "<!-- end of architectures -->"
TOKENS = [[5, 9, 200, 33, 7, 250]]
_STEPS = {
    "fold_ln": "norms folded",
    "center_writing_weights": "writing centered",
    "center_unembed": "unembedding centered",
    "fold_value_biases": "value biases folded",
}


# --- what is measured ---------------------------------------------------------------------------------------------


NOT_CONVERTED = ("gpt_bigcode#heads", "falcon#heads")
"""Kinds of a type whose fused rows are not read from GGUF files."""


def measure(name: str) -> dict[str, Any]:
    """Load a small random model of one configuration of tests/models/tiny.py, and hold it against its own module."""
    import torch

    from tests.models import tiny
    from vsa_checks.models import load
    from vsa_checks.models.forward import CannotRun

    with tempfile.TemporaryDirectory() as folder:
        directory = tiny.write_hf(Path(folder), name, tokenizer=False)
        raw, processed = load(directory, "raw"), load(directory, "processed")
        module = tiny.random_module(name)
        tensors = [tensor.numpy() for tensor in module.state_dict().values() if tensor.is_floating_point()]
        weights = {weight: raw.array(weight) for weight in raw if np.any(raw.array(weight))}
        found: dict[str, Any] = {
            "weights": len(weights),
            "stored": sum(any(np.isin(values, tensor).all() for tensor in tensors) for values in weights.values()),
            "flags": [flag for flag, on in processed.effective_flags.items() if on],
            "experts": sum(".experts." in weight for weight in weights),
            "gate": any(weight.endswith("W_gate") for weight in weights),
            "qk_norms": any(_normed(raw, layer) for layer in range(raw.info.n_layers)),
            "runs": "",
        }
        try:
            bridge = raw.bridge
            tokens = torch.tensor(TOKENS)
            with torch.no_grad():
                reference = module(tokens).logits
            for basis, model in (("raw", raw), ("processed", processed)):
                logits, _ = model.run_with_cache(tokens, names_filter="embed.hook_out")
                change = (logits.log_softmax(-1) - reference.log_softmax(-1)).abs().max()
                found[f"logits {basis}"] = float(f"{change:.1g}")
        except CannotRun as problem:
            found["runs"] = str(problem)
        else:
            found["equal"] = sum(_equal(bridge, weight, values) for weight, values in weights.items())
    return found


def _normed(model: Any, layer: int) -> bool:
    """Whether a layer norms queries and keys."""
    return f"blocks.{layer}.attn.W_Q" in model and model.qk_gains(layer)[0] is not None


def _equal(bridge: Any, weight: str, values: Any) -> bool:
    """Whether transformer_lens has the same weight, to the last bit."""
    *place, name = weight.replace("blocks.", "").split(".")
    try:
        owner = bridge if len(place) != 2 else bridge.blocks[int(place[0])]
        theirs = getattr(getattr(owner, place[-1]), name)
        return bool(np.array_equal(theirs.detach().numpy().reshape(values.shape), values))
    except (AttributeError, RuntimeError, ValueError):
        return False


# --- the page -----------------------------------------------------------------------------------------------------


def tables(measured: dict[str, dict[str, Any]]) -> str:
    """The Markdown between the page's two marks."""
    lines = [
        f"{len(ARCHITECTURES)} model types in {len(measured)} variants. *Attention*: normed means that queries and "
        "keys are. *Weights*: how many weights of a small random model of the type are read; how many of these have "
        "their values in one tensor of the state dict of transformers' class (an embedding that is widened to the "
        "stream is a product of two); and how many equal those of transformer_lens to the last bit (it gives none of "
        "a mixture's experts, and keeps unused rows of positions). *Logits*: the largest difference of "
        "log-probabilities from transformers' own model, raw and processed; or why the model is not run, in which "
        "case claims about activations are not checked.",
        "",
        "| model type | class | attention | MLP | weights | processing that takes effect | logits | GGUF |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, facts in sorted(measured.items()):
        row = ARCHITECTURES[name.split("#")[0]]
        gguf = ", ".join(row.gguf.names) if row.gguf is not None and name not in NOT_CONVERTED else ""
        steps = ", ".join(words for flag, words in _STEPS.items() if flag in facts["flags"])
        cells = [
            f"`{name}`",
            row.hf_class,
            _attention(row, facts),
            _mlp(row, facts),
            _weights(facts),
            steps,
            _logits(facts),
            gguf,
        ]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    types = ", ".join(f"`{name}`" for name in sorted(EMBEDDING_ONLY))
    lines += [
        "",
        "The part after a `#` names a variant of the type that its configuration selects.",
        "",
        f"For these {len(EMBEDDING_ONLY)} types, only the token embedding and unembedding are read, as stored, and "
        f"claims about layers are not checked: {types}.",
    ]
    return "\n".join(lines) + "\n"


def _attention(row: Architecture, facts: dict[str, Any]) -> str:
    roles = row.layout.roles
    if row.no_attention:
        return "not read: made in steps through a smaller space"
    if "o" not in roles:
        return "none"
    said = "one matrix of all three" if "qkv" in roles else "W_Q, W_K, W_V, W_O"
    return said + (", in some layers" if row.uneven else "") + ("; normed" if facts["qk_norms"] else "")


def _mlp(row: Architecture, facts: dict[str, Any]) -> str:
    if "down" not in row.layout.roles and row.layout.experts is None:
        return "none"
    gate = "gated" if facts["gate"] else "plain"
    if not facts["experts"]:
        return gate
    return f"{gate}, experts" if "down" not in row.layout.roles else f"{gate}, experts in all or some layers"


def _weights(facts: dict[str, Any]) -> str:
    said = f"{facts['weights']} read, {facts['stored']} as stored"
    return f"{said}, {facts['equal']} as transformer_lens" if "equal" in facts else said


def _logits(facts: dict[str, Any]) -> str:
    if facts["runs"]:
        return f"not run: {facts['runs']}"
    return f"{facts['logits raw']:.0e}, {facts['logits processed']:.0e}"


def page(text: str, measured: dict[str, dict[str, Any]]) -> str:
    """`text` with new tables between its marks. Raises ValueError if these are missing."""
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(f"put back the marks {START!r} and {END!r}")
    return f"{before}{START}\n\n{tables(measured)}\n{END}{after}"


def main() -> None:
    """Measure if asked to, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true", help="load a small model of every architecture first")
    if parser.parse_args().measure:
        from tests.models import tiny

        found = {}
        for name in sorted(tiny.CONFIGS):
            found[name] = measure(name)
            print(name, json.dumps(found[name]), flush=True)
        MEASURED.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    measured = json.loads(MEASURED.read_text(encoding="utf-8"))
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), measured), encoding="utf-8")


if __name__ == "__main__":
    main()
