"""Inception V1 (Szegedy et al. 2014, arXiv 1409.4842) as a Keras model, the way that TF-slim's weights have it.

With batch normalization, and 3x3 convolutions in place of the paper's 5x5. torchvision's `googlenet` is the same
network, and has as many parameters: 6,624,904.
"""

from __future__ import annotations

from typing import Any

from ondevice.converters.architectures.layers import chain, convolution, joined
from ondevice.converters.export import tensorflow

SIDE, CLASSES = 224, 1000  # the paper's input, and the classes of ILSVRC
# The paper's table 1, one module a line, pooled between the groups: filters of the 1x1 convolution; of the 1x1 and the
# 3x3 behind it, twice; and of the 1x1 behind the pooling.
_MODULES = (
    (
        (64, 96, 128, 16, 32, 32),
        (128, 128, 192, 32, 96, 64),
    ),
    (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    (
        (256, 160, 320, 32, 128, 128),
        (384, 192, 384, 48, 128, 128),
    ),
)
_POOLS = (3, 3, 2)  # the poolings before the groups: TF-slim's last is 2x2


def build(side: int = SIDE) -> Any:
    """The network for `side` x `side` pixels, its output a softmax of 1000 classes, its weights random."""
    keras = tensorflow().keras
    layers = keras.layers
    inputs = keras.Input((side, side, 3))
    x = convolution(inputs, 64, 7, 2)
    x = layers.MaxPooling2D(3, 2, padding="same")(x)
    x = chain(x, ((64, 1), (192, 3)))
    for size, modules in zip(_POOLS, _MODULES, strict=True):
        x = layers.MaxPooling2D(size, 2, padding="same")(x)
        for filters in modules:
            x = _mixed(x, filters)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.2)(x)
    return keras.Model(inputs, layers.Dense(CLASSES, activation="softmax")(x), name="inception_v1")


def _mixed(x: Any, filters: tuple[int, int, int, int, int, int]) -> Any:
    single, before, middle, before_deep, deep, pooled = filters
    highest = tensorflow().keras.layers.MaxPooling2D(3, 1, padding="same")(x)
    return joined(
        convolution(x, single, 1),
        chain(x, ((before, 1), (middle, 3))),
        chain(x, ((before_deep, 1), (deep, 3))),
        convolution(highest, pooled, 1),
    )
