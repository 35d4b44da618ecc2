"""SavedModels to TFLite files in the precisions that phones run."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ondevice.converters import quantization

Tensors = Iterable[NDArray[np.float32]]
Save = Callable[[str], None]


def tensorflow() -> Any:
    """The `tensorflow` module, imported on first use with its start-up log switched off."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet():
        import tensorflow as tf

    tf.get_logger().setLevel("ERROR")
    return tf


def saver(network: Any, *size: int) -> Save:
    """Saves a Keras network for pictures of `size` [height, width, channels], by default the network's own.

    A fixed batch of one lets the runtime plan its memory and choose its kernels ahead. Layers that augment in training
    do nothing: Keras's own `export` calls them as they were called when the network was built, which is training.
    """
    signature = [tensorflow().TensorSpec((1, *(size or network.input_shape[1:])), tensorflow().float32)]

    def save(folder: str) -> None:
        archive = tensorflow().keras.export.ExportArchive()
        archive.track(network)
        archive.add_endpoint("serve", lambda tensor: network(tensor, training=False), signature)
        archive.write_out(folder, verbose=False)

    return save


@contextlib.contextmanager
def once(save: Save) -> Iterator[Save]:
    """Within it, saves as `save` does, which is called the first time only: Keras takes seconds to save a network."""
    with tempfile.TemporaryDirectory() as kept:

        def copy(folder: str) -> None:
            if not any(Path(kept).iterdir()):
                save(kept)
            shutil.copytree(kept, folder, dirs_exist_ok=True)

        yield copy


def to_tflite(save: Save, precision: str, calibration: Tensors | None = None, io: str = "int8") -> bytes:
    """Convert a network to the bytes of a TFLite file.

    save: writes the network as a SavedModel into the folder that it is given, see `saver`. precision: `fp32`; `fp16`
    weights; `dynamic`, int8 weights and activations quantized as they come; `weight_only`, int8 weights that are made
    floats again when loaded; `int8`, all of it. calibration: for int8, float32 tensors [1, height, width, channels] as
    the network takes them: the range of every activation is read off them. io: what an int8 file takes and gives,
    `int8`, `uint8` or `float`. Raises ValueError for an unknown precision or int8 without calibration.
    """
    if precision not in ("weight_only", *_SETTINGS):
        raise ValueError(f"no precision {precision!r}")
    if precision == "weight_only":
        return quantization.weight_only(to_tflite(save, "fp32"))
    if precision == "int8" and calibration is None:
        raise ValueError("int8 needs calibration tensors")
    tf = tensorflow()
    with tempfile.TemporaryDirectory() as folder, quiet():
        save(folder)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        _SETTINGS[precision](converter, () if calibration is None else calibration, io)
        return bytes(converter.convert())


def _fp32(converter: Any, calibration: Tensors, io: str) -> None:
    """As it comes."""


def _fp16(converter: Any, calibration: Tensors, io: str) -> None:
    converter.optimizations = [tensorflow().lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tensorflow().float16]


def _dynamic(converter: Any, calibration: Tensors, io: str) -> None:
    converter.optimizations = [tensorflow().lite.Optimize.DEFAULT]


def _int8(converter: Any, calibration: Tensors, io: str) -> None:
    tf = tensorflow()
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([tensor] for tensor in calibration)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    if io != "float":
        converter.inference_input_type = converter.inference_output_type = getattr(tf, io)


_SETTINGS: dict[str, Callable[[Any, Tensors, str], None]] = {
    "fp32": _fp32,
    "fp16": _fp16,
    "dynamic": _dynamic,
    "int8": _int8,
}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep a converter's C++ log off the terminal; show it after all if the work under it fails."""
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        try:
            yield
        except BaseException:
            log.seek(0)
            os.write(terminal, log.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
