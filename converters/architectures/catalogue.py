"""CNN architectures by name, as Keras models: `build("mobilenet_v1_0.25_128")`."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from ondevice import words
from ondevice.converters.architectures import efficientnet_lite, inception_v4, squeezenet
from ondevice.converters.export import tensorflow
from ondevice.errors import UsageError

Statistics = tuple[tuple[float, ...], tuple[float, ...]]

# What a network's input is, as a card has it: (mean, std) in pixel units, RGB. The schemes are those of Keras's
# `imagenet_utils.preprocess_input`; networks with a rescaling layer of their own take pixels as they are.
_SYMMETRIC: Statistics = ((127.5,), (127.5,))
# ImageNet's own mean and deviation, times 255, as torchvision has them.
_TORCH: Statistics = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
# ImageNet's mean, as Caffe's reference models have it; their weights take it in BGR.
_CAFFE: Statistics = ((123.68, 116.779, 103.939), (1.0, 1.0, 1.0))
_PIXELS: Statistics = ((0.0,), (1.0,))


class Architecture(NamedTuple):
    """A network that can be built: its Keras Applications class (empty: written here), input side and statistics.

    bgr: its published weights take the channels in reverse order. width: a MobileNet's.
    """

    keras: str
    side: int
    statistics: Statistics = _SYMMETRIC
    bgr: bool = False
    width: float | None = None


# The input sides are those that the published weights were trained at.
_FIXED = {
    **{f"densenet_{n}": Architecture(f"DenseNet{n}", 224, _TORCH) for n in (121, 169, 201)},
    **{
        f"efficientnet_b{i}": Architecture(f"EfficientNetB{i}", side, _PIXELS)
        for i, side in enumerate((224, 240, 260, 300, 380, 456, 528, 600))
    },
    **{
        f"efficientnet_v2_{size}": Architecture(f"EfficientNetV2{size.upper()}", side, _PIXELS)
        for size, side in (("b0", 224), ("b1", 240), ("b2", 260), ("b3", 300), ("s", 384), ("m", 480), ("l", 480))
    },
    **{
        f"convnext_{size.lower()}": Architecture(f"ConvNeXt{size}", 224, _PIXELS)
        for size in ("Tiny", "Small", "Base", "Large", "XLarge")
    },
    **{f"resnet_v1_{n}": Architecture(f"ResNet{n}", 224, _CAFFE, bgr=True) for n in (50, 101, 152)},
    **{f"resnet_v2_{n}": Architecture(f"ResNet{n}V2", 224) for n in (50, 101, 152)},
    **{f"vgg_{n}": Architecture(f"VGG{n}", 224, _CAFFE, bgr=True) for n in (16, 19)},
    "inception_resnet_v2": Architecture("InceptionResNetV2", 299),
    "inception_v3": Architecture("InceptionV3", 299),
    "nasnet_large": Architecture("NASNetLarge", 331),
    "nasnet_mobile": Architecture("NASNetMobile", 224),
    "xception": Architecture("Xception", 299),
    "inception_v4": Architecture("", inception_v4.SIDE),
    "squeezenet": Architecture("", squeezenet.SIDE),
    **{name: Architecture("", side) for name, (_, _, side) in efficientnet_lite.VARIANTS.items()},
}
_MOBILENETS = {
    "mobilenet_v1": ("MobileNet", _SYMMETRIC),
    "mobilenet_v2": ("MobileNetV2", _SYMMETRIC),
    "mobilenet_v3_large": ("MobileNetV3Large", _PIXELS),
    "mobilenet_v3_small": ("MobileNetV3Small", _PIXELS),
}
_MOBILENET_NAME = re.compile(r"(mobilenet_v(?:[12]|3_large|3_small))_(\d\.\d+)_(\d{2,4})")
# The widths and sides that Howard et al. 2017 published weights for.
_V1_NAMES = tuple(
    f"mobilenet_v1_{width}_{side}" for width in ("0.25", "0.5", "0.75", "1.0") for side in (128, 160, 192, 224)
)

# The networks of the CNNSelect paper's simulations, by our names.
PAPER = (
    "squeezenet", *_V1_NAMES, "densenet_121", "nasnet_mobile", "inception_v3", "inception_v4", "inception_resnet_v2",
    "nasnet_large",
)  # fmt: skip

# Millions of parameters as published: Keras Applications' table, and the papers of those that it lacks.
_PUBLISHED = {
    "densenet_121": 8.1, "inception_resnet_v2": 55.9, "inception_v3": 23.9, "inception_v4": 42.7, "nasnet_large": 88.9,
    "nasnet_mobile": 5.3, "squeezenet": 1.25,
}  # fmt: skip
_PUBLISHED_V1 = {"0.25": 0.5, "0.5": 1.3, "0.75": 2.6, "1.0": 4.2}  # Howard et al. 2017, tables 6 and 7


def published_parameters(name: str) -> float | None:
    """Millions of parameters as published, where they are known here."""
    match = _MOBILENET_NAME.fullmatch(name)
    if match is not None and match[1] == "mobilenet_v1":
        return _PUBLISHED_V1.get(match[2])
    return _PUBLISHED.get(name)


def names() -> list[str]:
    """The names that `find` takes; of the MobileNets, which take any width and side, the usual ones."""
    others = (f"{family}_1.0_224" for family in _MOBILENETS if family != "mobilenet_v1")
    return sorted([*_V1_NAMES, *others, *_FIXED])


def find(name: str) -> Architecture:
    """The architecture called `name`. Raises UsageError with the nearest names."""
    if name in _FIXED:
        return _FIXED[name]
    match = _MOBILENET_NAME.fullmatch(name)
    if match is None:
        raise UsageError(f"no architecture '{name}', and no such file; {words.suggestion(name, names())}")
    keras, statistics = _MOBILENETS[match[1]]
    return Architecture(keras, int(match[3]), statistics, width=float(match[2]))


def build(name: str, side: int | None = None, weights: str | None = None) -> Any:
    """The Keras model `name`, 1000 classes; side: another input size in pixels.

    weights: None for random ones, or `imagenet`, which Keras downloads. Raises UsageError for an unknown name, a width
    or side that the network cannot have, or where no such weights are published.
    """
    architecture = find(name)
    side = side or architecture.side
    if not architecture.keras:
        return _ours(name, side, weights)
    more = {} if architecture.width is None else {"alpha": architecture.width}
    try:
        return getattr(tensorflow().keras.applications, architecture.keras)(
            input_shape=(side, side, 3), weights=weights, **more
        )
    except ValueError as error:
        raise UsageError(f"{name}: Keras cannot build it: {' '.join(str(error).split())}") from error


def _ours(name: str, side: int, weights: str | None) -> Any:
    if weights is not None:
        raise UsageError(f"{name}: Keras publishes no {weights} weights of it; give a weights file, or --weights none")
    if name in efficientnet_lite.VARIANTS:
        return efficientnet_lite.build(name, side)
    return {"inception_v4": inception_v4, "squeezenet": squeezenet}[name].build(side)
