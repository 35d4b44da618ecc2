"""SqueezeNet as Keras models: 1.0 (Iandola et al. 2016, arXiv 1602.07360, table 1), and 1.1 of its authors' repository.

1,248,424 and 1,235,496 parameters; 1.1 has a smaller first layer and pools earlier, for 2.4 times fewer multiply-adds.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ondevice.converters.export import tensorflow

SIDE, CLASSES = 224, 1000  # the paper's input, and the classes of ILSVRC


class _Version(NamedTuple):
    """filters and kernel of the first layer, and the fire modules, counted from 0, behind which it pools."""

    filters: int
    kernel: int
    pooled_after: tuple[int, int]


# The paper's table 1, and the deploy.prototxt of 1.1.
VARIANTS = {"squeezenet": _Version(96, 7, (2, 6)), "squeezenet_1.1": _Version(64, 3, (1, 3))}
# Fire modules: squeeze filters, and filters of each of the two expansions.
_FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))


def build(name: str, side: int = SIDE) -> Any:
    """The variant `name` for `side` x `side` pixels, its output a softmax of 1000 classes, its weights random."""
    version = VARIANTS[name]
    keras = tensorflow().keras
    layers = keras.layers
    inputs = keras.Input((side, side, 3))
    x = layers.Conv2D(version.filters, version.kernel, 2, activation="relu")(inputs)
    x = layers.MaxPooling2D(3, 2)(x)
    for i, (squeeze, expand) in enumerate(_FIRES):
        x = _fire(x, squeeze, expand)
        if i in version.pooled_after:
            x = layers.MaxPooling2D(3, 2)(x)
    x = layers.Dropout(0.5)(x)
    x = layers.Conv2D(CLASSES, 1, activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Softmax()(x), name=name)


def _fire(x: Any, squeeze: int, expand: int) -> Any:
    layers = tensorflow().keras.layers
    x = layers.Conv2D(squeeze, 1, activation="relu")(x)
    left = layers.Conv2D(expand, 1, activation="relu")(x)
    right = layers.Conv2D(expand, 3, padding="same", activation="relu")(x)
    return layers.Concatenate()([left, right])
