"""The picture of the distributions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from ondevice.bench import plot
from ondevice.bench.measure import measure
from ondevice.bench.record import BenchRecord
from ondevice.bench.spec import Spec
from ondevice.devices.emulation import Emulation
from ondevice.errors import OnDeviceError, UsageError

pytest.importorskip("matplotlib")

EMULATION = Emulation(
    device="pixel-3", threads=4, predicted_ms=15.2, host_ms=3.4, error=0.06, worst=0.13, models=21, basis="shipped fit",
    load_ms=40.0, load_basis="file size", spread_basis="borrowed",
).as_dict()  # fmt: skip
STARTS = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF", ".PNG": b"\x89PNG"}


@pytest.fixture(scope="module")
def real() -> BenchRecord:
    return measure(Spec("digits_xs_int8", warmup=1, runs=60, min_secs=0))


@pytest.mark.parametrize("suffix", STARTS)
def test_the_file_is_what_its_name_says(real: BenchRecord, tmp_path: Path, suffix: str) -> None:
    plot.distributions([real], tmp_path / f"x{suffix}")
    assert (tmp_path / f"x{suffix}").read_bytes().startswith(STARTS[suffix])
    assert [path.name for path in tmp_path.iterdir()] == [f"x{suffix}"]


def test_the_picture_is_large_enough_to_read_and_not_blank(real: BenchRecord, tmp_path: Path) -> None:
    slow = replace(real, num_threads=2, samples_ms=tuple(100 * value for value in real.samples_ms))
    plot.distributions([real, slow, replace(real, samples_ms=())], tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.width > 200
        assert picture.height > 200
        colors = picture.convert("RGB").getcolors(1 << 20)
    assert colors is not None
    assert len(colors) > 20


def test_the_legend_says_what_was_measured_on_what(
    real: BenchRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import matplotlib as mpl

    monkeypatch.setitem(mpl.rcParams, "svg.fonttype", "none")  # text as text
    emulated = replace(real, emulated=True, device="pixel-3", num_threads=4, emulation=EMULATION)
    plot.distributions([real, emulated], tmp_path / "x.svg")
    drawn = (tmp_path / "x.svg").read_text()
    assert f"digits_xs_int8 on {real.device}, 1 thread, {real.runtime}, n = 60: p50 {real.summary.p50_ms:.3g}" in drawn
    assert "digits_xs_int8 on pixel-3, emulated ± 6%, 4 threads" in drawn
    assert real.verdict in drawn


@pytest.mark.parametrize("name", ["x.gif", "x", "x.png.txt"])
def test_another_kind_of_file_is_refused(real: BenchRecord, tmp_path: Path, name: str) -> None:
    said = rf"--plot makes \.png, \.svg, \.pdf, not '{name}'"
    with pytest.raises(UsageError, match=said):
        plot.check(tmp_path / name)
    with pytest.raises(UsageError, match=said):
        plot.distributions([real], tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_one_line(real: BenchRecord, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OnDeviceError, match=r"file") as caught:
        plot.distributions([real], tmp_path / "file" / "x.png")
    assert "\n" not in str(caught.value)
