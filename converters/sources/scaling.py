"""How a Keras network scales its pixels before it computes with them, read off what arrives at its first layer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ondevice.models.value_range import Affine

# Pictures of one value each: two make a line, and if the scaling is one, the others lie on it. They span what any
# network may want, so that a clip, a power or a picture's own mean shows.
_PROBES = (0.0, 1.0, -1.0, 0.25, 100.0, 255.0)
# Float32 has seven digits, of which a mean that is taken out of large values costs some.
_STRAIGHT = 1e-3


def scaling_of(network: Any, size: tuple[int, ...]) -> Affine | None:
    """What becomes of a pixel before the first layer with weights, for pictures of `size`, (height, width[, channels]).

    Layers that do nothing at inference, such as augmentation, do nothing here. None where it is not an affine map.
    """
    probes = np.broadcast_to(np.reshape(_PROBES, (-1, *[1] * len(size))), (len(_PROBES), *size)).astype(np.float32)
    arrived = _FirstLayer(network).of(probes)
    return None if arrived is None else _line(arrived)


def _line(arrived: NDArray[np.float64]) -> Affine | None:
    """The affine map that makes [probes, channels] of the probes, if one does."""
    offset, scale = arrived[0], (arrived[-1] - arrived[0]) / _PROBES[-1]  # far apart: means have float32's errors
    expected = np.outer(_PROBES, scale) + offset
    tolerance = _STRAIGHT * (np.abs(np.outer(_PROBES, scale)) + np.abs(offset) + _STRAIGHT)
    if not np.isfinite(arrived).all() or (np.abs(arrived - expected) > tolerance).any():
        return None
    return Affine.of(scale.tolist(), offset.tolist())


class _FirstLayer:
    """What the first layer of a network that has weights is given."""

    def __init__(self, network: Any) -> None:
        self._network = network
        self._arrived: Any = None

    def of(self, pictures: NDArray[np.float32]) -> NDArray[np.float64] | None:
        """The values [pictures, channels] of constant pictures there; None where it is not given pictures."""
        given = None
        with contextlib.ExitStack() as stack:
            for layer in _with_weights(self._network):
                stack.enter_context(_called(layer, self._keep))
            with contextlib.suppress(Exception):  # the stop in Keras's words, or what such values are not for
                given = self._network(pictures, training=False)  # which comes back where no layer has weights
        arrived = np.asarray(given if self._arrived is None else self._arrived, np.float64)
        return _a_channel(arrived, pictures)

    def _keep(self, tensor: Any = None, *others: Any, **named: Any) -> None:
        self._arrived = tensor
        raise StopIteration


def _with_weights(network: Any) -> Iterator[Any]:
    """Its layers that have weights, but for normalizations: theirs are not trained, and scale pixels."""
    for layer in network.layers:
        if hasattr(layer, "layers"):
            yield from _with_weights(layer)
        elif layer.weights and type(layer).__name__ != "Normalization":  # of whichever Keras
            yield layer


@contextlib.contextmanager
def _called(layer: Any, instead: Callable[..., None]) -> Iterator[None]:
    """Have calls of the layer go elsewhere."""
    layer.call = instead
    try:
        yield
    finally:
        del layer.call


def _a_channel(arrived: NDArray[np.float64], pictures: NDArray[np.float32]) -> NDArray[np.float64] | None:
    """The values [pictures, channels]: the median of each picture's pixels, for their edges may be padded."""
    if arrived.ndim < 2 or len(arrived) != len(pictures):
        return None
    channels = pictures.shape[3] if pictures.ndim > 3 else 1
    last = arrived.shape[-1] if arrived.ndim > 2 else channels if arrived[0].size % channels == 0 else 1
    return np.asarray(np.median(arrived.reshape(len(pictures), -1, last), axis=1))
