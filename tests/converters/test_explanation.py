"""What TensorFlow raises, in one line that says what to do."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ondevice.converters.explanation import explained, in_short
from ondevice.converters.export import tensorflow, to_tflite
from ondevice.converters.job import ConversionJob


@pytest.fixture(scope="module", autouse=True)
def _tensorflow() -> None:
    pytest.importorskip("tensorflow")


def said(function: Callable[[Any], Any], source: str = "net.keras") -> str:
    """What a network of this function over four numbers is refused with."""
    tf = tensorflow()

    def save(folder: str) -> None:
        module = tf.Module()
        module.call = tf.function(function, input_signature=[tf.TensorSpec((1, 4), tf.float32)])
        tf.saved_model.save(module, folder, signatures=module.call.get_concrete_function())

    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever TensorFlow raises
        to_tflite(save, "fp32")
    return str(explained(caught.value, ConversionJob(source, "", name="net"), "fp32"))


def test_operators_that_tflite_has_not_are_named_once() -> None:
    math = tensorflow().math
    assert said(lambda x: math.erfinv(math.erfinv(x))) == "net: TFLite has no tf.Erfinv: replace the layers that use it"


def test_of_many_operators_some_are_named() -> None:
    math = tensorflow().math
    unknown = (math.erfinv, math.ndtri, math.digamma, math.bessel_i0, math.bessel_i1)
    told = said(lambda x: sum(function(x) for function in unknown))
    assert told.startswith("net: TFLite has no tf.BesselI0, tf.BesselI1, tf.Digamma, tf.Erfinv and 1 more: replace ")


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_floats_that_tflite_does_not_compute_with_are_told(dtype: str) -> None:
    tf = tensorflow()
    halves = said(lambda x: tf.cast(tf.sin(tf.cast(x, dtype)), tf.float32))
    assert halves == f"net: TFLite has no tf.Sin in {dtype}: save the network in float32"


def test_of_a_saved_model_s_augmentation_the_keras_file_is_free(tmp_path: Path) -> None:
    random = tensorflow().random
    network = lambda x: x + random.stateless_normal((1, 4), (1, 2))  # noqa: E731
    assert said(network).endswith(": layers of augmentation? save the network without them")
    assert said(network, str(tmp_path)).endswith("? give its .keras file, or save the network without them")


def test_code_that_cannot_be_traced_is_told_by_its_last_line() -> None:
    tf = tensorflow()
    told = said(lambda x: x + tf.zeros((1, 3)))
    assert told.startswith("net: cannot be converted to fp32: ValueError: Dimensions must be equal, but are 4 and 3")
    assert len(told) < 250


def test_an_operation_that_litert_torch_lacks_is_named() -> None:
    error = RuntimeError("Lowering not found: aten.adaptive_max_pool2d.default\n\nWhile executing %adaptive")
    told = str(explained(error, ConversionJob("nets:net", ""), "fp32"))
    assert told == "net: LiteRT Torch has no adaptive_max_pool2d: replace the layers that use it"


@pytest.mark.parametrize(
    ("raised", "short"),
    [
        (f"no {Path(tempfile.gettempdir(), 'tmpabc', 'net.pb')}: gone", "no a temporary file: gone"),
        (f"{Path(tempfile.gettempdir(), 'tmpabc.tflite')}, and more", "a temporary file, and more"),
        ("x" * 300, "x" * 197 + "..."),
        ("\n first \nsecond", "first"),
        ("in user code:\n\n    File there\n    ValueError: why\n", "ValueError: why"),
        ("", "RuntimeError"),
    ],
    ids=["in a sentence", "at its begin", "long", "lines", "code", "empty"],
)
def test_a_line_without_temporary_files_names(raised: str, short: str) -> None:
    assert in_short(RuntimeError(raised)) == short
