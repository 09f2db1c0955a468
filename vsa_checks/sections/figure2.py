"""Section 3.3, figure 2: the published path through the MLP neurons of GPT-2 small."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from vsa_checks.errors import NotChecked
from vsa_checks.judging.measurement import Measurement, NullMeasurement
from vsa_checks.judging.subjects import Subject
from vsa_checks.models import Model
from vsa_checks.orthogonality import live_rows
from vsa_checks.sections.published import published
from vsa_checks.statistics import bootstrap
from vsa_checks.workbench.access import Workbench

RANDOM_PATHS = "random paths"
PATHS = 999


@dataclass(frozen=True)
class Link:
    """A neuron's output is read by another neuron, or by the unembedding of a token. A neuron is (layer, index)."""

    source: tuple[int, int]
    target: tuple[int, int] | None = None
    token: str | None = None

    def __str__(self) -> str:
        end = repr(self.token) if self.target is None else f"{self.target[0]}-{self.target[1]}"
        return f"{self.source[0]}-{self.source[1]} to {end}"


@cache
def published_links() -> tuple[Link, ...]:
    """The links of fixtures/published.toml, in its order."""
    return tuple(
        Link(
            (one["source"][0], one["source"][1]),
            (one["target"][0], one["target"][1]) if "target" in one else None,
            one.get("token"),
        )
        for one in published()["link"]
    )


def published_path(bench: Workbench, subject: Subject) -> Measurement:
    """Largest relative rank of a published link: 1/n if none of the n neurons of its layer (or tokens) is closer.

    The null is the same for paths through the same layers with random neurons. Raises NotChecked on any model but the
    paper's.
    """
    model = bench.model(subject.basis)
    if not model.info.is_paper_model:
        raise NotChecked("the published circuit is one of GPT-2 small, which this model is not")
    links = published_links()
    readers = _Readers(bench, subject, model)
    ranks = np.array([readers.rank(link) for link in links])
    rng = bench.rng(RANDOM_PATHS, subject.id)
    drawn = np.array([max(readers.rank(link) for link in readers.redrawn(links, rng)) for _ in range(PATHS)])
    value = float(ranks.max())
    return Measurement(
        value=value,
        interval=bootstrap(ranks, "links", bench.rng("bootstrap", subject.id), np.max),
        n_examined=len(links),
        nulls=(NullMeasurement.of_draws(RANDOM_PATHS, value, drawn, "<=", float(np.median(drawn))),),
        details={
            "links": [
                {
                    "link": str(link),
                    "cosine": readers.cosine(link),
                    "rank": round(rank * readers.size(link)),
                    "of": readers.size(link),
                }
                for link, rank in zip(links, ranks, strict=True)
            ]
        },
    )


class _Readers:
    """Possible readers at the end of a link: the neurons of a layer, or the unembeddings of all tokens."""

    def __init__(self, bench: Workbench, subject: Subject, model: Model) -> None:
        self._bench, self._basis, self._model = bench, subject.basis, model
        self._unit: dict[int | None, NDArray[np.float32]] = {}
        self._ids = bench.tokens(subject.basis).ids
        self._tokens = {model.token_name(int(token)): place for place, token in reversed([*enumerate(self._ids)])}

    def vectors(self, layer: int | None) -> NDArray[np.float32]:
        """Unit vectors (n, d) of the readers of a layer, or of all tokens (None); zero rows stay zero.

        Raises NotChecked if something nonlinear stands between the stream and the unembedding.
        """
        if layer not in self._unit:
            if layer is None:
                unembedding, why = self._model.readout()
                if unembedding is None:
                    raise NotChecked(why)
                rows = unembedding.T[self._ids]
            else:
                rows = self._bench.weight(self._basis, layer, "W_in").T
            live = live_rows(rows)
            unit = np.zeros(rows.shape, np.float32)
            unit[live.rows] = live.unit
            self._unit[layer] = unit
        return self._unit[layer]

    def place(self, link: Link) -> tuple[int | None, int]:
        """Layer (None for tokens) and row of a link's end. Raises NotChecked for a token that does not exist."""
        if link.target is not None:
            return link.target
        if link.token not in self._tokens:
            raise NotChecked(f"the vocabulary has no token {link.token!r}")
        return None, self._tokens[link.token]

    def cosines(self, link: Link) -> NDArray[np.float32]:
        """Cosines of what the source writes with all readers at the link's end (n,)."""
        layer, index = link.source
        unit = live_rows(self._bench.written(self._basis, layer, "W_out")[index : index + 1]).unit
        readers = self.vectors(self.place(link)[0])
        return readers @ unit[0] if len(unit) else np.zeros(len(readers), np.float32)

    def cosine(self, link: Link) -> float:
        """Cosine of what the source writes with the reader at the link's end."""
        return float(self.cosines(link)[self.place(link)[1]])

    def size(self, link: Link) -> int:
        """Number of readers at the link's end."""
        return len(self.vectors(self.place(link)[0]))

    def rank(self, link: Link) -> float:
        """Share of all readers that are at least as close to what the source writes."""
        cosines = self.cosines(link)
        return float(np.count_nonzero(cosines >= cosines[self.place(link)[1]]) / len(cosines))

    def redrawn(self, links: tuple[Link, ...], rng: np.random.Generator) -> list[Link]:
        """The same links with each neuron and token replaced everywhere by a random one of its layer or vocabulary."""
        neurons: dict[tuple[int, int], tuple[int, int]] = {}
        tokens: dict[str, str] = {}

        def other(neuron: tuple[int, int]) -> tuple[int, int]:
            if neuron not in neurons:
                n = self._bench.weight(self._basis, neuron[0], "W_out").shape[0]
                neurons[neuron] = (neuron[0], int(rng.integers(n)))
            return neurons[neuron]

        names = list(self._tokens)
        return [
            Link(
                other(link.source),
                None if link.target is None else other(link.target),
                None if link.token is None else tokens.setdefault(link.token, names[int(rng.integers(len(names)))]),
            )
            for link in links
        ]
