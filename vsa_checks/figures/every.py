"""Every picture that there is, by name, in the order of a page."""

from __future__ import annotations

from collections.abc import Callable

from vsa_checks.figures import best_picture, circuit_picture, gram_picture, head_picture, histogram_picture
from vsa_checks.figures import neuron_pictures as neurons
from vsa_checks.figures.picture import Choice, Picture, Report

EVERY: dict[str, Callable[[Report, Choice], Picture]] = {
    gram_picture.NAME: gram_picture.picture,
    histogram_picture.NAME: histogram_picture.picture,
    neurons.BEYOND: neurons.beyond_by_layer,
    neurons.SIZE: neurons.by_bundle_size,
    best_picture.NAME: best_picture.picture,
    circuit_picture.NAME: circuit_picture.picture,
    head_picture.NAME: head_picture.picture,
}
WHAT = {
    gram_picture.NAME: "M^T M of each kind of matrix",
    histogram_picture.NAME: "cosines of all pairs on a log scale, with the Beta law",
    neurons.BEYOND: "share of neurons beyond chance by layer, with each null's band",
    neurons.SIZE: "cosine against bundle size, with each null's band",
    best_picture.NAME: "the best-explained neurons with their tokens",
    circuit_picture.NAME: "a graph of circuits: writer, reader, strength beyond chance",
    head_picture.NAME: "what each head copies",
}
OPTIONS: dict[str, tuple[str, ...]] = {
    gram_picture.NAME: ("layer", "head", "matrix", "basis"),
    histogram_picture.NAME: ("layer", "matrix", "basis"),
    neurons.BEYOND: ("layer", "matrix", "basis"),
    neurons.SIZE: ("layer", "matrix", "basis"),
    best_picture.NAME: ("layer", "matrix", "basis"),
    circuit_picture.NAME: ("matrix", "basis"),
    head_picture.NAME: ("layer", "basis"),
}
"""Which fields of a Choice each picture heeds."""
