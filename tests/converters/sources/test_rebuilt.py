"""A network that people know, built in PyTorch with its real weights: as good in int8 as what it is from."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from converting import converted

from ondevice.converters.job import ConversionJob

torch = pytest.importorskip("torch", reason="PyTorch is not installed: `make test-extras` has it")
pytest.importorskip("litert_torch", reason="LiteRT Torch is not installed: `make test-extras` has it")
h5py = pytest.importorskip("h5py", reason="h5py is not installed: `make test-extras` has it")
# PyTorch's and LiteRT Torch's own, of what will change in Python.
pytestmark = pytest.mark.filterwarnings("default")
NETWORK = """
from torch import nn

# The stride of every depthwise convolution, and how many channels follow it (Howard et al. 2017).
BLOCKS = ((1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512), *((1, 512),) * 5, (2, 1024), (1, 1024))


def unit(taken, given, stride=1, side=1, groups=1):
    # Keras pads what it strides over at the far ends alone.
    padding = [nn.ZeroPad2d((0, 1, 0, 1))] if stride == 2 else []
    convolution = nn.Conv2d(taken, given, side, stride, 1 if (side, stride) == (3, 1) else 0, groups=groups, bias=False)
    return [*padding, convolution, nn.BatchNorm2d(given, 1e-3), nn.ReLU6()]


def mobilenet_v1_quarter():
    layers, taken = unit(3, 8, 2, 3), 8
    for stride, channels in BLOCKS:
        layers += unit(taken, taken, stride, 3, taken) + unit(taken, channels // 4)
        taken = channels // 4
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Conv2d(taken, 1000, 1), nn.Flatten(), nn.Softmax(1))
"""


def weights(path: Path, network: Any) -> dict[str, Any]:
    """The state dictionary of the network, of Keras's file: kernels are [height, width, in, out] there."""
    state, counts = network.state_dict(), {"conv2d": 0, "depthwise_conv2d": 0, "batch_normalization": 0}
    with h5py.File(path) as file:
        for name, layer in network.named_modules():
            depthwise = getattr(layer, "groups", 1) > 1
            if isinstance(layer, torch.nn.Conv2d):
                kind, keys = "depthwise_conv2d" if depthwise else "conv2d", ("weight", "bias")
            elif isinstance(layer, torch.nn.BatchNorm2d):
                kind, keys = "batch_normalization", ("weight", "bias", "running_mean", "running_var")
            else:
                continue
            number, counts[kind] = counts[kind], counts[kind] + 1
            stored = file["layers"][f"{kind}_{number}" if number else kind]["vars"]
            for i, key in enumerate(keys[: len(stored)]):
                values = np.asarray(stored[str(i)])
                if values.ndim == 4:
                    values = values.transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))
                state[f"{name}.{key}"] = torch.from_numpy(values.copy())
    return dict(state)


def test_real_weights_stay_as_good_in_int8(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rebuilt.py").write_text(NETWORK)
    namespace: dict[str, Any] = {}
    exec(NETWORK, namespace)
    keras = data / "keras" / "mobilenet_v1_0.25_128.weights.h5"
    torch.save(weights(keras, namespace["mobilenet_v1_quarter"]()), tmp_path / "state.pt")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "rebuilt", raising=False)
    source, fp32, int8 = converted(
        ConversionJob(
            "rebuilt:mobilenet_v1_quarter", "out", weights="state.pt", precisions=("fp32", "int8"), side=128,
            value_range=(-1.0, 1.0), calibration=str(data / "imagenet"),
        )
    )  # fmt: skip
    assert source.top1 == pytest.approx(0.435, abs=0.01)  # as the same weights have in Keras (docs/converting.md)
    assert (fp32.failed, fp32.agreement, fp32.transposes, int8.failed) == ("", 1.0, 0, "")
    assert int8.top1_difference is not None
    assert int8.top1_difference >= -0.025
    assert int8.float_operators == 0
