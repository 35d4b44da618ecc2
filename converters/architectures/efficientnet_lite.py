"""EfficientNet-Lite as Keras models: EfficientNet with ReLU6, without squeeze-and-excite, stem and head not scaled.

From the README of the TPU models' EfficientNet-Lite; the stages are EfficientNet-B0's (Tan and Le 2019, table 1).
"""

from __future__ import annotations

import math
from typing import Any

from ondevice.converters.architectures.layers import Inverted, inverted_residual, linear, rounded
from ondevice.converters.export import tensorflow

# Name → width factor, depth factor, input side.
VARIANTS = {
    "efficientnet_lite0": (1.0, 1.0, 224),
    "efficientnet_lite1": (1.0, 1.1, 240),
    "efficientnet_lite2": (1.1, 1.2, 260),
    "efficientnet_lite3": (1.2, 1.4, 280),
    "efficientnet_lite4": (1.4, 1.8, 300),
}
# Repeats, kernel, stride, expansion, filters.
_STAGES = (
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320),
)  # fmt: skip
# Filters of the stem and the head, as in EfficientNet-B0; the classes of ILSVRC.
_STEM, _HEAD, _CLASSES = 32, 1280, 1000
_MOST = 6.0  # where ReLU6 ends


def build(name: str, side: int) -> Any:
    """The variant `name` for `side` x `side` pixels, its output a softmax of 1000 classes, its weights random."""
    width, depth, _ = VARIANTS[name]
    layers, keras = tensorflow().keras.layers, tensorflow().keras
    inputs = keras.Input((side, side, 3))
    x = layers.ReLU(_MOST)(linear(inputs, _STEM, 3, 2))
    for i, (repeats, kernel, stride, expansion, filters) in enumerate(_STAGES):
        fixed = i in (0, len(_STAGES) - 1)  # the first and the last stage keep their depth
        for j in range(repeats if fixed else math.ceil(repeats * depth)):
            block = Inverted(kernel, stride if j == 0 else 1, expansion, rounded(filters * width))
            x = inverted_residual(x, block, _MOST)
    x = layers.ReLU(_MOST)(linear(x, _HEAD, 1))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(_CLASSES, activation="softmax")(x), name=name)
