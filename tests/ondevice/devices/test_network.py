"""Networks known again: from other trainers, in other precisions, at other widths; and what they add up to."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest

from ondevice.devices import network
from ondevice.devices.layers import CONVOLUTIONS, LayerKind, NetworkLayer
from ondevice.devices.network import Network, Workload
from ondevice.models import graph, zoo


def layer(kind: LayerKind = LayerKind.CONVOLUTION, channels: int = 8, side: int = 4, work: int = 0) -> NetworkLayer:
    return NetworkLayer(kind, (3, 3), (1, 1), (1, 1), 8, channels, side, side, work, 5, 7)


PRECISIONS = ("fp32", "fp16", "dynamic", "weight_only", "int8")
CONV, POINT = layer(), layer(LayerKind.POINTWISE)


def of(path: Path) -> Network:
    return network.of(graph.read(path))


# What lies there stays as it is.
published_one = functools.cache(of)


@pytest.fixture
def published(data: Path) -> dict[str, Network]:
    return {path.stem: published_one(path) for path in (data / "tflite").glob("*.tflite")}


def test_one_network_from_slim_and_from_keras(published: dict[str, Network]) -> None:
    slim, keras = published["mobilenet_v2_1.0_224_quant"], published["tf2_mobilenet_v2_1.0_224_ptq"]
    assert slim.fingerprint == keras.fingerprint
    assert slim.work == keras.work
    assert slim.unknown == keras.unknown == ()


def test_widths_and_resolutions_share_a_structure_and_not_a_fingerprint(published: dict[str, Network]) -> None:
    family = [known for name, known in published.items() if name.startswith("mobilenet_v1")]
    assert len({known.fingerprint for known in family}) == len(family) == 3
    assert len({known.structure for known in family}) == 1
    assert published["mobilenet_v2_1.0_224_quant"].structure != family[0].structure


@pytest.mark.parametrize(
    ("name", "millions"), [("mobilenet_v1_0.25_128_quant", 14), ("mobilenet_v2_1.0_224_quant", 301)]
)
def test_multiply_adds_are_those_of_the_papers(name: str, millions: int, published: dict[str, Network]) -> None:
    """Those of TF-slim's README of MobileNetV1; and Sandler et al. 2018, table 4, with 300 million."""
    assert round(published[name].work.multiply_adds / 1e6) == millions


@pytest.mark.parametrize("name", ["digits_xs", "digits_s", "digits_m", "digits_l"])
def test_precisions_share_all(name: str) -> None:
    fp32, int8 = (of(zoo.find(f"{name}_{precision}").path) for precision in ("fp32", "int8"))
    assert (fp32.layers, fp32.unknown) == (int8.layers, ())
    assert fp32.fingerprint == int8.fingerprint


def test_what_convert_builds_is_what_google_published(published: dict[str, Network], rebuilt: Network) -> None:
    theirs = published["mobilenet_v1_0.25_128_quant"]
    assert rebuilt.fingerprint == theirs.fingerprint
    assert rebuilt.structure == theirs.structure
    assert rebuilt.work == pytest.approx(theirs.work, rel=1e-3), "but for the background class"


@pytest.fixture
def rebuilt(published: dict[str, Network], tmp_path: Path) -> Network:
    """The smallest MobileNet, built by its name and converted, where there are published ones to compare it with."""
    pytest.importorskip("tensorflow")
    from ondevice.converters.architectures import catalogue
    from ondevice.converters.export import saver, to_tflite

    path = tmp_path / "model.tflite"
    path.write_bytes(to_tflite(saver(catalogue.build("mobilenet_v1_0.25_128")), "fp32"))
    return of(path)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Network]:
    """A network of a layer of each kind, as Keras has them, for a picture of 8 x 8 pixels; in each precision."""
    pytest.importorskip("tensorflow")
    from ondevice.converters.export import once, saver, tensorflow, to_tflite

    kinds, keras = tensorflow().keras.layers, tensorflow().keras
    inputs = keras.Input((8, 8, 3))
    x = kinds.Conv2D(8, 3, 2, padding="same", activation="swish")(kinds.Rescaling(1 / 127.5, -1)(inputs))
    y = kinds.BatchNormalization()(kinds.Conv2D(8, 3, padding="same", groups=2)(x))
    y = kinds.SeparableConv2D(8, 5, padding="same")(kinds.ZeroPadding2D(1)(y)[:, 1:5, 1:5])
    x = kinds.Concatenate()([kinds.Add()([x, y]), kinds.MaxPooling2D(3, 1, padding="same")(x)])
    gate = kinds.Dense(16, activation="sigmoid")(kinds.GlobalAveragePooling2D(keepdims=True)(x))
    x = kinds.Conv2DTranspose(4, 2, 2)(kinds.Multiply()([x, gate]))
    model = keras.Model(inputs, kinds.Dense(5, activation="softmax")(kinds.Flatten()(x)))
    path, noise = tmp_path_factory.mktemp("odd") / "odd.tflite", np.zeros((1, 1, 8, 8, 3), np.float32)
    found = {}
    with once(saver(model)) as save:
        for precision in PRECISIONS:
            path.write_bytes(to_tflite(save, precision, noise))
            found[precision] = of(path)
    return found


def test_a_layer_of_each_kind(odd: dict[str, Network]) -> None:
    assert odd["fp32"].unknown == ()
    found = [
        (each.kind.value, each.kernel, each.channels_in, each.channels_out, each.work) for each in odd["fp32"].layers
    ]
    assert sorted(found) == sorted(
        [
            ("convolution", (3, 3), 3, 8, 4 * 4 * 8 * 27),
            ("convolution", (3, 3), 8, 8, 4 * 4 * 8 * 9 * 4),
            ("depthwise", (5, 5), 8, 8, 4 * 4 * 8 * 25),
            ("pointwise", (1, 1), 8, 8, 4 * 4 * 8 * 8),
            ("elementwise", (1, 1), 8, 8, 4 * 4 * 8),
            ("pooling", (3, 3), 8, 8, 4 * 4 * 8 * 9),
            ("concatenation", (1, 1), 8, 16, 4 * 4 * 16),
            ("pooling", (0, 0), 16, 16, 4 * 4 * 16),
            ("pointwise", (1, 1), 16, 16, 16 * 16),
            ("elementwise", (1, 1), 16, 16, 4 * 4 * 16),
            ("convolution", (2, 2), 16, 4, 4 * 4 * 16 * 4 * 4),
            ("pointwise", (1, 1), 256, 5, 256 * 5),
        ]
    )


@pytest.mark.parametrize("precision", PRECISIONS)
def test_no_precision_makes_another_network(precision: str, odd: dict[str, Network]) -> None:
    assert odd[precision].unknown == ()
    assert odd[precision].fingerprint == odd["fp32"].fingerprint
    assert odd[precision].work == odd["fp32"].work


def test_work_adds_up() -> None:
    works = (1, 2, 4, 8, 16, 32)
    layers = tuple(layer(kind, work=work) for kind, work in zip(LayerKind, works, strict=True))
    found = Network(layers)
    convolutions = [each for each in layers if each.kind in CONVOLUTIONS]
    activations = sum(each.activations for each in convolutions)
    assert found.work == Workload(1 + 2 + 4, 0, activations, 8 + 16 + 32, 6)
    assert all(isinstance(amount, float) for amount in found.work)
    assert Network(()).work == Workload(0, 0, 0, 0, 0)


@pytest.mark.parametrize(("channels", "reads_the_picture"), [(1, True), (3, True), (4, True), (8, False)])
def test_layers_of_few_channels_read_the_picture(channels: int, reads_the_picture: bool) -> None:
    first = CONV._replace(channels_in=channels)
    written = first.height * first.width * first.channels_out
    assert Network((first,)).work.picture_outputs == written * reads_the_picture


def test_the_order_does_not_matter_and_the_number_does() -> None:
    assert Network((CONV, POINT)).fingerprint == Network((POINT, CONV)).fingerprint
    assert Network((CONV, POINT)).structure == Network((POINT, CONV)).structure
    assert Network((CONV, CONV)).fingerprint != Network((CONV,)).fingerprint
    assert Network((CONV, CONV)).structure != Network((CONV,)).structure


@pytest.mark.parametrize("field", ["kernel", "stride", "dilation", "channels_in", "channels_out", "height", "width"])
def test_every_size_makes_another_network(field: str) -> None:
    changed = CONV._replace(**{field: (2, 2) if field in ("kernel", "stride", "dilation") else 9})
    assert Network((changed,)).fingerprint != Network((CONV,)).fingerprint
    assert (Network((changed,)).structure != Network((CONV,)).structure) == (field in ("kernel", "stride"))


@pytest.mark.parametrize("field", ["work", "weights", "activations"])
def test_what_follows_from_the_sizes_is_in_no_mark(field: str) -> None:
    assert Network((CONV._replace(**{field: 9}),)).fingerprint == Network((CONV,)).fingerprint


def test_a_background_class_makes_no_other_network() -> None:
    with_it, without = (Network((layer(LayerKind.POINTWISE, n, 1),)) for n in (1001, 1000))
    assert with_it.fingerprint == without.fingerprint
    inside = [Network((layer(LayerKind.POINTWISE, n, 2),)).fingerprint for n in (1001, 1000)]
    assert inside[0] != inside[1], "only where the classes are"


def test_marks_stay_what_they_are_for_cards_keep_them(published: dict[str, Network]) -> None:
    known = published["mobilenet_v1_0.25_128_quant"]
    assert (known.fingerprint, known.structure) == ("286b9a02da8e4560", "92965b3b2121490d")
