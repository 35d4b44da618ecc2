"""ResNets that Keras Applications lacks (He et al. 2015, arXiv 1512.03385, table 1): 18 layers, and 50 of version 1.5.

Version 1.5 strides in a bottleneck's 3x3 convolution, version 1 in its first 1x1. torchvision's and MLPerf's ResNet-50
are version 1.5. As many parameters as torchvision's: 11,689,512 and 25,557,032.
"""

from __future__ import annotations

from typing import Any

from ondevice.converters.architectures.layers import convolution, linear
from ondevice.converters.export import tensorflow

SIDE, CLASSES = 224, 1000  # the paper's input, and the classes of ILSVRC
# Blocks of each stage; those with 50 layers or more have bottlenecks.
_BLOCKS = {"resnet_v1_18": (2, 2, 2, 2), "resnet_v1.5_50": (3, 4, 6, 3)}
VARIANTS = tuple(_BLOCKS)
_WIDTH = 64  # of the stem and the first stage; each later stage doubles it
_WIDENING = 4  # a bottleneck's output over its inner channels


def build(name: str, side: int = SIDE) -> Any:
    """The variant `name` for `side` x `side` pixels, its output a softmax of 1000 classes, its weights random."""
    keras = tensorflow().keras
    layers = keras.layers
    inputs = keras.Input((side, side, 3))
    x = convolution(inputs, _WIDTH, 7, 2)
    x = layers.MaxPooling2D(3, 2, padding="same")(x)
    block = _basic if name == "resnet_v1_18" else _bottleneck
    for stage, blocks in enumerate(_BLOCKS[name]):
        for i in range(blocks):
            x = block(x, _WIDTH << stage, 2 if stage and i == 0 else 1)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(CLASSES, activation="softmax")(x), name=name)


def _basic(x: Any, filters: int, stride: int) -> Any:
    return _added(x, convolution(x, filters, 3, stride), filters, 3, stride)


def _bottleneck(x: Any, filters: int, stride: int) -> Any:
    y = convolution(convolution(x, filters, 1), filters, 3, stride)
    return _added(x, y, filters * _WIDENING, 1, stride)


def _added(x: Any, y: Any, filters: int, kernel: int, stride: int) -> Any:
    """The block's last convolution, and its input added, projected where the shapes differ."""
    layers = tensorflow().keras.layers
    y = linear(y, filters, kernel)
    x = x if x.shape[1:] == y.shape[1:] else linear(x, filters, 1, stride)
    return layers.ReLU()(layers.Add()([x, y]))
