"""The command line of `pytest claims/`."""

from __future__ import annotations

import pytest

from vsa_checks.judging.claim import load_claims
from vsa_checks.models import BASES


def add_options(parser: pytest.Parser) -> None:
    """Add the options of the claims to pytest's."""
    group = parser.getgroup("claims", "what to check the paper's claims on")
    group.addoption("--model", metavar="NAME|PATH", help="a registered model (--list-models), or a path")
    group.addoption("--basis", choices=(*BASES, "both"), default="processed", help="which weights (default: processed)")
    group.addoption("--report-dir", metavar="DIR", help="where the report goes (default: reports/<model>)")
    group.addoption(
        "--device",
        choices=("cpu", "cuda"),
        default="cpu",
        help="where to run the model, find bundles and count pairs; the rest is done on the CPU (default: cpu)",
    )
    group.addoption("--seed", type=int, default=0, metavar="N", help="seed of nulls and intervals (default: 0)")
    group.addoption("--text", metavar="FILE", help="what the model reads (default: the passages of fixtures/texts/)")
    group.addoption("--record", action="store_true", help="write the measured verdicts as the recorded ones")
    group.addoption("--recorded", metavar="FILE", help="the file of recorded verdicts, for a model given as a path")
    group.addoption("--no-recorded", action="store_true", help="ignore recorded verdicts: only `holds` passes")
    group.addoption(
        "--no-cache",
        action="store_true",
        help="measure everything anew: neither take figures from the cache nor keep them",
    )
    group.addoption("--list-claims", action="store_true", help="list the claims and exit")
    group.addoption("--list-models", action="store_true", help="list the registered models and exit")


def listing(config: pytest.Config) -> str | None:
    """What --list-claims or --list-models prints; None if neither was asked for."""
    if config.option.list_claims:
        return "\n".join(
            f"{claim.id:38} section {claim.section:4} {claim.direction} {claim.threshold:g}"
            f"{'' if claim.threshold_unit == '1' else ' x ' + claim.threshold_unit} ({claim.threshold_origin})"
            f"  {claim.title}"
            for claim in load_claims().values()
        )
    if config.option.list_models:
        from vsa_checks.models.registry import read_registry

        return "\n".join(
            f"{entry.name:16} {entry.source:8} {entry.location}  {entry.notes}".rstrip()
            for entry in read_registry().values()
        )
    return None
