"""A network as every host sees it: its layers, what they add up to, and marks by which it is known again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ondevice.devices import layers
from ondevice.devices.layers import CONVOLUTIONS, LayerKind, NetworkLayer
from ondevice.errors import ModelError
from ondevice.models import graph as graphs
from ondevice.models.graph import Graph
from ondevice.models.layout import FREE

# Enough of a SHA-256 that no two networks of a list of thousands share it.
_DIGITS = 16
# TF-slim's classifiers have a class for "none of these" before ILSVRC's thousand, Keras's do not.
_WITH_BACKGROUND, _WITHOUT = 1001, 1000
# Red, green, blue, and a fourth that some converters add: libraries read 4 or 8 channels at a time from there on.
_PICTURE_CHANNELS = 4


class Workload(NamedTuple):
    """What a network's layers add up to, for one inference: what the time model takes.

    multiply_adds: of all convolutions and dense layers. picture_outputs: numbers that layers write which read the
    picture, or anything else of so few channels. activations: numbers that convolutions and dense layers read and
    write. elements: numbers that sums, products and concatenations write, and that pooling reads. layers: of all kinds.
    """

    multiply_adds: float
    picture_outputs: float
    activations: float
    elements: float
    layers: float


@dataclass(frozen=True)
class Network:
    """The layers in the file's order; unknown: names of operators that are none of them, and so are in no figure."""

    layers: tuple[NetworkLayer, ...]
    unknown: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """16 hex digits, the same for two networks of the same layers, whatever their weights and precision.

        Of the kinds, kernels, strides, dilations, channels and output sizes of all layers; 1001 classes count as 1000.
        """
        return _digest(
            (layer.kind, *layer.kernel, *layer.stride, *layer.dilation, layer.channels_in, _channels_out(layer),
             layer.height, layer.width)
            for layer in self.layers
        )  # fmt: skip

    @property
    def structure(self) -> str:
        """16 hex digits, the same for an architecture's widths and resolutions: of kinds, kernels and strides alone."""
        return _digest((layer.kind, *layer.kernel, *layer.stride) for layer in self.layers)

    @property
    def work(self) -> Workload:
        """What the layers add up to."""
        convolutions = [layer for layer in self.layers if layer.kind in CONVOLUTIONS]
        others = [layer for layer in self.layers if layer.kind not in CONVOLUTIONS]
        read_picture = [layer for layer in convolutions if layer.channels_in <= _PICTURE_CHANNELS]
        return Workload(
            float(sum(layer.work for layer in convolutions)),
            float(sum(layer.height * layer.width * layer.channels_out for layer in read_picture)),
            float(sum(layer.activations for layer in convolutions)),
            float(sum(layer.work for layer in others)),
            float(len(self.layers)),
        )


def of(graph: Graph) -> Network:
    """The network of a file's first graph, the one that runs; sizes that are free are those in the file."""
    return Network(*layers.of(graph.subgraphs[0]))


def of_file(path: Path) -> Network:
    """The network in a .tflite file. Raises ModelError, also where it leaves sizes open that its time depends on."""
    found = graphs.read(path)
    first = found.subgraphs[0]
    for number in first.inputs:
        if FREE in first.tensors[number].signature[1:]:
            raise ModelError(
                f"{path}: its input has no size of its own, and what it takes on a device is predicted from that: "
                "convert it with a fixed size",
                str(path),
            )
    return of(found)


def _channels_out(layer: NetworkLayer) -> int:
    """The channels; a classifier's without its background class."""
    classifies = layer.kind == LayerKind.POINTWISE and layer.height == layer.width == 1
    return _WITHOUT if classifies and layer.channels_out == _WITH_BACKGROUND else layer.channels_out


def _digest(rows: Iterable[tuple[str | int, ...]]) -> str:
    """Of the rows, in whatever order they come."""
    lines = sorted(" ".join(map(str, row)) for row in rows)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:_DIGITS]
