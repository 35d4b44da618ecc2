"""SavedModels to convert: which function of one is taken, what it takes, and what is said where that cannot be told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from converting import SAMPLES, converted
from PIL import Image

from ondevice.converters import pictures
from ondevice.converters.check import interpreter_with_tensors
from ondevice.converters.export import tensorflow, to_tflite
from ondevice.converters.job import ConversionJob
from ondevice.converters.sources.opening import open_source
from ondevice.converters.sources.source import Source
from ondevice.errors import ConvertError, OnDeviceError, UsageError
from ondevice.models.output import Meaning
from ondevice.runner import Runner

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
SIDE, CLASSES = 8, 4
WEIGHTS = np.random.default_rng(0).normal(size=(3, CLASSES)).astype(np.float32)
RANGE = (0.0, 1.0)
Save = Callable[..., Path]


@pytest.fixture(scope="module", autouse=True)
def _tensorflow() -> None:
    pytest.importorskip("tensorflow")


def scores(values: Any) -> Any:
    """Of real pixels [pictures, height, width, 3]."""
    tf = tensorflow()
    return tf.nn.softmax(tf.reduce_mean(values, axis=(1, 2)) @ WEIGHTS)


def expected(images: pictures.Images, scale: float = 1 / 255) -> Any:
    return scores(tensorflow().constant(images * np.float32(scale))).numpy()


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Saves functions of one input each, by their names, as signatures or as the module's own."""
    tf = tensorflow()

    def saved(
        functions: dict[str, Callable[[Any], Any]], dtype: str = "float32", batch: int | None = None, own: bool = False
    ) -> Path:
        module, traced = tf.Module(), {}
        spec = tf.TensorSpec((batch, SIDE, SIDE, 3), dtype, "picture")
        for name, function in functions.items():
            traced[name] = tf.function(function, input_signature=[spec])
            if own:
                setattr(module, name, traced[name])
        signatures = None if own else {name: each.get_concrete_function() for name, each in traced.items()}
        tf.saved_model.save(module, str(tmp_path / "net"), signatures=signatures)
        return tmp_path / "net"

    return saved


def opened(path: Path, **given: Any) -> Source:
    return open_source(ConversionJob(str(path), "", **{"value_range": RANGE} | given))


def refused(path: Path, **given: Any) -> str:
    with pytest.raises(OnDeviceError) as caught:
        opened(path, **given)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{path}: ")


def run(content: bytes, images: pictures.Images) -> tuple[Any, list[str]]:
    """What a file with a float or int8 input gives for pixels, and its operators without delegates."""
    interpreter = interpreter_with_tensors(content)
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    rows = []
    for image in images:
        values = image[None].astype(np.float32)
        if scale := taken["quantization"][0]:
            values = np.clip(np.rint(values / scale) + taken["quantization"][1], -128, 127)
        interpreter.set_tensor(taken["index"], values.astype(taken["dtype"]))
        interpreter.invoke()
        rows.append(interpreter.get_tensor(given["index"])[0])
    scale, zero_point = given["quantization"]
    stored = np.stack(rows).astype(np.float32)
    return (stored - zero_point) * scale if scale else stored, [op["op_name"] for op in interpreter._get_ops_details()]


# Pixels as uint8


def test_pixels_as_bytes_are_taken_as_they_are_in_every_precision(save: Save) -> None:
    tf = tensorflow()
    source = opened(save({"classify": lambda x: scores(tf.cast(x, tf.float32) / 255)}, "uint8"), value_range=None)
    images = pictures.noise(20, source.input, 0)
    assert source.input.value_range == (0.0, 255.0)
    np.testing.assert_allclose(source.predict(images), expected(images), atol=1e-6)
    tensors = list(pictures.tensors(images, source.input)[:, None])
    for precision, error in (("fp32", 1e-6), ("int8", 0.02)):
        outputs, operators = run(to_tflite(source.save, precision, tensors), images)
        np.testing.assert_allclose(outputs, expected(images), atol=error)
        assert not {"CAST", "QUANTIZE", "DEQUANTIZE"} & set(operators)  # behind these no accelerator goes on


def test_a_file_for_bytes_answers_as_its_source_and_its_card_says_how_to_feed_it(
    save: Save, tmp_path: Path, sample: Path
) -> None:
    tf = tensorflow()
    path = save({"classify": lambda x: scores(tf.cast(x, tf.float32) / 255)}, "uint8")
    job = ConversionJob(str(path), str(tmp_path), precisions=("fp32", "int8"), calibration=SAMPLES, calibration_size=20)
    _, *files = converted(job)
    assert [file.failed for file in files] == ["", ""]
    pixels = np.asarray(Image.open(sample).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR))[None]
    for file, error in zip(files, (0.01, 0.03), strict=True):
        runner = Runner(file.path)
        assert runner.input.value_range == (0.0, 255.0)
        answer = runner.classify(sample, top=CLASSES)
        given = [top.score for top in sorted(answer.top, key=lambda top: top.index)]
        np.testing.assert_allclose(given, expected(pixels)[0], atol=error)


def test_bytes_that_are_not_only_cast_stay_bytes_inside(save: Save) -> None:
    tf = tensorflow()
    path = save({"classify": lambda x: scores(tf.cast(x[:, :, : SIDE // 2], tf.float32) / 255)}, "uint8")
    source = opened(path, value_range=None)
    images = pictures.noise(5, source.input, 0)
    outputs, operators = run(to_tflite(source.save, "fp32"), images)
    np.testing.assert_allclose(outputs, source.predict(images), atol=1e-6)
    np.testing.assert_allclose(outputs, expected(images[:, :, : SIDE // 2]), atol=1e-6)
    assert "CAST" in operators


def test_bytes_have_no_other_range(save: Save) -> None:
    tf = tensorflow()
    path = save({"classify": lambda x: scores(tf.cast(x, tf.float32))}, "uint8")
    said = f"{path} takes pixels as they are, as uint8: leave out --range, --mean and --std"
    assert refused(path) == refused(path, value_range=None, mean=(127.5,), std=(127.5,)) == said
    assert opened(path, value_range=(0.0, 255.0)).input.value_range == (0.0, 255.0)


# Signatures


def test_floats_need_a_range(save: Save) -> None:
    assert "does not say what values it takes: give --range" in refused(save({"classify": scores}), value_range=None)


def test_the_only_signature_is_taken_whatever_its_name_and_told(save: Save) -> None:
    source = opened(save({"classify": scores}))
    images = pictures.noise(3, source.input, 0)
    np.testing.assert_allclose(source.predict(images), expected(images), atol=1e-6)
    np.testing.assert_allclose(
        run(to_tflite(source.save, "fp32"), images)[0], expected(images * np.float32(255)), atol=1e-6
    )
    assert source.architecture == "SavedModel, signature classify"


def test_several_signatures_are_listed_and_one_is_taken_by_its_name(save: Save) -> None:
    path = save({"one": scores, "other": lambda x: scores(-x)})
    assert refused(path) == "it has 2 signatures: give --signature one, or other"
    assert refused(path, signature="othr") == "no signature 'othr'; did you mean other?"
    source = opened(path, signature="other")
    images = pictures.noise(3, source.input, 0)
    np.testing.assert_allclose(source.predict(images), expected(images, -1 / 255), atol=1e-6)


def test_serving_default_is_meant_where_there_is_one(save: Save) -> None:
    path = save({"another": lambda x: scores(-x), "serving_default": scores})
    assert opened(path).architecture == "SavedModel, signature serving_default"
    assert opened(path, signature="another").architecture == "SavedModel, signature another"


# Without signatures


def test_without_signatures_its_only_function_of_a_picture_is_taken(save: Save) -> None:
    source = opened(save({"classify": scores}, own=True))
    images = pictures.noise(3, source.input, 0)
    np.testing.assert_allclose(source.predict(images), expected(images), atol=1e-6)
    outputs, _ = run(to_tflite(source.save, "fp32"), images)
    np.testing.assert_allclose(outputs, expected(images * np.float32(255)), atol=1e-6)


def test_several_functions_are_listed_too(save: Save) -> None:
    path = save({"one": scores, "other": lambda x: scores(-x)}, own=True)
    assert refused(path) == "it has 2 signatures: give --signature one, or other"
    assert opened(path, signature="one").architecture == "SavedModel, signature one"


def test_one_that_is_called_is_taken_as_it_answers_not_as_it_trains(tmp_path: Path) -> None:
    tf = tensorflow()

    class Hub(tf.Module):  # type: ignore[misc, name-defined]
        @tf.function  # type: ignore[untyped-decorator]
        def __call__(self, inputs: Any, training: bool = False) -> Any:
            return scores(-inputs if training else inputs)

    hub = Hub()
    for training in (True, False):
        hub(tf.zeros((1, SIDE, SIDE, 3)), training=training)
    tf.saved_model.save(hub, str(tmp_path / "hub"))
    source = opened(tmp_path / "hub")
    images = pictures.noise(3, source.input, 0)
    np.testing.assert_allclose(source.predict(images), expected(images), atol=1e-6)


def test_one_without_any_is_told_how_to_save_it(tmp_path: Path) -> None:
    tf = tensorflow()
    tf.saved_model.save(tf.Module(), str(tmp_path / "net"))
    said = refused(tmp_path / "net")
    assert said.startswith("it has no signature, and no function that takes one picture: in Python save it with one, ")
    assert "signatures=" in said


# One output, and grey pictures


def test_one_output_is_two_classes(save: Save) -> None:
    tf = tensorflow()
    source = opened(save({"classify": lambda x: tf.sigmoid(tf.reduce_mean(x, axis=(1, 2)) @ WEIGHTS[:, :1])}))
    images = pictures.noise(3, source.input, 0)
    chance = 1 / (1 + np.exp(-(images.mean(axis=(1, 2)) / 255) @ WEIGHTS[:, :1]))
    np.testing.assert_allclose(source.predict(images), np.hstack([1 - chance, chance]), atol=1e-6)
    assert (source.classes, source.meaning) == (2, Meaning.PROBABILITY)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_grey_pictures_need_no_channel(dtype: str, tmp_path: Path) -> None:
    tf = tensorflow()
    module = tf.Module()
    rows = np.random.default_rng(1).normal(size=(SIDE, CLASSES)).astype(np.float32) / 100
    function = lambda x: tf.nn.softmax(tf.reduce_mean(tf.cast(x, tf.float32), axis=1) @ rows)  # noqa: E731
    module.classify = tf.function(function, input_signature=[tf.TensorSpec((None, SIDE, SIDE), dtype)])
    tf.saved_model.save(module, str(tmp_path / "net"))
    source = opened(tmp_path / "net", value_range=(0.0, 255.0))
    assert (source.input.channels, source.size) == (1, (SIDE, SIDE))
    images = pictures.noise(3, source.input, 0)
    answers = function(tf.constant(images[..., 0]))
    np.testing.assert_allclose(source.predict(images), answers, atol=1e-6)
    np.testing.assert_allclose(run(to_tflite(source.save, "fp32"), images[..., 0])[0], answers, atol=1e-6)


# What is not a network for pictures


def test_many_pictures_at_a_time(save: Save) -> None:
    assert refused(save({"a": scores}, batch=8)) == "it takes 8 pictures at a time: save it for any number of them"


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x: {"a": scores(x), "b": x}, "it has 2 outputs, not one"),
        (lambda x: x, "not an image classifier: its output is [1, 8, 8, 3], not [pictures, classes]"),
    ],
    ids=["two", "picture"],
)
def test_outputs_that_are_not_scores(function: Callable[[Any], Any], said: str, save: Save) -> None:
    problem = f"signature a cannot be run on a picture: {said} "
    assert refused(save({"a": function})) == f"{problem}(it has no other)"
    assert refused(save({"a": function, "b": scores}), signature="a") == f"{problem}(--signature takes b too)"


@pytest.mark.parametrize(
    ("specs", "said"),
    [
        ([((None, 8, 8, 3), "float32"), ((None, 2), "float32")], "signature a has 2 inputs, not one"),
        ([((None,), "string")], "signature a takes string (None,), not a picture's pixels"),
        ([(None, "float32")], "signature a takes float32 <unknown>, not a picture's pixels"),
        ([((None, 8), "float32")], "its input is [None, 8], not [pictures, height, width, 3 or 1]"),
    ],
    ids=["two", "text", "unknown", "flat"],
)
def test_inputs_that_are_not_a_picture(specs: list[tuple[Any, str]], said: str, tmp_path: Path) -> None:
    tf = tensorflow()
    given = [tf.TensorSpec(shape, dtype, f"input_{i}") for i, (shape, dtype) in enumerate(specs)]
    traced = tf.function(lambda *tensors: tf.zeros((1, 4)), input_signature=given)
    tf.saved_model.save(tf.Module(), str(tmp_path / "net"), signatures={"a": traced.get_concrete_function()})
    with pytest.raises(ConvertError) as caught:
        opened(tmp_path / "net")
    assert str(caught.value).startswith(f"{tmp_path / 'net'}: {said}")


def test_wrong_usage_and_what_cannot_be_converted_are_told_apart(save: Save) -> None:
    path = save({"one": scores, "other": scores})
    with pytest.raises(UsageError):
        opened(path)
    with pytest.raises(UsageError):
        opened(path, signature="third")
