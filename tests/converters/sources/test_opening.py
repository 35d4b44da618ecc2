"""Networks to convert, however they come: that they are read right, and what is said of those that cannot be."""

from __future__ import annotations

import io
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ondevice.converters import layers, pictures
from ondevice.converters.export import tensorflow, to_tflite
from ondevice.converters.job import ConversionJob
from ondevice.converters.sources import opening
from ondevice.converters.sources.opening import open_source
from ondevice.converters.sources.source import Source
from ondevice.errors import OnDeviceError, UsageError

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
RANGE = (-1.0, 1.0)


def network(side: int | None = 32, *first: Any) -> Any:
    """Two convolutions, ten classes."""
    keras = tensorflow().keras
    kinds = keras.layers
    return keras.Sequential(
        [
            keras.Input((side, side, 3)),
            *first,
            kinds.Conv2D(8, 3, 2, activation="relu"),
            kinds.Conv2D(16, 3, 2, activation="relu"),
            kinds.GlobalAveragePooling2D(),
            kinds.Dense(10, activation="softmax"),
        ]
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one network as .keras, .h5 and SavedModel, and others that are harder."""
    pytest.importorskip("tensorflow")
    tensorflow().keras.utils.set_random_seed(1)
    folder = tmp_path_factory.mktemp("saved")
    model = network()
    model.save(folder / "net.keras")
    model.save(folder / "net.h5")
    model.export(folder / "net", verbose=False)
    network(None).save(folder / "dynamic.keras")
    network(32, tensorflow().keras.layers.Rescaling(1 / 255)).save(folder / "rescaling.keras")
    return folder


def packed(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as opened:
        for name in names:
            opened.writestr(name, "content")
    return out.getvalue()


def not_now() -> None:
    raise AssertionError("TensorFlow takes seconds to import")


def reason(job: ConversionJob) -> str:
    with pytest.raises(OnDeviceError) as caught:
        open_source(job)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_one_network_in_three_kinds_of_file_gives_the_same_answers(saved: Path) -> None:
    sources = [
        open_source(ConversionJob(str(saved / name), "", value_range=RANGE)) for name in ("net.keras", "net.h5", "net")
    ]
    images = pictures.noise(20, sources[0].input, 0)
    keras, h5, saved_model = (source.predict(images) for source in sources)
    assert (keras.shape, keras.dtype) == ((20, 10), np.float32)
    np.testing.assert_allclose(h5, keras, atol=1e-6)
    np.testing.assert_allclose(saved_model, keras, atol=1e-6)
    assert [source.parameters for source in sources] == [8 * 28 + 16 * 73 + 10 * 17] * 2 + [None]
    assert {source.classes for source in sources} == {10}


def test_pictures_are_scaled_to_the_range(saved: Path) -> None:
    source = open_source(ConversionJob(str(saved / "net.keras"), "", value_range=(0.0, 1.0), crop=1.0))
    images = pictures.noise(3, source.input, 0)
    model = tensorflow().keras.models.load_model(saved / "net.keras", compile=False)
    np.testing.assert_allclose(source.predict(images), model(images.astype(np.float32) / 255), atol=1e-6)
    assert (source.input.value_range, source.input.crop) == ((0.0, 1.0), 1.0)


def test_a_network_that_rescales_takes_pixels(saved: Path) -> None:
    assert open_source(ConversionJob(str(saved / "rescaling.keras"), "")).input.value_range == (0.0, 255.0)


def test_what_does_not_say_its_range_needs_it(saved: Path) -> None:
    assert "does not say what values it takes: give --range=-1,1" in reason(ConversionJob(str(saved / "net.keras"), ""))


def test_a_network_of_any_size_needs_one_and_keeps_it(saved: Path) -> None:
    job = ConversionJob(str(saved / "dynamic.keras"), "", value_range=RANGE)
    assert "its input has no fixed size ([None, None, None, 3]): give --size PIXELS" in reason(job)
    source = open_source(ConversionJob(job.source, "", value_range=RANGE, side=48))
    assert (source.input.height, source.input.width, source.classes) == (48, 48, 10)
    inside = layers.Inside(to_tflite(source.save, "fp32"), source.input)
    image = pictures.noise(1, source.input, 0)
    inside.run(image[0])
    np.testing.assert_allclose(inside.value(inside.layers[-1]), source.predict(image)[0], atol=1e-6)


def test_a_network_of_one_size_has_no_other(saved: Path) -> None:
    job = ConversionJob(str(saved / "net.keras"), "", value_range=RANGE, side=64)
    assert "its input is 32 x 32, so --size 64 cannot be had" in reason(job)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("text.keras", b"I am no network", " is a text that begins 'I am no network': get the model's own file"),
        ("empty.keras", b"", " is an empty file: get it again"),
        ("page.h5", b"<!DOCTYPE html><html>", " is a web page: was the link one to a page?"),
        ("net.h5", packed("config.json", "model.weights.h5"), " is a Keras file: `mv "),
        ("net.keras", b"\x89HDF\r\n\x1a\n", " is a Keras file: `mv "),
        (
            "net.weights.h5",
            b"\x89HDF\r\n\x1a\n",
            " is a Keras file of weights without their network: `ondevice convert",
        ),
        ("net.pt", packed("net/data.pkl", "net/version"), " is a PyTorch file: `ondevice convert "),
        ("model.zip", packed("model.tflite"), " is a ZIP archive: `unzip "),
        ("model.tflite", b"\x1c\0\0\0TFL3", " is a .tflite file: `ondevice run "),
        ("net.onnx", b"\x08\x08\x3a\x01x", " is an ONNX network: `onnx2tf -i "),
        ("what.bin", bytes(range(255, 0, -1)), ": not a .keras file, .h5 file, SavedModel folder or .pt2 file"),
        ("missing.keras", None, ": no such file"),
        ("missing.onnx", None, ": no such file"),
        ("sub/missing", None, ": no such file"),
    ],
)
def test_what_cannot_be_converted_is_told_before_tensorflow_is_imported(
    name: str, content: bytes | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "tensorflow", not_now)
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert reason(ConversionJob(str(tmp_path / name), "")).startswith(f"{tmp_path / name}{said}")


def test_a_folder_that_is_no_saved_model_names_the_one_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "tensorflow", not_now)
    job = ConversionJob(str(tmp_path), "", name="net")
    assert reason(job).endswith(
        ": a folder without saved_model.pb: give a .keras file, .h5 file, SavedModel folder or .pt2 file"
    )
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").touch()
    assert reason(job) == f"{tmp_path}: a folder without saved_model.pb: give {tmp_path / '1'}"


@pytest.mark.parametrize("source", ["squeezenet", "net.keras"])
def test_a_signature_is_of_saved_models(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.keras").write_bytes(packed("config.json", "model.weights.h5"))
    said = reason(ConversionJob(source, "", weights="none", signature="serve"))
    assert said == f"--signature is of SavedModel folders, and {source} is not one"


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("name", ["net.h5", "net.keras"])
def test_a_file_that_was_cut(name: str, share: float, saved: Path, tmp_path: Path) -> None:
    content = (saved / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(len(content) * share)])
    said = "Keras cannot read it: " if name == "net.h5" else " is a ZIP archive, cut off or damaged: get it again"
    assert said in reason(ConversionJob(str(tmp_path / name), "", value_range=RANGE))


@pytest.mark.parametrize("kind", ["keras", "h5"])
def test_a_custom_layer_is_named(kind: str, saved: Path, tmp_path: Path) -> None:
    keras = tensorflow().keras

    class Doubling(keras.layers.Layer):  # type: ignore[misc, name-defined]
        def call(self, inputs: Any) -> Any:
            return inputs * 2

    path = tmp_path / f"custom.{kind}"
    network(32, Doubling()).save(path)
    said = reason(ConversionJob(str(path), "", value_range=RANGE))
    assert "Doubling', which is not a layer of Keras's own, and nothing in a model file is run: save it" in said
    assert "model.export(FOLDER)" in said


def test_with_its_custom_layer_it_comes_as_a_saved_model(saved: Path, tmp_path: Path) -> None:
    keras = tensorflow().keras

    class Doubling(keras.layers.Layer):  # type: ignore[misc, name-defined]
        def call(self, inputs: Any) -> Any:
            return inputs * 2

    model = network(32, Doubling())
    model.export(tmp_path / "net", verbose=False)
    source = open_source(ConversionJob(str(tmp_path / "net"), "", value_range=RANGE))
    images = pictures.noise(2, source.input, 0)
    np.testing.assert_allclose(source.predict(images), model(pictures.tensors(images, source.input)), atol=1e-6)


@pytest.mark.parametrize("shape", [(32,), (32, 32, 4), (8, 32, 32, 3)])
def test_an_input_that_is_no_picture(shape: tuple[int, ...], saved: Path, tmp_path: Path) -> None:
    keras = tensorflow().keras
    inputs = keras.Input(shape)
    keras.Model(inputs, keras.layers.Dense(10)(keras.layers.Flatten()(inputs))).save(tmp_path / "net.keras")
    said = reason(ConversionJob(str(tmp_path / "net.keras"), "", value_range=RANGE))
    assert f"its input is {[None, *shape]}, not [pictures, height, width, 3 or 1]" in said


def test_an_output_that_is_no_classes(saved: Path, tmp_path: Path) -> None:
    keras = tensorflow().keras
    inputs = keras.Input((32, 32, 3))
    keras.Model(inputs, keras.layers.Conv2D(4, 3)(inputs)).save(tmp_path / "net.keras")
    said = reason(ConversionJob(str(tmp_path / "net.keras"), "", value_range=RANGE))
    assert said == "not an image classifier: its output is [1, 30, 30, 4], not [pictures, classes]"


def test_two_outputs(saved: Path, tmp_path: Path) -> None:
    keras = tensorflow().keras
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Flatten()(inputs)
    keras.Model(inputs, [keras.layers.Dense(10)(x), keras.layers.Dense(2)(x)]).save(tmp_path / "net.keras")
    assert "1 inputs and 2 outputs, not one of each" in reason(ConversionJob(str(tmp_path / "net.keras"), ""))


def test_an_unknown_architecture_is_answered_with_the_nearest(saved: Path) -> None:
    said = reason(ConversionJob("mobilenet_v4_0.25_128", ""))
    assert said.startswith("no architecture 'mobilenet_v4_0.25_128', and no such file; did you mean ")
    assert "mobilenet_v1_0.25_128" in said


def test_weights_of_another_network(data: Path, saved: Path) -> None:
    weights = str(data / "keras" / "mobilenet_v1_0.5_160.weights.h5")
    said = reason(ConversionJob("mobilenet_v1_0.25_128", "", weights=weights))
    assert said.startswith(f"mobilenet_v1_0.25_128: its {weights} weights cannot be loaded: ")
    assert said.endswith("(are they of another network?)")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, ": no such file; give imagenet, none, or a file"),
        (b"no weights", " is a text that begins 'no weights', not Keras's: in Python `model.save_weights("),
        (bytes(range(255, 0, -1)), " is not Keras's: in Python `model.save_weights("),
        (packed("net/data.pkl", "net/version"), " is a PyTorch file, not Keras's: in Python `model.save_weights("),
    ],
    ids=["missing", "text", "unknown", "other"],
)
def test_weights_that_are_none(
    content: bytes | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "tensorflow", not_now)
    path = tmp_path / "some.weights.h5"
    if content is not None:
        path.write_bytes(content)
    assert reason(ConversionJob("mobilenet_v1_0.25_128", "", weights=str(path))).startswith(f"--weights {path}{said}")


@pytest.fixture(scope="module")
def random() -> Source:
    pytest.importorskip("tensorflow")
    return open_source(ConversionJob("mobilenet_v1_0.25_128", "", weights="none", seed=3))


def test_random_weights_are_the_seeds() -> None:
    pytest.importorskip("tensorflow")
    first, again, other = (
        open_source(ConversionJob("squeezenet", "", weights="none", side=64, seed=seed)) for seed in (3, 3, 4)
    )
    images = pictures.noise(2, first.input, 0)
    assert (again.predict(images) == first.predict(images)).all()
    assert (other.predict(images) != first.predict(images)).any()


def test_with_random_weights_classes_can_be_told_apart(random: Source) -> None:
    logits = random.logits(pictures.noise(4, random.input, 0))
    assert logits.std(axis=1).min() > 1e-3


def test_logits_are_what_goes_into_the_softmax(random: Source) -> None:
    images = pictures.noise(2, random.input, 0)
    powers = np.exp(random.logits(images))
    np.testing.assert_allclose(powers / powers.sum(axis=1, keepdims=True), random.predict(images), rtol=1e-4)


def test_no_network(monkeypatch: pytest.MonkeyPatch, saved: Path, tmp_path: Path) -> None:
    # urllib keeps the proxies of its first request for all others of the process.
    monkeypatch.setattr(urllib.request, "_opener", None)
    for name in ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    said = reason(ConversionJob("mobilenet_v1_0.25_128", ""))
    assert said.startswith("mobilenet_v1_0.25_128: its imagenet weights cannot be loaded: ")
    assert said.endswith("(no network? give --weights FILE, or --weights none)")


def test_weights_that_nobody_publishes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "tensorflow", not_now)
    assert "Keras publishes no imagenet weights of it" in reason(ConversionJob("squeezenet", ""))


def test_an_unknown_size_of_a_known_architecture(saved: Path) -> None:
    with pytest.raises(UsageError, match="Keras cannot build it"):
        open_source(ConversionJob("mobilenet_v2_1.0_224", "", weights="none", side=8))
