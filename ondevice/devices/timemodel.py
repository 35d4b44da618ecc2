"""The time model: what a device takes for a network, from what every host sees alike, its layers.

    ms = overhead_ms + a * multiply-adds + b * picture outputs + c * activations + d * elements + e * layers

One for float and one for quantized kernels. Every term is a kind of work: products; the first layer's (with three
channels no library's fast path applies); moving what layers read and write; sums and poolings; and starting a layer on
all threads. Telling kinds of convolution apart did not predict left-out architectures any better: docs/devices.md has
what was tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from ondevice.devices.network import Workload
from ondevice.timing.arrays import FloatArray
from ondevice.timing.distribution import Distribution

# Which kernels a precision runs on. Dynamic-range files have no published latencies, and run on kernels of neither.
KINDS = {"fp32": "float", "fp16": "float", "weight_only": "float", "int8": "quant", "uint8": "quant"}
# Fewer parts would make the draws predictable; with more, 50 runs (what `ondevice bench` makes) could miss the tails.
STRATA = 20


class TimeModel(NamedTuple):
    """What a device takes, ms: for any network, for 10^9 multiply-adds, for 10^6 of other work, and for a layer."""

    overhead_ms: float
    per_gmac_ms: float
    per_m_picture_outputs_ms: float
    per_m_activations_ms: float
    per_m_elements_ms: float
    per_layer_ms: float

    def __call__(self, work: Workload) -> float:
        """The device's ms for a network."""
        return float(terms(work) @ np.array(self))


def terms(work: Workload) -> FloatArray:
    """[6]: what a TimeModel's figures are multiplied with."""
    millions = [work.picture_outputs / 1e6, work.activations / 1e6, work.elements / 1e6]
    return np.array([1.0, work.multiply_adds / 1e9, *millions, work.layers])


Draw = Callable[[], float]


def drawer(times: Distribution, rng: np.random.Generator) -> Draw:
    """Draws single times, ms.

    Every STRATA draws take each part of the distribution once, in random order: a short run has the right mean, too.
    """
    chances = _chances(rng)
    return lambda: float(times.quantile_ms(next(chances)))


def _chances(rng: np.random.Generator) -> Iterator[float]:
    while True:
        yield from ((rng.permutation(STRATA) + rng.random(STRATA)) / STRATA).tolist()
