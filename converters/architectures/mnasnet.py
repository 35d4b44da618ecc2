"""MnasNet-B1 as a Keras model (Tan et al. 2018, arXiv 1807.11626, first version): without squeeze-and-excite.

The stages are those of `mnasnet-b1` in the TPU models' repository. TensorFlow Lite's hosted MnasNets are these: at the
widths 0.5, 0.75, 1.0 and 1.3 the weights are 8.5, 12, 17 and 24 MiB, as published; MnasNet-A1's at 1.0 would be 15.
As many parameters as torchvision's, which are the same networks.
"""

from __future__ import annotations

from typing import Any

from ondevice.converters.architectures.layers import Inverted, convolution, inverted_residual, rounded
from ondevice.converters.export import tensorflow

# Repeats, kernel, stride, expansion, filters.
_STAGES = (
    (1, 3, 1, 1, 16), (3, 3, 2, 3, 24), (3, 5, 2, 3, 40), (3, 5, 2, 6, 80),
    (2, 3, 1, 6, 96), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320),
)  # fmt: skip
# Filters of the stem, which the width scales, and of the head, which it does not; the classes of ILSVRC.
_STEM, _HEAD, _CLASSES = 32, 1280, 1000


def build(width: float, side: int) -> Any:
    """The network for `side` x `side` pixels, its output a softmax of 1000 classes, its weights random."""
    keras = tensorflow().keras
    layers = keras.layers
    inputs = keras.Input((side, side, 3))
    x = convolution(inputs, rounded(_STEM * width), 3, 2)
    for repeats, kernel, stride, expansion, filters in _STAGES:
        for i in range(repeats):
            block = Inverted(kernel, stride if i == 0 else 1, expansion, rounded(filters * width))
            x = inverted_residual(x, block)
    x = convolution(x, _HEAD, 1)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(_CLASSES, activation="softmax")(x), name=f"mnasnet_{width}")
