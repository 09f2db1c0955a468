"""docs/reliability.json and docs/reliability.md: the faults tested, and the outcomes of the changed files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from fuzz.faults import FAULTS, FLOOR, FOUND
from vsa_checks.paths import DOCS, ROOT

DATA, PAGE = DOCS / "reliability.json", DOCS / "reliability.md"
TEMPLATE = Path(__file__).with_name("page.md.j2")


def counts_table(readers: Mapping[str, Any]) -> str:
    """What came of the inputs of each reader, for a terminal."""
    lines = []
    for name, one in sorted(readers.items()):
        kinds = sorted(one["outcomes"].items(), key=lambda kind: (-kind[1], kind[0]))
        words = ", ".join(f"{word} {count:,}" for word, count in kinds)
        lines.append(f"{name}: {one['tried']:,} inputs, slowest {one['slowest_s']:.2f} s: {words}")
    return "\n".join(lines)


def write(state: Path) -> int:
    """Write both files from the counts of a run, or from those written before if there are none; the exit status."""
    counted = json.loads((state if state.exists() else DATA).read_text(encoding="utf-8"))
    DATA.write_text(json.dumps(counted, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(render(counted), encoding="utf-8")
    print(f"written: {DATA.relative_to(ROOT)} and {PAGE.relative_to(ROOT)}")
    return 0


def render(counted: Mapping[str, Any]) -> str:
    """The page."""
    readers = counted["readers"]
    environment = Environment(
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined
    )
    environment.filters["link"] = _link
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        tried=sum(one["tried"] for one in readers.values()),
        seed=counted["seed"],
        slowest=max(one["slowest_s"] for one in readers.values()),
        findings=sum(len(one["findings"]) for one in readers.values()),
        rows=[_row(name, one) for name, one in sorted(readers.items())],
        found=FOUND,
        faults=FAULTS,
        floor=f"{FLOOR:g}",
    )


def _row(name: str, one: Mapping[str, Any]) -> dict[str, Any]:
    refused = {word: count for word, count in one["outcomes"].items() if word.startswith("refused")}
    others = sorted((word, count) for word, count in one["outcomes"].items() if word not in (*refused, "read"))
    return {
        "name": name,
        "tried": one["tried"],
        "read": one["outcomes"].get("read", 0),
        "refused": sum(refused.values()),
        "others": "; ".join(f"{word}: {count:,}" for word, count in others),
    }


def _link(test: str) -> str:
    file, name = test.split("::")
    return f"[`{name}`](../{file})"
