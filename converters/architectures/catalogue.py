"""CNN architectures by name, as Keras models: `build("mobilenet_v1_0.25_128")`."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from ondevice import words
from ondevice.converters.architectures import (
    efficientnet_lite,
    inception_resnet_v2_aux,
    inception_v1,
    inception_v2,
    inception_v4,
    mnasnet,
    resnet,
    squeezenet,
)
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

    bgr: its published weights take the channels in reverse order. options: what else the Keras class is given. ours:
    builds it for an input side, where it is written here.
    """

    keras: str
    side: int
    statistics: Statistics = _SYMMETRIC
    bgr: bool = False
    options: tuple[tuple[str, Any], ...] = ()
    ours: Callable[[int], Any] | None = None


def _ours(side: int, build: Callable[[int], Any]) -> Architecture:
    return Architecture("", side, ours=build)


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
    "inception_resnet_v2_aux": _ours(inception_resnet_v2_aux.SIDE, inception_resnet_v2_aux.build),
    "inception_v1": _ours(inception_v1.SIDE, inception_v1.build),
    "inception_v2": _ours(inception_v2.SIDE, inception_v2.build),
    "inception_v4": _ours(inception_v4.SIDE, inception_v4.build),
    **{name: _ours(resnet.SIDE, partial(resnet.build, name)) for name in resnet.VARIANTS},
    **{name: _ours(squeezenet.SIDE, partial(squeezenet.build, name)) for name in squeezenet.VARIANTS},
    **{
        name: _ours(side, partial(efficientnet_lite.build, name))
        for name, (_, _, side) in efficientnet_lite.VARIANTS.items()
    },
}
# MobileNet V3 takes its pixels from -1 to 1, as the published files do, in place of scaling them in the graph.
_SCALED_V3 = (("include_preprocessing", False),)
_MINIMALISTIC = (*_SCALED_V3, ("minimalistic", True))
# Families that take any width and side: their Keras class and what else it is given; empty: MnasNet, written here.
_FAMILIES: dict[str, tuple[str, tuple[tuple[str, Any], ...]]] = {
    "mobilenet_v1": ("MobileNet", ()),
    "mobilenet_v2": ("MobileNetV2", ()),
    "mobilenet_v3_large": ("MobileNetV3Large", _SCALED_V3),
    "mobilenet_v3_large_minimalistic": ("MobileNetV3Large", _MINIMALISTIC),
    "mobilenet_v3_small": ("MobileNetV3Small", _SCALED_V3),
    "mobilenet_v3_small_minimalistic": ("MobileNetV3Small", _MINIMALISTIC),
    "mnasnet": ("", ()),
}
# Keras's own names of the networks without a side or width of their own, which mean those that its weights are of.
_KERAS_FAMILIES = {
    "MobileNet": "mobilenet_v1_1.0_224",
    "MobileNetV2": "mobilenet_v2_1.0_224",
    "MobileNetV3Large": "mobilenet_v3_large_1.0_224",
    "MobileNetV3Small": "mobilenet_v3_small_1.0_224",
}
# By Keras's names, in any case, for there are modules of most names too: ours.
_BY_KERAS_NAME = {keras.lower(): ours for keras, ours in _KERAS_FAMILIES.items()} | {
    architecture.keras.lower(): ours for ours, architecture in _FIXED.items() if architecture.keras
}
_SIDED_NAME = re.compile(r"(.+)_(\d{2,4})")
_WIDE_NAME = re.compile(r"(.+)_(\d\.\d+)")
# The widths and sides that Howard et al. 2017 published weights for.
_V1_NAMES = tuple(
    f"mobilenet_v1_{width}_{side}" for width in ("0.25", "0.5", "0.75", "1.0") for side in (128, 160, 192, 224)
)
# Those of TF-slim's MobileNet V2 and V3, from its README.
_V2_NAMES = (
    *(f"mobilenet_v2_{width}_{side}" for width in ("0.35", "0.5", "0.75", "1.0") for side in (96, 128, 160, 192, 224)),
    *(f"mobilenet_v2_{width}_224" for width in ("1.3", "1.4")),
)
_V3_NAMES = tuple(
    f"mobilenet_v3_{kind}_224"
    for size in ("large", "small")
    for kind in (f"{size}_0.75", f"{size}_1.0", f"{size}_minimalistic_1.0")
)
# Those of TensorFlow Lite's hosted MnasNets.
_MNASNET_NAMES = (
    *(f"mnasnet_{width}_224" for width in ("0.5", "0.75", "1.3")),
    *(f"mnasnet_1.0_{side}" for side in (96, 128, 160, 192, 224)),
)

# The networks of the CNNSelect paper's simulations, by our names.
PAPER = (
    "squeezenet", *_V1_NAMES, "densenet_121", "nasnet_mobile", "inception_v3", "inception_v4", "inception_resnet_v2",
    "nasnet_large",
)  # fmt: skip

# Millions of parameters as published, by the name without its side: Keras Applications' table; Howard et al. 2017
# (tables 6 and 7) and 2019 (table 3); the READMEs of TF-slim and the EfficientNet-Lites; torchvision's where it has the
# same; the papers of the rest; Open Model Zoo's for the auxiliary classifier.
_PUBLISHED = {
    "convnext_tiny": 28.6, "convnext_small": 50.2, "convnext_base": 88.5, "convnext_large": 197.7,
    "convnext_xlarge": 350.1, "densenet_121": 8.1, "densenet_169": 14.3, "densenet_201": 20.2,
    "efficientnet_b0": 5.3, "efficientnet_b1": 7.9, "efficientnet_b2": 9.2, "efficientnet_b3": 12.3,
    "efficientnet_b4": 19.5, "efficientnet_b5": 30.6, "efficientnet_b6": 43.3, "efficientnet_b7": 66.7,
    "efficientnet_lite0": 4.7, "efficientnet_lite1": 5.4, "efficientnet_lite2": 6.1, "efficientnet_lite3": 8.2,
    "efficientnet_lite4": 13.0, "efficientnet_v2_b0": 7.2, "efficientnet_v2_b1": 8.2, "efficientnet_v2_b2": 10.2,
    "efficientnet_v2_b3": 14.5, "efficientnet_v2_s": 21.6, "efficientnet_v2_m": 54.4, "efficientnet_v2_l": 119.0,
    "inception_resnet_v2": 55.9, "inception_resnet_v2_aux": 30.2, "inception_v1": 6.6,
    "inception_v2": 11.2, "inception_v3": 23.9, "inception_v4": 42.7, "nasnet_large": 88.9, "nasnet_mobile": 5.3,
    "resnet_v1.5_50": 25.6, "resnet_v1_18": 11.7, "resnet_v1_50": 25.6, "resnet_v1_101": 44.7, "resnet_v1_152": 60.4,
    "resnet_v2_50": 25.6, "resnet_v2_101": 44.7, "resnet_v2_152": 60.4, "squeezenet": 1.25, "squeezenet_1.1": 1.24,
    "vgg_16": 138.4, "vgg_19": 143.7, "xception": 22.9,
    "mobilenet_v1_0.25": 0.5, "mobilenet_v1_0.5": 1.3, "mobilenet_v1_0.75": 2.6, "mobilenet_v1_1.0": 4.2,
    "mobilenet_v2_0.35": 1.7, "mobilenet_v2_0.5": 2.0, "mobilenet_v2_0.75": 2.6, "mobilenet_v2_1.0": 3.5,
    "mobilenet_v2_1.3": 5.3, "mobilenet_v2_1.4": 6.1,
    "mobilenet_v3_large_0.75": 4.0, "mobilenet_v3_large_1.0": 5.4, "mobilenet_v3_large_minimalistic_1.0": 3.9,
    "mobilenet_v3_small_0.75": 2.0, "mobilenet_v3_small_1.0": 2.5, "mobilenet_v3_small_minimalistic_1.0": 2.0,
    "mnasnet_0.5": 2.2, "mnasnet_0.75": 3.2, "mnasnet_1.0": 4.4, "mnasnet_1.3": 6.3,
}  # fmt: skip
# Every network here has the classes of ILSVRC.
CLASSES = 1000


def published_parameters(name: str) -> float | None:
    """Millions of parameters as published, where they are known here."""
    name = ours(name)
    match = _SIDED_NAME.fullmatch(name)
    return _PUBLISHED.get(name) or (_PUBLISHED.get(match[1]) if match else None)


def names() -> list[str]:
    """Our names that `find` takes; of the families that take any width and side, those that were published."""
    return sorted([*_V1_NAMES, *_V2_NAMES, *_V3_NAMES, *_MNASNET_NAMES, *_FIXED])


def keras_name(name: str) -> str:
    """What Keras calls the network of our name, without more words; empty where it takes more, or has it not."""
    own = {mine: keras for keras, mine in _KERAS_FAMILIES.items()}
    return own.get(name) or (_FIXED[name].keras if name in _FIXED else "")


def ours(name: str) -> str:
    """Our name for one of Keras's, which its side may follow (`ResNet50V2`, `MobileNetV2_160`); any other as it is."""
    if name in _FIXED:
        return name
    match = _SIDED_NAME.fullmatch(name)
    base, side = (match[1], match[2]) if match else (name, "")
    known = _BY_KERAS_NAME.get(name.lower()) or _BY_KERAS_NAME.get(base.lower())
    if known is None:
        return name
    if not side or name.lower() in _BY_KERAS_NAME:
        return known
    return f"{known if known in _FIXED else known.rpartition('_')[0]}_{side}"


def find(name: str) -> Architecture:
    """The architecture called `name`, by us or by Keras, which any input side may follow: `inception_v3_224`.

    Raises UsageError with the nearest names.
    """
    own = ours(name)
    if own in _FIXED:
        return _FIXED[own]
    match = _SIDED_NAME.fullmatch(own)
    found = _sized(match[1], int(match[2])) if match else None
    if found is None:
        known = [*names(), *_KERAS_FAMILIES, *filter(None, (architecture.keras for architecture in _FIXED.values()))]
        nearest = words.suggestion(name, known, "`ondevice convert --list` lists all")
        raise UsageError(f"no architecture '{words.shown(name)}', and no such file; {nearest}")
    return found


def _sized(name: str, side: int) -> Architecture | None:
    """The architecture `name`, with its width where it has one, for another side."""
    if name in _FIXED:
        return _FIXED[name]._replace(side=side)
    match = _WIDE_NAME.fullmatch(name)
    if match is None or match[1] not in _FAMILIES:
        return None
    keras, options = _FAMILIES[match[1]]
    if not keras:
        return _ours(side, partial(mnasnet.build, float(match[2])))
    return Architecture(keras, side, options=(("alpha", float(match[2])), *options))


def check_weights(name: str, weights: str) -> None:
    """Raise UsageError for an unknown name, or where Keras publishes no such weights of it."""
    if weights == "imagenet" and find(name).ours:
        raise UsageError(f"{name}: Keras publishes no {weights} weights of it; give a weights file, or --weights none")


def build(name: str, side: int | None = None, weights: str | None = None) -> Any:
    """The Keras model `name`, 1000 classes; side: another input size in pixels.

    weights: None for random ones, or `imagenet`, which Keras downloads. Raises UsageError for an unknown name, a width
    or side that the network cannot have, or where no such weights are published.
    """
    architecture = find(name)
    side = side or architecture.side
    check_weights(name, weights or "none")
    try:
        if architecture.ours:
            return architecture.ours(side)
        return getattr(tensorflow().keras.applications, architecture.keras)(
            input_shape=(side, side, 3), weights=weights, **dict(architecture.options)
        )
    except ValueError as error:
        raise UsageError(f"{name}: Keras cannot build it: {' '.join(str(error).split())}") from error
