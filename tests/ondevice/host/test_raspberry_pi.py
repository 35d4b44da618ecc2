"""Raspberry Pi, from a fake /proc and a fake vcgencmd."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ondevice.host.description import describe
from ondevice.host.raspberry_pi import RaspberryPi
from ondevice.host.sensors import Throttling

WORDS = {
    "0x0": "none",
    "0x4": "throttled now",
    "0x50005": "under-voltage now, throttled now, under-voltage since boot, throttled since boot",
    "0x80000": "soft temperature limit since boot",
    "0x2": "frequency capped now",
    "0x20000": "frequency capped since boot",
    "0xe0008": (
        "soft temperature limit now, frequency capped since boot, throttled since boot, "
        "soft temperature limit since boot"
    ),
}


def pi(root: Path, board: str = "Raspberry Pi 4 Model B Rev 1.4\0") -> RaspberryPi:
    (root / "proc/device-tree").mkdir(parents=True)
    (root / "proc/device-tree/model").write_text(board)
    machine = RaspberryPi()
    machine.root = root
    return machine


def fake(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `vcgencmd` on PATH."""
    path = folder / "vcgencmd"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.parametrize("word", WORDS)
def test_throttling(word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path, f'[ "$1" = get_throttled ] && echo "throttled={word}"', monkeypatch)
    assert str(pi(tmp_path).sensors.throttling()) == WORDS[word]


def test_throttling_tells_now_from_since_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path, 'echo "throttled=0x50004"', monkeypatch)
    machine = pi(tmp_path)
    assert machine.sensors.throttling() == Throttling(("throttled",), ("under-voltage", "throttled"))
    assert describe(machine)["throttled"] == "throttled now, under-voltage since boot, throttled since boot"


@pytest.mark.parametrize("script", ["exit 1", "echo nonsense", "echo throttled=what", "exec sleep 0"])
def test_where_vcgencmd_fails(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path, script, monkeypatch)
    machine = pi(tmp_path)
    assert (machine.sensors.throttling(), machine.sensors.temperature_c()) == (None, None)


def test_without_vcgencmd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    machine = pi(tmp_path)
    assert (machine.sensors.throttling(), machine.sensors.temperature_c()) == (None, None)


def test_temperature_is_the_firmware_s_where_linux_has_no_sensor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(tmp_path, """[ "$1" = measure_temp ] && echo "temp=55.8'C" """, monkeypatch)
    machine = pi(tmp_path)
    assert machine.sensors.temperature_c() == 55.8
    zone = tmp_path / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("cpu-thermal\n")
    (zone / "temp").write_text("48312\n")
    assert machine.sensors.temperature_c() == 48.312


@pytest.mark.parametrize(
    ("board", "expected"),
    [
        ("Raspberry Pi 4 Model B Rev 1.4\0", True),
        ("Raspberry Pi Zero 2 W Rev 1.0\0", True),
        ("Orange Pi 5\0", False),
        ("", False),
    ],
)
def test_is_here(board: str, expected: bool, tmp_path: Path) -> None:
    assert pi(tmp_path, board).is_here() is expected


def test_is_here_in_a_container_that_hides_the_device_tree(tmp_path: Path) -> None:
    machine = pi(tmp_path, "")
    (tmp_path / "proc/cpuinfo").write_text(
        "processor\t: 0\nFeatures\t: fp asimd\n\nModel\t\t: Raspberry Pi 5 Model B Rev 1.0\n"
    )
    assert machine.is_here()
    assert machine.cpu_model() == "Raspberry Pi 5 Model B Rev 1.0"
