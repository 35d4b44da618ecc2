"""The device's own answer: from cards, from saved profiles, given; warm and cold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ondevice.errors import OnDeviceError, UsageError
from ondevice.lab.simulate.device_model import DeviceModel, find, given
from ondevice.timing import profile
from ondevice.timing.profile import Profile

N = 50_000


def mean_ms(phone: DeviceModel) -> float:
    return float(phone.sample(N, np.random.default_rng(0)).mean())


@pytest.mark.parametrize(
    ("text", "published_ms"),
    [
        ("pixel-3:mobilenet_v1_0.25_128", 1.2),
        ("pixel-3:mobilenet_v1_0.25_128/quant", 0.8),
        ("pixel-3:mobilenet_v1_0.25_128/float", 1.2),
        ("raspberry-pi-4:mobilenet_v2_1.0_224/quant", 24.005),
        ("nexus-5", 1240),
    ],
)
def test_published_times(text: str, published_ms: float) -> None:
    phone = find(text, 0.4, {})
    assert (phone.name, phone.top1) == (text, 0.4)
    assert mean_ms(phone) == pytest.approx(published_ms, rel=0.02)


def test_cold_is_with_loading() -> None:
    cold = find("pieslicer-phone:inception_v3/float", 0.78, {}, cold=True)
    assert mean_ms(cold) == pytest.approx(677.9 + 1032, rel=0.02)
    with pytest.raises(UsageError, match="nothing is published of loading"):
        find("raspberry-pi-4:mobilenet_v2_1.0_224", 0.4, {}, cold=True)


def test_the_accuracy_is_given_or_known() -> None:
    assert find("pixel-3:inception_v3", 0.1, {"inception_v3": 0.78}).top1 == 0.1
    assert find("pixel-3:inception_v3", None, {"inception_v3": 0.78}).top1 == 0.78
    with pytest.raises(UsageError, match="accuracy of inception_v3 is not known; give --device-top1"):
        find("pixel-3:inception_v3", None, {})


def test_a_saved_profile(tmp_path: Path) -> None:
    path = tmp_path / "phone.json"
    samples = np.random.default_rng(0).uniform(10, 30, 999).tolist()
    path.write_text(profile.dumps([Profile.of("digits_xs_int8", samples, "pixel-3", "x", 4)]))
    for text in (str(path), f"{path}:digits_xs_int8"):
        phone = find(text, None, {})
        assert mean_ms(phone) == pytest.approx(20, rel=0.02)
        assert 0.5 < phone.top1 < 1
    with pytest.raises(UsageError, match=r"no profile in .*digits_s_int8.*did you mean digits_xs_int8"):
        find(f"{path}:digits_s_int8", None, {})
    with pytest.raises(UsageError, match=r"profiles such as .* do not say what loading takes"):
        find(str(path), None, {}, cold=True)
    path.write_text(profile.dumps([Profile.of("digits_xs_int8", samples, "pixel-3", "x", n) for n in (1, 4)]))
    with pytest.raises(UsageError, match=r"2 profiles of digits_xs_int8 \(pixel-3 with 1 threads, pixel-3 with 4 thr"):
        find(str(path), None, {})
    path.write_text("{}x")
    with pytest.raises(OnDeviceError, match="ondevice bench MODEL --save"):
        find(str(path), None, {})


def test_only_accuracy_and_time() -> None:
    assert (given(0.4, 30).sample(3, np.random.default_rng(0)) == 30).all()
    for top1, ms in ((1.1, 0), (-0.1, 0), (float("nan"), 0), (0.5, -1), (0.5, float("nan")), (0.5, float("inf"))):
        with pytest.raises(UsageError, match="--device-"):
            given(top1, ms)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pixel-33", "no device 'pixel-33'; did you mean pixel-3"),
        ("pixel-3", "of which model. Give pixel-3:MODEL, as `ondevice devices show pixel-3`"),
        ("pixel-3:inception_v9", "no published time on pixel-3 of 'inception_v9'; did you mean inception_v"),
        ("pixel-3:squeezenet/quant", "no kernel of squeezenet on pixel-3 'quant'"),
        ("nowhere.json:x", "nowhere.json: no such file"),
    ],
)
def test_what_is_no_device(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        find(text, 0.5, {})
