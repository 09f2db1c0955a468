"""Keep one checkpoint as a fixture, in half precision: `python -m dynamics.keep CHECKPOINT FOLDER`."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from vsa_checks.models.quiet import quiet

TOKENIZER = ("tokenizer.json", "tokenizer_config.json")


def keep(checkpoint: Path, folder: Path) -> None:
    """Write a checkpoint's weights as float16 into a folder, with configuration and tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM

    with quiet():
        AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float16).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "model.safetensors").chmod(0o644)
    for name in TOKENIZER:
        shutil.copyfile(checkpoint / name, folder / name)


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m dynamics.keep", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="such as reports/dynamics/DIGEST/grammar-plain-seed2/step2048")
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    if not (options.checkpoint / "config.json").is_file():
        parser.error(f"{options.checkpoint} is no checkpoint; name a folder that python -m dynamics has written")
    keep(options.checkpoint, options.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
