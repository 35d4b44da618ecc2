"""Networks of PyTorch, from the code that builds them and their weights, or from a .pt2 file, to files that agree."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from converting import SAMPLES, converted

from ondevice.converters import pictures, quantization
from ondevice.converters.job import ConversionJob, ConversionResult
from ondevice.converters.sources import factory
from ondevice.converters.sources.factory import LibrarySource
from ondevice.converters.sources.opening import open_source
from ondevice.errors import OnDeviceError
from ondevice.models.card import Card, Input
from ondevice.runner import Runner
from ondevice.runtime import Model

torch = pytest.importorskip("torch", reason="PyTorch is not installed: `make test-extras` has it")
pytest.importorskip("litert_torch", reason="LiteRT Torch is not installed: `make test-extras` has it")
# PyTorch's and LiteRT Torch's own, of what will change in Python.
pytestmark = pytest.mark.filterwarnings("default")
NETWORKS = """
import torch
from torch import nn


def digits(classes=10):
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU6(),
        nn.Conv2d(16, 16, 3, 1, 1, groups=16), nn.Conv2d(16, 32, 1), nn.BatchNorm2d(32), nn.Hardswish(),
        nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, 2, 1), nn.BatchNorm2d(64), nn.ReLU(),
        nn.Flatten(), nn.Linear(64 * 5 * 5, classes),
    )


def colours():
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10), nn.Softmax(1))


def one_output():
    return nn.Sequential(digits(1), nn.Sigmoid())


def one_logit():
    return digits(1)


def maximum():
    return nn.Sequential(nn.Conv2d(1, 10, 3), nn.AdaptiveMaxPool2d(1), nn.Flatten())


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)

    def forward(self, x):
        return x, self.conv(x)


def no_network():
    return "a network"


def raises():
    raise ValueError("no weights there")
"""
WANTED = Input(40, 40, 1, (0.0,), (255.0,), 1.0)
PRECISIONS = ("fp32", "fp16", "dynamic", "weight_only", "int8")
HOW = {"side": 40, "value_range": (0.0, 1.0), "labels": "digits", "calibration": SAMPLES, "calibration_size": 40}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with networks in Python, the weights of one that was trained on the digits, and that one as .pt2."""
    folder = tmp_path_factory.mktemp("networks")
    (folder / "own_networks.py").write_text(NETWORKS)
    network = trained()
    torch.save(network.state_dict(), folder / "state.pt")
    compiled = {f"_orig_mod.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": compiled}, folder / "checkpoint.pt")
    torch.save({"conv.weight": torch.zeros(1)}, folder / "other.pt")
    torch.export.save(torch.export.export(network, (torch.zeros(1, 1, 40, 40),)), folder / "digits.pt2")
    network.train()
    torch.export.save(torch.export.export(network, (torch.zeros(2, 1, 40, 40),)), folder / "training.pt2")
    return folder


def built() -> Any:
    """The network `digits`, with random weights."""
    namespace: dict[str, Any] = {}
    exec(NETWORKS, namespace)
    return namespace["digits"]()


def trained() -> Any:
    """The network `digits` after as many steps as it takes to know its pictures."""
    torch.manual_seed(0)
    network, (images, truth) = built(), digits()
    optimizer = torch.optim.Adam(network.parameters(), 0.003)
    for _ in range(40):
        for rows in torch.randperm(len(images)).split(50):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(images[rows]), truth[rows]).backward()
            optimizer.step()
    return network.eval()


def digits() -> tuple[Any, Any]:
    """The bundled pictures as the network takes them, and their classes."""
    paths = sorted(map(str, Path(SAMPLES).glob("*/*.png")))
    images = pictures.load(paths, WANTED).images
    names = sorted({Path(path).parent.name for path in paths})
    truth = [names.index(Path(path).parent.name) for path in paths]
    return torch.from_numpy(pictures.tensors(images, WANTED).transpose(0, 3, 1, 2).copy()), torch.tensor(truth)


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its networks are found, for it is the working folder, and are not those of another test."""
    monkeypatch.chdir(folder)
    monkeypatch.delitem(sys.modules, "own_networks", raising=False)
    return folder


def reason(source: str, **given: Any) -> str:
    with pytest.raises(OnDeviceError) as caught:
        open_source(ConversionJob(source, "", **{"weights": "", "side": 40, "value_range": (0.0, 1.0), **given}))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(scope="module")
def files(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[ConversionResult]:
    """What became of the trained network in all precisions: converting takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        out = str(tmp_path_factory.mktemp("files"))
        return converted(ConversionJob("own_networks:digits", out, weights="state.pt", precisions=PRECISIONS, **HOW))


def test_the_files_of_a_trained_network_agree_with_it(folder: Path, files: list[ConversionResult]) -> None:
    source, fp32, *others = files
    assert source.top1 is not None
    assert source.top1 > 0.9
    network = built().eval()
    network.load_state_dict(torch.load(folder / "state.pt", weights_only=True))
    assert (source.parameters, fp32.n) == (sum(p.numel() for p in network.parameters()), 160)
    assert [(file.precision, file.failed, file.verdict) for file in others] == [
        (precision, "", "ok") for precision in PRECISIONS[1:]
    ]
    for file in (fp32, *others):
        assert file.top1 is not None
        assert file.top1 >= source.top1 - 0.01
    images = digits()[0][:20]
    expected = network(images).detach().numpy()
    model = Model(fp32.path)
    given = np.stack([model.invoke(image.numpy().reshape(1, 40, 40, 1)) for image in images])
    assert np.abs(given - expected).max() <= 1e-4 * np.abs(expected).max()


def test_the_files_run_without_a_word_about_them(files: list[ConversionResult]) -> None:
    samples = sorted(Path(SAMPLES).glob("*/*.png"))
    for file in files[1:]:
        runner = Runner(file.path)
        right = [runner.classify(picture, 1).label == picture.parent.name for picture in samples]
        assert np.mean(right) > 0.9
    card = Card.read(Path(files[-1].path).with_suffix(".toml"))
    assert card.conversion is not None
    assert card.conversion.recipe.startswith("LiteRT Torch; AI Edge Quantizer, full int8")
    assert card.conversion.weights == "state.pt"
    assert card.conversion.tools.startswith("torch 2")
    assert "tensorflow" not in card.conversion.tools


@pytest.mark.parametrize("io", ["int8", "uint8", "float"])
def test_int8_files_take_and_give_what_is_asked(files: list[ConversionResult], tmp_path: Path, io: str) -> None:
    images = digits()[0][:20].numpy().transpose(0, 2, 3, 1)[:, None]
    path = tmp_path / "int8.tflite"
    path.write_bytes(quantization.int8(Path(files[1].path).read_bytes(), list(images), io))
    model, wanted = Model(str(path)), "float32" if io == "float" else io
    assert {model.input.dtype, model.output.dtype} == {np.dtype(wanted)}


def test_a_program_gives_what_its_network_gives(here: Path) -> None:
    program = open_source(ConversionJob("digits.pt2", "", value_range=(0.0, 1.0)))
    network = open_source(
        ConversionJob("own_networks:digits", "", weights="checkpoint.pt", side=40, value_range=(0.0, 1.0))
    )
    assert program.input == network.input == WANTED
    images = pictures.noise(5, program.input, 0)
    np.testing.assert_allclose(program.predict(images), network.predict(images), rtol=1e-5, atol=1e-5)
    assert program.parameters == network.parameters


def test_a_program_is_converted(here: Path, tmp_path: Path) -> None:
    _, fp32 = converted(ConversionJob("digits.pt2", str(tmp_path), value_range=(0.0, 1.0), labels="digits"))
    assert (fp32.failed, fp32.agreement, Path(fp32.path).name) == ("", 1.0, "digits_fp32.tflite")


@pytest.mark.usefixtures("here")
def test_an_operation_that_cannot_be_converted_is_named(tmp_path: Path) -> None:
    job = ConversionJob("own_networks:maximum", str(tmp_path), weights="", side=40, value_range=(0.0, 1.0))
    with pytest.raises(OnDeviceError, match=r"^maximum: LiteRT Torch has no adaptive_max_pool2d: replace the layers"):
        converted(job)


@pytest.mark.parametrize(("name", "meaning"), [("one_output", "probability"), ("one_logit", "logit")])
def test_what_one_output_means_is_read_off_the_network(here: Path, name: str, meaning: str) -> None:
    source = open_source(ConversionJob(f"own_networks:{name}", "", weights="none", side=40, value_range=(0.0, 1.0)))
    assert (source.meaning.value, source.classes) == (meaning, 2)


def test_random_weights_tell_pictures_apart_and_are_judged_by_their_logits(here: Path, tmp_path: Path) -> None:
    job = ConversionJob(
        "own_networks:colours", str(tmp_path), weights="none", precisions=("fp32", "int8"), side=48,
        value_range=(-1.0, 1.0), calibration="random", calibration_size=10,
    )  # fmt: skip
    source, fp32, int8 = converted(job)
    assert (source.parameters, fp32.failed, int8.failed) == (8 * 28 + 10 * 9, "", "")
    assert fp32.error_of_spread is not None
    assert int8.error_of_spread is not None
    assert fp32.error_of_spread < 1e-3
    assert fp32.error_of_spread < int8.error_of_spread


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("own_networks:digit", {}, "own_networks has no 'digit'; did you mean digits"),
        ("own_network:digits", {}, "no module own_network, neither in "),
        ("own_networks:no_network", {}, "gives a str, not a torch.nn.Module"),
        ("own_networks:raises", {}, "cannot be called: no weights there"),
        ("own_networks:Pair", {}, "its output is a tuple, not one tensor"),
        ("own_networks:digits", {"side": 48}, "it was given [1, 1, 48, 48]: is that its --size?"),
        ("own_networks:digits", {"side": None}, "its input has no fixed size ([None, None, None, 1]): give --size"),
        ("own_networks:digits", {"value_range": None}, "does not say what values it takes: give --range=-1,1"),
        ("own_networks:digits", {"weights": "other.pt"}, "is not of own_networks:digits: it has no 0.weight, 0.bias"),
        ("own_networks:one_logit", {"weights": "state.pt"}, "of other shapes: 12.weight, 12.bias"),
        ("training.pt2", {}, "training.pt2 was exported as it trains: in Python `torch.export.save("),
        ("digits.pt2", {"side": 41}, "its input is 40 x 40, so --size 41 cannot be had"),
    ],
)
def test_what_cannot_be_built_is_told(name: str, given: dict[str, Any], said: str) -> None:
    assert said in reason(name, **given)


def test_the_working_folder_is_searched_for_the_network_alone(here: Path) -> None:
    (here / "numpy.py").write_text("raise ImportError('not this one')")
    before = list(sys.path)
    try:
        open_source(ConversionJob("own_networks:colours", "", weights="", side=40, value_range=(0.0, 1.0)))
    finally:
        (here / "numpy.py").unlink()
    assert sys.path == before


def test_the_command_converts_from_the_working_folder(folder: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable, "-P", "-m", "ondevice", "convert", "own_networks:digits", "--weights", "state.pt",
            "--size", "40", "--range", "0,1", "--labels", "digits", "--out", str(tmp_path),
        ],
        cwd=folder, capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(factory.__file__).parents[2])},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in tmp_path.glob("*.t*")) == ["digits_fp32.tflite", "digits_fp32.toml"]


FAKE_TIMM = """
from torch import nn


def list_models():
    return ["tiny_net", "small_net"]


def create_model(name, pretrained):
    assert name in list_models() and not pretrained
    pooled = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 1000))
    network = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), *pooled)
    statistics = {"mean": (0.485, 0.456, 0.406), "std": (0.2, 0.2, 0.2)}
    network.pretrained_cfg = {"input_size": (3, 64, 64), "crop_pct": 0.95, **statistics}
    return network
"""
FAKE_UTILS = """
from torch.nn.utils.fusion import fuse_conv_bn_eval


def reparameterize_model(network):
    fused = type(network)(fuse_conv_bn_eval(network[0], network[1]), *network[2:])
    fused.branches = [network]
    return fused
"""


def test_a_librarys_network_is_known_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "timm").mkdir()
    (tmp_path / "timm" / "__init__.py").write_text(FAKE_TIMM)
    (tmp_path / "timm" / "utils.py").write_text(FAKE_UTILS)
    monkeypatch.syspath_prepend(str(tmp_path))
    for module in ("timm", "timm.utils"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    job = ConversionJob("timm:tiny_net", "", weights="none")
    source = open_source(job)
    assert (source.input.height, source.input.crop, source.classes, job.stem) == (64, 0.95, 1000, "tiny_net")
    assert source.input.mean == pytest.approx((123.675, 116.28, 103.53))
    assert source.knows_crop
    assert isinstance(source, LibrarySource)
    assert [type(layer).__name__ for layer in source._network][:2] == ["Conv2d", "AdaptiveAvgPool2d"]
    tensor = torch.from_numpy(source.tensors(pictures.noise(1, source.input, 0)).transpose(0, 3, 1, 2).copy())
    with torch.no_grad():
        np.testing.assert_allclose(source._network(tensor), source._network.branches[0](tensor), rtol=1e-4, atol=1e-5)
    assert "timm has no network 'tiny_nut'; did you mean tiny_net" in reason("timm:tiny_nut", weights="none")
    for module in ("timm", "timm.utils"):
        monkeypatch.delitem(sys.modules, module)
