"""The files of a GGUF model that was split: found beside each other, and held against what each says of itself."""

from __future__ import annotations

import re
from pathlib import Path

from vsa_checks.errors import ModelError
from vsa_checks.models.files import refuse_link_out
from vsa_checks.models.gguf_header import GGUFHeader, read_header

_PART = re.compile(r"(.+)-(\d{5})-of-(\d{5})(\.gguf)", re.IGNORECASE)


def first_part(path: Path) -> Path:
    """The first of the files that a model was split into, if it is there; any other file itself.

    A file is a part if its header says so, whatever its name is.
    """
    match = _PART.fullmatch(path.name)
    first = path if match is None else path.with_name(f"{match[1]}-00001-of-{match[3]}{match[4]}")
    if first == path or not first.is_file():
        return path
    try:
        counts = {read_header(part).fields.get("split.count") for part in (path, first)}
    except ModelError:  # said of the part itself, when it is read
        return path
    return first if len(counts) == 1 and None not in counts else path


def read_parts(path: Path, model: str) -> list[GGUFHeader]:
    """The headers of a GGUF model's file, or of all files that it was split into, the first part first.

    Raises ModelError for parts that are missing or do not belong together.
    """
    header = read_header(path)
    count = header.whole("split.count", 1)
    if count <= 1:
        if "general.architecture" not in header.fields:
            raise _unlike(model, path, "has no general.architecture in its header")
        return [header]
    paths = _part_paths(path, count, model)
    for part in paths:
        if part != path:
            refuse_link_out(part, path.parent, model)
    headers = [read_header(part) for part in paths]
    _check_together(headers, count, model)
    return headers


def _part_paths(path: Path, count: int, model: str) -> list[Path]:
    match = _PART.fullmatch(path.name)
    named = match is not None and int(match[3]) == count
    numbers = range(1, count + 1) if match is not None and named else range(0)
    paths = [path.with_name(f"{match[1]}-{at:05d}-of-{match[3]}{match[4]}") for at in numbers if match is not None]
    missing = [part.name for part in paths if not part.is_file()]
    if not named or missing:
        what = ", ".join(missing[:5]) or f"their names, which end in -00001-of-{count:05d}.gguf, were changed"
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        where = f" {'is' if len(missing) == 1 else 'are'} not in {path.parent}" if missing else ""
        raise ModelError(
            f"The model {model} cannot be loaded: {path} is one of {count} files that it was split into, and "
            f"{what}{more}{where}. Put all of them into one folder under their own names."
        )
    return paths


def _check_together(headers: list[GGUFHeader], count: int, model: str) -> None:
    """Raises ModelError where a part says that it is not this one of this model."""
    first, seen = headers[0], set[str]()
    if "general.architecture" not in first.fields:
        raise _unlike(model, first.path, "has no general.architecture in its header")
    for number, part in enumerate(headers):
        if part.whole("split.count", 1) != count:
            raise _unlike(model, part.path, f"says that there are {part.whole('split.count', 1)} parts, not {count}")
        if part.whole("split.no", number) != number:
            raise _unlike(model, part.path, f"says that it is part {part.whole('split.no') + 1}, not {number + 1}")
        for key in ("general.architecture", "general.name", "split.tensors.count"):
            here, there = part.fields.get(key), first.fields.get(key)
            if here is not None and here != there:
                raise _unlike(model, part.path, f"gives {key} as {here!r:.80}, the first part as {there!r:.80}")
        twice = sorted(seen & part.tensors.keys())
        if twice:
            raise _unlike(model, part.path, f"holds {twice[0]}, as an earlier part does")
        seen |= part.tensors.keys()
    total = first.whole("split.tensors.count", len(seen))
    if total != len(seen):
        raise _unlike(model, first.path, f"says that the parts hold {total:,} tensors, and they hold {len(seen):,}")


def _unlike(model: str, path: Path, what: str) -> ModelError:
    return ModelError(
        f"The model {model} cannot be loaded: {path} {what}. The files that it was split into do not belong together "
        "or were damaged: fetch all of them again."
    )
