"""An architecture by name, with ImageNet's weights, a weights file, or random ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ondevice.converters.architectures import catalogue
from ondevice.converters.architectures.catalogue import Architecture
from ondevice.converters.job import ConversionJob
from ondevice.converters.pictures import noise, tensors
from ondevice.converters.sources.failure import in_one_line
from ondevice.converters.sources.source import BATCH, Source
from ondevice.converters.sources.tensorflow import TensorFlowSource
from ondevice.errors import ConvertError, UsageError
from ondevice.models.card import Input
from ondevice.models.kinds import FileKind, Form

_WEIGHTS = ("imagenet", "none")
# ImageNet's evaluation takes the middle of a photo.
_CROP = 0.875


def check_weights(job: ConversionJob) -> None:
    """Raise UsageError for weights that Keras does not publish, that are not there, or that are not Keras's."""
    if job.weights in _WEIGHTS:
        catalogue.check_weights(job.source, job.weights)
        return
    path = Path(job.weights)
    if not path.is_file():
        raise UsageError(f"--weights {path}: no such file; give imagenet, none, or a file")
    kind = FileKind.read(path)
    if kind is None or kind.form not in (Form.HDF5, Form.KERAS):
        what = "is not Keras's" if kind is None else f"is {kind.what}, not Keras's"
        raise UsageError(f"--weights {path} {what}: in Python `model.save_weights('net.weights.h5')` makes such a file")


def from_architecture(job: ConversionJob) -> Source:
    """The network that the job names. Raises UsageError, ConvertError."""
    architecture = catalogue.find(job.source)
    with in_one_line(f"{job.source}: its {job.weights} weights cannot be loaded", _hint(job.weights)):
        network = catalogue.build(job.source, job.side, "imagenet" if job.weights == "imagenet" else None)
        if job.weights not in _WEIGHTS:
            network.load_weights(job.weights)
    wanted = _input(job, architecture)
    if job.weights == "none":
        _normalize(network, wanted)
    elif architecture.bgr and not wanted.bgr:
        _take_rgb(network, wanted)
    source = TensorFlowSource(network, wanted, _described(job.source, architecture), network.count_params())
    source.knows_crop = True
    return source


def _input(job: ConversionJob, architecture: Architecture) -> Input:
    side, crop = job.side or architecture.side, _CROP if job.crop is None else job.crop
    mean, std = (values[::-1] if job.bgr else values for values in architecture.statistics)  # theirs are RGB
    try:
        return Input(side, side, 3, *(job.normalization or (mean, std)), crop, bool(job.bgr))
    except ValueError as error:
        raise UsageError(f"{job.source}: {error}") from error


def _described(name: str, architecture: Architecture) -> str:
    return f"Keras Applications' {architecture.keras}" if architecture.keras else f"{name}, written from its paper"


def _hint(weights: str) -> str:
    return (
        "no network? give --weights FILE, or --weights none"
        if weights == "imagenet"
        else "are they of another network?"
    )


def _normalize(network: Any, wanted: Input) -> None:
    """Let random weights' batch normalizations divide by the size that noise has there.

    As they are made, they let signals fade from layer to layer, until all classes have the same score to the last bit.
    The mean stays: taking it out as well would enlarge every rounding with the difference that is left.
    """
    normalizations = [layer for layer in network.layers if type(layer).__name__ == "BatchNormalization"]
    for layer in normalizations:
        layer.momentum = 0.0
    network(tensors(noise(BATCH, wanted, 0), wanted), training=True)
    for layer in normalizations:
        layer.moving_variance.assign(layer.moving_variance + layer.moving_mean**2)
        layer.moving_mean.assign(layer.moving_mean * 0)


def _take_rgb(network: Any, wanted: Input) -> None:
    """Let a network whose weights expect BGR take RGB, as every card says: turn its first kernels round.

    Raises ConvertError where the answers are not the same afterwards.
    """
    pictures = tensors(noise(4, wanted, 0), wanted)
    before = np.asarray(network(pictures[..., ::-1], training=False))
    first = next(layer for layer in network.layers if type(layer).__name__ == "Conv2D")
    kernel, *bias = first.get_weights()
    first.set_weights([kernel[:, :, ::-1], *bias])
    if not np.allclose(before, np.asarray(network(pictures, training=False)), atol=1e-4):
        raise ConvertError(f"{network.name}: its answers change when its first layer takes RGB for BGR")
