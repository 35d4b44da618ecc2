"""Inception V2 (Ioffe and Szegedy 2015, arXiv 1502.03167) as a Keras model, the way that TF-slim's weights have it.

Its first layer is a separable convolution, depthwise with eight filters a channel, and the only one without batch
normalization.
"""

from __future__ import annotations

from typing import Any

from ondevice.converters.architectures.layers import chain, convolution, joined
from ondevice.converters.export import tensorflow

SIDE, CLASSES = 224, 1000  # the paper's input, and the classes of ILSVRC
# The paper's figure 5, one module a line: filters of the 1x1 convolution; of the 1x1 and the 3x3 behind it; of the 1x1
# and both 3x3 behind it; and of the 1x1 behind the pooling.
_MODULES = (
    (
        (64, 64, 64, 64, 96, 32),
        (64, 64, 96, 64, 96, 64),
    ),
    (
        (224, 64, 96, 96, 128, 128),
        (192, 96, 128, 96, 128, 128),
        (160, 128, 160, 128, 160, 96),
        (96, 128, 192, 160, 192, 96),
    ),
    ((352, 192, 320, 160, 224, 128),),
)
# Behind the first and the second group, of stride 2: filters of the 1x1 and the 3x3, and of the 1x1 and both 3x3.
_REDUCTIONS = ((128, 160, 64, 96), (128, 192, 192, 256))
# The very last module, which pools the highest in place of the mean.
_LAST = (352, 192, 320, 192, 224, 128)


def build(side: int = SIDE) -> Any:
    """The network for `side` x `side` pixels, its output a softmax of 1000 classes, its weights random."""
    keras = tensorflow().keras
    layers = keras.layers
    inputs = keras.Input((side, side, 3))
    x = layers.SeparableConv2D(64, 7, 2, padding="same", depth_multiplier=8, activation="relu")(inputs)
    x = layers.MaxPooling2D(3, 2, padding="same")(x)
    x = chain(x, ((64, 1), (192, 3)))
    x = layers.MaxPooling2D(3, 2, padding="same")(x)
    for i, modules in enumerate(_MODULES):
        x = _reduction(x, _REDUCTIONS[i - 1]) if i else x
        for filters in modules:
            x = _mixed(x, layers.AveragePooling2D, filters)
    x = _mixed(x, layers.MaxPooling2D, _LAST)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.2)(x)
    return keras.Model(inputs, layers.Dense(CLASSES, activation="softmax")(x), name="inception_v2")


def _mixed(x: Any, pooling: Any, filters: tuple[int, int, int, int, int, int]) -> Any:
    single, before, middle, before_deep, deep, pooled = filters
    return joined(
        convolution(x, single, 1),
        chain(x, ((before, 1), (middle, 3))),
        chain(x, ((before_deep, 1), (deep, 3), (deep, 3))),
        convolution(pooling(3, 1, padding="same")(x), pooled, 1),
    )


def _reduction(x: Any, filters: tuple[int, int, int, int]) -> Any:
    before, middle, before_deep, deep = filters
    return joined(
        convolution(convolution(x, before, 1), middle, 3, 2),
        convolution(chain(x, ((before_deep, 1), (deep, 3))), deep, 3, 2),
        tensorflow().keras.layers.MaxPooling2D(3, 2, padding="same")(x),
    )
