"""What `ondevice doctor` says of machines other than this one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ondevice import host
from ondevice.cli.console import Format
from ondevice.cli.doctor import doctor
from ondevice.host.linux import Linux

PI = {
    "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
    "proc/self/cgroup": "0::/box\n",
    "sys/fs/cgroup/box/memory.max": f"{2**29}\n",
    "sys/fs/cgroup/box/cpu.max": "150000 100000\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "48312\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "600000\n",
}


@pytest.fixture(autouse=True)
def chosen_anew() -> Iterator[None]:
    host.current.cache_clear()
    yield
    host.current.cache_clear()


def found(
    folder: Path, files: dict[str, str], setup: pytest.MonkeyPatch, say: pytest.CaptureFixture[str]
) -> dict[str, str]:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    setup.setattr(Linux, "root", folder)
    doctor(Format.JSON)
    return {row["what"]: row["found"] for row in json.loads(say.readouterr().out)}


def test_a_32_bit_raspberry_pi_in_a_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(host.system, "bits", lambda: 32)
    monkeypatch.setattr(host.system, "kernel_machine", lambda: "aarch64")
    facts = found(tmp_path, PI, monkeypatch, capsys)
    assert facts["platform"] == "raspberry-pi, a 32-bit system on a 64-bit kernel"
    assert facts["processor"] == "Raspberry Pi 4 Model B Rev 1.4"
    assert facts["cores"].endswith("quota 1.5")
    assert facts["memory"].endswith("limit 0.5 GiB")
    assert (facts["governor"], facts["frequency"], facts["temperature"]) == ("ondemand", "600 MHz", "48.3 °C")


def test_a_machine_that_shows_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = found(tmp_path, {}, monkeypatch, capsys)
    assert facts["platform"] == "linux"
    assert facts["memory"].endswith("limit none")
    assert {facts[what] for what in ("governor", "frequency", "temperature", "throttling")} == {
        "not shown by this system"
    }
