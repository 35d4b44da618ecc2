"""SqueezeNet 1.0 as a Keras model (Iandola et al. 2016, arXiv 1602.07360, table 1): 1,248,424 parameters."""

from __future__ import annotations

from typing import Any

from ondevice.converters.export import tensorflow

SIDE, CLASSES = 224, 1000  # the paper's input, and the classes of ILSVRC
# Fire modules: squeeze filters, and filters of each of the two expansions.
_FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
_POOLED_AFTER = (2, 6)  # the third and the seventh, counted from 0


def build(side: int = SIDE) -> Any:
    """The network for `side` x `side` pixels, its output a softmax of 1000 classes, its weights random."""
    keras = tensorflow().keras
    layers = keras.layers
    inputs = keras.Input((side, side, 3))
    x = layers.Conv2D(96, 7, 2, activation="relu")(inputs)
    x = layers.MaxPooling2D(3, 2)(x)
    for i, (squeeze, expand) in enumerate(_FIRES):
        x = _fire(x, squeeze, expand)
        if i in _POOLED_AFTER:
            x = layers.MaxPooling2D(3, 2)(x)
    x = layers.Dropout(0.5)(x)
    x = layers.Conv2D(CLASSES, 1, activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Softmax()(x), name="squeezenet")


def _fire(x: Any, squeeze: int, expand: int) -> Any:
    layers = tensorflow().keras.layers
    x = layers.Conv2D(squeeze, 1, activation="relu")(x)
    left = layers.Conv2D(expand, 1, activation="relu")(x)
    right = layers.Conv2D(expand, 3, padding="same", activation="relu")(x)
    return layers.Concatenate()([left, right])
