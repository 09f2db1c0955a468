"""`python -m supply`: cuts docs/sbom.cdx.json, which `make sbom` writes first, and writes docs/licences.md from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent.parent / "docs"
SBOM, LICENCES = DOCS / "sbom.cdx.json", DOCS / "licences.md"
READ = {"partd": "BSD-3-Clause", "protobuf": "BSD-3-Clause", "transformers": "Apache-2.0"}
"""Packages whose metadata state no licence: what the licence file that comes with them is."""
HEAD = """# Licences

Every package that `requirements.lock` and `requirements-model.lock` name, with the licence that its metadata state.
Written by `make sbom` from [sbom.cdx.json](sbom.cdx.json), a software bill of materials (CycloneDX).

| package | version | licence |
| --- | --- | --- |
"""


def components(sbom: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Name, version and licence of each package, in order of name."""
    found = []
    for one in sbom["components"]:
        stated = [entry.get("expression") or _named(entry["license"]) for entry in one.get("licenses", [])]
        found.append(
            (one["name"], one["version"], " and ".join(dict.fromkeys(stated)) or READ.get(one["name"], "not stated"))
        )
    return sorted(found, key=lambda row: row[0].lower())


def trimmed(sbom: dict[str, Any]) -> dict[str, Any]:
    """The bill without the addresses of pages that packages name: what is needed is which package, in which version."""
    parts = [{key: value for key, value in one.items() if key != "externalReferences"} for one in sbom["components"]]
    about = {key: value for key, value in sbom["metadata"].items() if key != "tools"}
    about["component"] = {key: value for key, value in about["component"].items() if key != "externalReferences"}
    return sbom | {"components": parts, "metadata": about}


def _named(licence: dict[str, str]) -> str:
    """The id of a licence, or the first line of what stands in its place, which may be the whole text."""
    line = (licence.get("id") or licence.get("name") or "").strip().splitlines()
    words = line[0].removeprefix("License :: OSI Approved :: ") if line else ""
    return words if len(words) <= 60 else f"{words[:57]}..."


def render(sbom: dict[str, Any]) -> str:
    """The page of licences."""
    rows = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in components(sbom)]
    return HEAD + "".join(f"| {row} |\n" for row in rows)


if __name__ == "__main__":
    whole = trimmed(json.loads(SBOM.read_text(encoding="utf-8")))
    SBOM.write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    LICENCES.write_text(render(whole), encoding="utf-8")
    print(f"written: {LICENCES}")
