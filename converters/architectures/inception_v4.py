"""Inception V4 as a Keras model (Szegedy et al. 2016, arXiv 1602.07261): 42,679,816 trainable parameters."""

from __future__ import annotations

from typing import Any

from ondevice.converters.architectures.layers import Branch, chain, convolution, joined
from ondevice.converters.export import tensorflow

# As the paper has them (figure 9): the input, and the classes of ILSVRC.
SIDE, CLASSES = 299, 1000

# The branches of Inception-A (figure 4) and Inception-B (figure 5), beside their pooling.
_A: tuple[Branch, ...] = (((96, 1),), ((64, 1), (96, 3)), ((64, 1), (96, 3), (96, 3)))
# Figure 5, and its kernels of 1x7 in the order of the authors' code.
_B: tuple[Branch, ...] = (
    ((384, 1),),
    ((192, 1), (224, (1, 7)), (256, (7, 1))),
    ((192, 1), (192, (7, 1)), (224, (1, 7)), (224, (7, 1)), (256, (1, 7))),
)


def build(side: int = SIDE) -> Any:
    """The network for `side` x `side` pixels, its output a softmax of 1000 classes, its weights random."""
    keras = tensorflow().keras
    layers = keras.layers
    inputs = keras.Input((side, side, 3))
    x = _stem(inputs)
    for _ in range(4):
        x = _mixed(x, _A, 96)
    x = _reduction_a(x)
    for _ in range(7):
        x = _mixed(x, _B, 128)
    x = _reduction_b(x)
    for _ in range(3):
        x = _c(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.2)(x)
    return keras.Model(inputs, layers.Dense(CLASSES, activation="softmax")(x), name="inception_v4")


def _pooled(x: Any) -> Any:
    return tensorflow().keras.layers.MaxPooling2D(3, 2)(x)


def _mixed(x: Any, branches: tuple[Branch, ...], pool_filters: int) -> Any:
    """Branches of convolutions beside an average pooling with a 1x1 convolution."""
    average = tensorflow().keras.layers.AveragePooling2D(3, 1, padding="same")(x)
    return joined(*(chain(x, branch) for branch in branches), convolution(average, pool_filters, 1))


def _stem(x: Any) -> Any:
    x = convolution(x, 32, 3, 2, "valid")
    x = convolution(x, 32, 3, 1, "valid")
    x = convolution(x, 64, 3)
    x = joined(_pooled(x), convolution(x, 96, 3, 2, "valid"))
    left = convolution(convolution(x, 64, 1), 96, 3, 1, "valid")
    right = convolution(chain(x, ((64, 1), (64, (1, 7)), (64, (7, 1)))), 96, 3, 1, "valid")
    x = joined(left, right)
    return joined(convolution(x, 192, 3, 2, "valid"), _pooled(x))


def _reduction_a(x: Any) -> Any:
    deep = convolution(chain(x, ((192, 1), (224, 3))), 256, 3, 2, "valid")
    return joined(convolution(x, 384, 3, 2, "valid"), deep, _pooled(x))


def _reduction_b(x: Any) -> Any:
    left = convolution(convolution(x, 192, 1), 192, 3, 2, "valid")
    right = convolution(chain(x, ((256, 1), (256, (1, 7)), (320, (7, 1)))), 320, 3, 2, "valid")
    return joined(left, right, _pooled(x))


def _c(x: Any) -> Any:
    """Inception-C, whose branches fork at their ends."""
    fork = convolution(x, 384, 1)
    deep = chain(x, ((384, 1), (448, (1, 3)), (512, (3, 1))))
    average = tensorflow().keras.layers.AveragePooling2D(3, 1, padding="same")(x)
    return joined(
        convolution(x, 256, 1),
        convolution(fork, 256, (1, 3)),
        convolution(fork, 256, (3, 1)),
        convolution(deep, 256, (1, 3)),
        convolution(deep, 256, (3, 1)),
        convolution(average, 256, 1),
    )
