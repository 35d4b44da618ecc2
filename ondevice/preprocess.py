"""From pixels to a model's input tensor: normalization and quantization."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ondevice.image import ImageSource, pixels
from ondevice.models.card import Input
from ondevice.runtime import TensorSpec


class Normalization(NamedTuple):
    """The real values of pixels, (pixel - mean) / std, as a multiplication and an addition in float32."""

    scale: NDArray[np.float32]
    offset: NDArray[np.float32]

    @classmethod
    def of(cls, card_input: Input) -> Normalization:
        """The normalization that an input's mean and std make."""
        scale = np.float32(1) / np.asarray(card_input.std, np.float32)
        return cls(scale, -np.asarray(card_input.mean, np.float32) * scale)

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Pixels [..., channels] as real values."""
        values: NDArray[np.float32] = np.multiply(image, self.scale, dtype=np.float32)
        values += self.offset
        return values


class Preprocessor:
    """Turns a picture into the tensor for one model: `prepare(source)` gives `spec.shape` and `spec.dtype`.

    The real value of a pixel is (pixel - mean) / std; a quantized input stores round(real / scale) + zero_point,
    clipped to its dtype.
    A pixel has 256 values, so quantization is a table made once.
    """

    def __init__(self, card_input: Input, spec: TensorSpec, channels_first: bool = False) -> None:
        self.input, self._spec, self._channels_first = card_input, spec, channels_first
        self._normalization = Normalization.of(card_input)
        self._table = self._quantized(np.arange(256)) if spec.dtype != np.float32 else None
        self._identity = self._table is not None and np.array_equal(self._table, np.arange(256)[:, None])

    def prepare(self, source: ImageSource, scaled_decode: bool = True, cropped: float = 1.0) -> NDArray[Any]:
        """The picture as this model's input tensor. cropped: the share of the shorter side, cut out of the centre, that
        it is already. Raises ImageError.
        """
        return self.tensor(pixels(source, self.input.of_centre(cropped), scaled_decode))

    def tensor(self, image: NDArray[Any]) -> NDArray[Any]:
        """uint8 [height, width, channels], red first, as the model's input tensor."""
        values = self._values(image[..., ::-1] if self.input.bgr else image)
        if self._channels_first:
            values = np.moveaxis(values, 2, 0)
        return values.reshape(self._spec.shape)

    def _values(self, image: NDArray[Any]) -> NDArray[Any]:
        if self._identity:
            return np.ascontiguousarray(image)
        if self._table is None:
            return self._normalization(image)
        if self._table.shape[1] == 1:
            return np.asarray(np.take(self._table[:, 0], image))
        return np.asarray(self._table[image, np.arange(image.shape[2])])

    def _quantized(self, values: NDArray[Any]) -> NDArray[Any]:
        """The table [256, 1] or [256, channels] from pixel to stored value."""
        real = (values[:, None] - np.asarray(self.input.mean)) / np.asarray(self.input.std)
        limits = np.iinfo(self._spec.dtype)
        stored = np.rint(real / (self._spec.scale or 1.0)) + self._spec.zero_point
        clipped: NDArray[Any] = np.clip(stored, limits.min, limits.max).astype(self._spec.dtype)
        return clipped
