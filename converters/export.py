"""Keras models to TFLite files, as fp32 or full-int8."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Tensors = Iterable[NDArray[np.float32]]


def tensorflow() -> Any:
    """The `tensorflow` module, imported on first use with its start-up log switched off."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _quiet():
        import tensorflow as tf

    tf.get_logger().setLevel("ERROR")
    return tf


def to_tflite(model: Any, precision: str, calibration: Tensors | None = None) -> bytes:
    """Convert a Keras model with one input to the bytes of a TFLite file with a batch of one.

    precision: "fp32", or "int8" for int8 weights, activations, input and output.
    calibration: for "int8", a few hundred float32 tensors [1, height, width, channels] as the model takes them;
    the range of every activation is read off them. Raises ValueError for an unknown precision or no calibration.
    """
    if precision not in ("fp32", "int8"):
        raise ValueError(f"precision is fp32 or int8, not {precision!r}")
    if precision == "int8" and calibration is None:
        raise ValueError("int8 needs calibration tensors")
    tf = tensorflow()
    # A fixed batch of one lets the runtime plan its memory and choose its kernels ahead.
    signature = [tf.TensorSpec((1, *model.input_shape[1:]), tf.float32)]
    with tempfile.TemporaryDirectory() as folder, _quiet():
        model.export(folder, input_signature=signature, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if calibration is not None and precision == "int8":
            _quantise(converter, calibration)
        return bytes(converter.convert())


def _quantise(converter: Any, calibration: Tensors) -> None:
    tf = tensorflow()
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([tensor] for tensor in calibration)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep TensorFlow's C++ log off the terminal; show it after all if the work under it fails."""
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
