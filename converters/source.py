"""The network to convert, however it comes: a Keras Applications name, a Keras file, or a SavedModel."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ondevice.converters import architectures
from ondevice.converters.architectures import Architecture
from ondevice.converters.export import saver, tensorflow
from ondevice.converters.job import Job
from ondevice.converters.pictures import Images, noise, tensors
from ondevice.errors import ConvertError, UsageError
from ondevice.models.card import Input

Outputs = NDArray[np.float32]
# Keras keeps every layer's output of a batch: of NASNet-Large, more than a gigabyte a picture.
_BATCH = 4
_WEIGHTS = ("imagenet", "none")
_KERAS_HINT = "is it whole? one with layers of your own has to come as a SavedModel, by model.export(FOLDER)"
# How Keras names what it does not have, in .keras and .h5 files.
_CUSTOM = re.compile(r"(?:Could not locate class|Unknown layer:) '(\w+)'")


class Source:
    """A network with one picture in and one score a class out.

    input: how a picture becomes its input. parameters: how many it has, None where that cannot be known. classes: how
    many scores.
    """

    def __init__(self, network: Any, wanted: Input, architecture: str, parameters: int | None) -> None:
        self._network, self.input, self.architecture, self.parameters = network, wanted, architecture, parameters
        self.classes = int(self.predict(noise(1, wanted, 0)).shape[1])

    def predict(self, images: Images) -> Outputs:
        """The outputs [n, classes] for pictures, uint8 [n, height, width, channels]."""
        batches = (images[i : i + _BATCH] for i in range(0, len(images), _BATCH))
        outputs = np.concatenate([self._outputs(tensors(batch, self.input)) for batch in batches])
        if outputs.ndim != 2:
            raise ConvertError(f"no image classifier: its output is {list(outputs.shape)}, not [pictures, classes]")
        return outputs

    def logits(self, images: Images) -> Outputs:
        """What goes into the softmax that an architecture ends with [n, classes]; its output has fewer digits."""
        inner = _without_softmax(self._network)
        return Source(inner, self.input, self.architecture, self.parameters).predict(images)

    def save(self, folder: str) -> None:
        """Write it as a SavedModel that takes one picture."""
        saver(self._network, *self._size)(folder)

    def _outputs(self, batch: NDArray[np.float32]) -> Outputs:
        return np.asarray(self._network(batch, training=False), np.float32)

    @property
    def _size(self) -> tuple[int, int, int]:
        return self.input.height, self.input.width, self.input.channels


class _SavedModel(Source):
    def _outputs(self, batch: NDArray[np.float32]) -> Outputs:
        return np.concatenate([np.asarray(self._one(tensorflow().constant(row[None]))) for row in batch])

    def _one(self, tensor: Any) -> Any:
        function = self._network.signatures["serving_default"]
        (name,) = function.structured_input_signature[1]
        (output,) = function(**{name: tensor}).values()
        return output

    def save(self, folder: str) -> None:
        tf = tensorflow()
        module = tf.Module()
        module.network = self._network  # which holds the variables
        module.serve = tf.function(self._one, input_signature=[tf.TensorSpec((1, *self._size), tf.float32)])
        tf.saved_model.save(module, folder, signatures=module.serve.get_concrete_function())


def open_source(job: Job) -> Source:
    """The source of a job. Raises UsageError, ConvertError."""
    tensorflow().keras.utils.set_random_seed(job.seed)
    path = Path(job.source).expanduser()
    if path.is_dir():
        return _from_saved_model(path, job)
    if path.suffix in (".keras", ".h5"):
        return _from_keras_file(path, job)
    if path.exists():
        raise UsageError(f"{path}: no .keras file, .h5 file or SavedModel folder")
    return _from_architecture(job)


def _from_architecture(job: Job) -> Source:
    architecture = architectures.find(job.source)
    with _one_line(f"{job.source}: its {job.weights} weights cannot be loaded", _hint(job.weights)):
        network = architectures.build(job.source, job.side, "imagenet" if job.weights == "imagenet" else None)
        if job.weights not in _WEIGHTS:
            _load_weights(network, job)
    mean, std = architecture.statistics
    side = job.side or architecture.side
    wanted = Input(side, side, 3, mean, std, job.crop)
    if job.weights == "none":
        _normalize(network, wanted)
    elif architecture.bgr:
        _take_rgb(network, wanted)
    return Source(network, wanted, _described(job.source, architecture), network.count_params())


def _described(name: str, architecture: Architecture) -> str:
    return f"Keras Applications' {architecture.keras}" if architecture.keras else f"{name}, written from its paper"


def _hint(weights: str) -> str:
    return (
        "no network? give --weights FILE, or --weights none"
        if weights == "imagenet"
        else "are they of another network?"
    )


def _load_weights(network: Any, job: Job) -> None:
    if not Path(job.weights).is_file():
        raise UsageError(f"--weights {job.weights}: no such file; give imagenet, none, or a file")
    network.load_weights(job.weights)


def _without_softmax(network: Any) -> Any:
    keras, last = tensorflow().keras, network.layers[-1]
    if not last.weights:  # nothing but the softmax
        return keras.Model(network.input, last.input)
    linear = type(last).from_config({**last.get_config(), "activation": None})
    inner = keras.Model(network.input, linear(last.input))
    linear.set_weights(last.get_weights())
    return inner


def _normalize(network: Any, wanted: Input) -> None:
    """Let random weights' batch normalizations divide by the size that noise has there.

    As they are made, they let signals fade from layer to layer, until all classes have the same score to the last bit.
    The mean stays: taking it out as well would enlarge every rounding with the difference that is left.
    """
    normalizations = [layer for layer in network.layers if type(layer).__name__ == "BatchNormalization"]
    for layer in normalizations:
        layer.momentum = 0.0
    network(tensors(noise(_BATCH, wanted, 0), wanted), training=True)
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


def _from_keras_file(path: Path, job: Job) -> Source:
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    with _one_line(f"{path}: Keras cannot read it", _KERAS_HINT):
        network = tensorflow().keras.models.load_model(path, compile=False)
    if len(network.inputs) != 1 or len(network.outputs) != 1:
        raise ConvertError(f"{path}: {len(network.inputs)} inputs and {len(network.outputs)} outputs, not one of each")
    wanted = _input(path, network.input_shape, _rescales(network), job)
    return Source(network, wanted, f"Keras model {network.name}", network.count_params())


def _rescales(network: Any) -> bool:
    """Whether the network begins by scaling pixels itself, and so takes them as they are."""
    kinds = [type(layer).__name__ for layer in network.layers[:3]]
    return bool({"Rescaling", "Normalization"} & set(kinds))


def _from_saved_model(path: Path, job: Job) -> Source:
    with _one_line(f"{path}: TensorFlow cannot read it", "give a SavedModel folder, with its saved_model.pb"):
        network = tensorflow().saved_model.load(str(path))
    if "serving_default" not in network.signatures:
        raise ConvertError(f"{path}: it has no serving_default signature; save it with one")
    function = network.signatures["serving_default"]
    shapes = [tuple(spec.shape) for spec in function.structured_input_signature[1].values()]
    if len(shapes) != 1 or len(function.structured_outputs) != 1:
        raise ConvertError(
            f"{path}: {len(shapes)} inputs and {len(function.structured_outputs)} outputs, not one of each"
        )
    return _SavedModel(network, _input(path, shapes[0], False, job), "SavedModel", None)


def _input(path: Path, shape: Any, rescales: bool, job: Job) -> Input:
    if len(shape) != 4 or shape[3] not in (1, 3):
        raise ConvertError(f"{path}: its input is {list(shape)}, not [pictures, height, width, 3 or 1]")
    height, width = (given or job.side for given in shape[1:3])
    if not height or not width:
        raise UsageError(f"{path}: its input has no fixed size ({list(shape)}): give --size PIXELS")
    if job.side and (height, width) != (job.side, job.side):
        raise UsageError(f"{path}: its input is {height} x {width}, so --size {job.side} cannot be had")
    low, high = job.value_range or ((0.0, 255.0) if rescales else (0.0, 0.0))
    if low >= high:
        raise UsageError(f"{path} does not say what values it takes: give --range=-1,1 or --range 0,1 or --range 0,255")
    std = 255 / (high - low)
    return Input(height, width, shape[3], (-low * std,), (std,), job.crop)


@contextlib.contextmanager
def _one_line(what: str, hint: str) -> Iterator[None]:
    """Keras and TensorFlow raise all kinds of errors, of many lines: give the one that matters, and a hint."""
    try:
        yield
    except UsageError:
        raise
    except Exception as error:
        custom = _CUSTOM.search(str(error))
        lines = [f"it has no layer '{custom[1]}'"] if custom else str(error).splitlines()
        said = [line.strip() for line in lines if line.strip()] or [type(error).__name__]
        raise ConvertError(f"{what}: {said[0][:300]} ({hint})") from error
