"""Inception-ResNet V2 up to its auxiliary classifier, which is what TensorFlow Lite's hosted file of that name holds.

That file's output is `InceptionResnetV2/AuxLogits/Logits/BiasAdd`, and its 120,996,332 bytes are this network's 30.2
million weights; the whole network (Szegedy et al. 2016, arXiv 1602.07261) has 55.8. The classifier is TF-slim's.
"""

from __future__ import annotations

from typing import Any

from ondevice.converters.architectures.layers import convolution
from ondevice.converters.export import tensorflow

SIDE, CLASSES = 299, 1000  # the paper's input, and the classes of ILSVRC
_LAST = "block17_20_ac"  # Keras's name of the last layer before the auxiliary classifier branches off


def build(side: int = SIDE) -> Any:
    """The network for `side` x `side` pixels, its output a softmax of 1000 classes, its weights random."""
    keras = tensorflow().keras
    layers = keras.layers
    whole = keras.applications.InceptionResNetV2(include_top=False, weights=None, input_shape=(side, side, 3))
    x = layers.AveragePooling2D(5, 3)(whole.get_layer(_LAST).output)
    x = convolution(x, 128, 1)
    x = convolution(x, 768, tuple(x.shape[1:3]), padding="valid")
    x = layers.Flatten()(x)
    return keras.Model(whole.input, layers.Dense(CLASSES, activation="softmax")(x), name="inception_resnet_v2_aux")
