"""The paper's own numbers that claims are compared with, read from fixtures/published.toml."""

from __future__ import annotations

from functools import cache
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,  # pydantic takes typing's own from Python 3.12 on only
)

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from vsa_checks import paths
from vsa_checks.errors import UsageError
from vsa_checks.reading import MB, Unreadable, read_toml, toml_line

MOST_BYTES = MB

# Of GPT-2 small: 12 layers of 3,072 neurons.
_Layer = Annotated[int, Field(ge=0, lt=12)]
_Index = Annotated[int, Field(ge=0, lt=3072)]
_Place = Annotated[list[Annotated[int, Field(ge=0, lt=3072)]], Field(min_length=2, max_length=2)]


class Neuron(TypedDict):
    """A [[neuron]] of the file."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]
    layer: _Layer
    index: _Index
    cosine: Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]
    pairing: Literal["as printed", "uncertain"]
    tokens: Annotated[list[str], Field(min_length=1)]


class Link(TypedDict):
    """A [[link]] of the file: to another neuron, or to a token."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]
    source: _Place
    target: NotRequired[_Place]
    token: NotRequired[str]


class Published(TypedDict):
    """The whole file."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]
    neuron: Annotated[list[Neuron], Field(min_length=1)]
    link: Annotated[list[Link], Field(min_length=1)]


@cache
def published() -> Published:
    """The content of the file. Raises UsageError if it is damaged."""
    remedy = "Correct it there, or restore the file from the repository."
    what, path = "The file of published figures", paths.PUBLISHED_FILE
    try:
        found: Any = read_toml(path, limit=MOST_BYTES, what=what, schema=Published)
    except Unreadable as error:
        raise UsageError(f"{error}. {remedy}") from error
    for place, link in enumerate(found["link"]):
        if ("target" in link) == ("token" in link):
            line = toml_line(path.read_text(encoding="utf-8"), "link", place)
            raise UsageError(f"{what} {path} (line {line}) has a link that needs either a target or a token. {remedy}")
    result: Published = found
    return result
