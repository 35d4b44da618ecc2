"""Which platform is chosen, and what all platforms have in common."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ondevice import host
from ondevice.host import system
from ondevice.host.base import CpuTimes
from ondevice.host.linux import Linux


@pytest.fixture(autouse=True)
def chosen_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for variable in ("PREFIX", "ANDROID_ROOT", "ANDROID_DATA"):
        monkeypatch.delenv(variable, raising=False)
    host.current.cache_clear()
    yield
    host.current.cache_clear()


def on_board(board: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "proc/device-tree").mkdir(parents=True)
    (folder / "proc/device-tree/model").write_text(board + "\0")
    monkeypatch.setattr(Linux, "root", folder)


@pytest.mark.parametrize(
    ("kernel", "prefix", "board", "name"),
    [
        ("linux", "", "", "linux"),
        ("linux", "/usr/local", "Radxa ROCK 5B", "linux"),
        ("linux", "", "Raspberry Pi 4 Model B Rev 1.4", "raspberry-pi"),
        ("linux", "/data/data/com.termux/files/usr", "", "android"),
        ("android", "", "", "android"),
        ("android", "", "Raspberry Pi 5 Model B Rev 1.0", "android"),
        ("darwin", "", "", "macos"),
        ("freebsd14", "", "", "linux"),
    ],
)
def test_the_platform_is_chosen(
    kernel: str, prefix: str, board: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", kernel)
    monkeypatch.setenv("PREFIX", prefix)
    on_board(board, tmp_path, monkeypatch)
    assert host.current().name == name


def test_the_platform_is_chosen_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = host.current()
    monkeypatch.setattr(sys, "platform", "android")
    assert host.current() is first


@pytest.mark.parametrize(
    ("affinity", "quota", "budget"),
    [(8, None, 8), (8, 2.5, 2), (2, 3.5, 2), (4, 0.5, 1), (1, None, 1), (4, 4.0, 4)],
)
def test_the_budget_is_the_smaller_of_affinity_and_quota(
    affinity: int, quota: float | None, budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(affinity)))
    monkeypatch.setattr(Linux, "cpu_quota", lambda machine: quota)
    assert Linux().cpu_budget() == budget


def test_this_machine() -> None:
    machine = host.current()
    assert 1 <= machine.cpu_budget() <= system.usable_cores() <= system.cores()
    assert machine.memory.total_bytes() > 2**27
    assert machine.cpu_model()
    assert len(set(machine.cpu_features())) == len(machine.cpu_features())
    assert system.kernel_machine() == platform.machine()


@pytest.mark.skipif(not Path("/proc/stat").is_file(), reason="no /proc/stat on this system")
def test_processor_time_of_this_machine_goes_on() -> None:
    before = host.current().cpu_times()
    sum(number * number for number in range(3_000_000))
    after = host.current().cpu_times()
    assert isinstance(before, CpuTimes)
    assert isinstance(after, CpuTimes)
    assert after.busy_s > before.busy_s
    assert after.total_s > before.total_s
    assert after.total_s > after.busy_s + after.steal_s


def test_the_description_is_flat_and_goes_into_json() -> None:
    import json

    facts = host.describe()
    assert json.loads(json.dumps(facts)) == facts
    assert (facts["platform"], facts["python"]) == (host.current().name, platform.python_version())
    assert facts["system"] == f"{platform.system()} {platform.release()}"
    assert all(value is None or isinstance(value, str | int | float) for value in facts.values())
    assert "" not in facts.values()
