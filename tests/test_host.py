"""What limits this machine: quotas from fake control groups, throttling from a fake vcgencmd."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from ondevice import host

V2 = "0::/a/b/c\n"
V1 = "12:memory:/elsewhere\n4:cpu,cpuacct:/docker/x\n1:name=systemd:/docker/x\n"


def quota(tmp_path: Path, membership: str, settings: dict[str, str]) -> float | None:
    for name, text in settings.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "membership").write_text(membership)
    return host.cpu_quota(tmp_path / "cgroup", tmp_path / "membership")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"a/b/c/cpu.max": "150000 100000\n"}, 1.5),
        ({"a/b/c/cpu.max": "200000 100000\n", "a/b/cpu.max": "max 100000\n", "a/cpu.max": "50000 100000\n"}, 0.5),
        ({"a/b/c/cpu.max": "100000 200000\n", "a/cpu.max": "400000 100000\n"}, 0.5),
        ({"cpu.max": "300000 100000\n"}, 3.0),
        ({"a/b/c/cpu.max": "max 100000\n", "a/cpu.max": "max 100000\n"}, None),
        ({"a/other/cpu.max": "50000 100000\n"}, None),
        ({}, None),
    ],
    ids=["own", "smallest above", "smallest is own", "root", "max", "sibling", "no files"],
)
def test_cpu_quota_v2(settings: dict[str, str], expected: float | None, tmp_path: Path) -> None:
    assert quota(tmp_path, V2, settings) == expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"cpu/docker/x/cpu.cfs_quota_us": "250000\n", "cpu/docker/x/cpu.cfs_period_us": "100000\n"}, 2.5),
        ({"cpu/docker/cpu.cfs_quota_us": "50000\n", "cpu/docker/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"cpu/docker/x/cpu.cfs_quota_us": "-1\n", "cpu/docker/x/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu/docker/x/cpu.cfs_quota_us": "250000\n"}, None),
        ({"memory/docker/x/cpu.max": "50000 100000\n"}, None),
        ({}, None),
    ],
    ids=["own", "above", "none", "no period", "another controller", "no files"],
)
def test_cpu_quota_v1(settings: dict[str, str], expected: float | None, tmp_path: Path) -> None:
    assert quota(tmp_path, V1, settings) == expected


def test_cpu_quota_of_the_root_group_and_of_mixed_hierarchies(tmp_path: Path) -> None:
    assert quota(tmp_path / "a", "0::/\n", {"cpu.max": "70000 100000\n"}) == 0.7
    both = {
        "cpu.max": "max 100000\n",
        "cpu/docker/x/cpu.cfs_quota_us": "10000",
        "cpu/docker/x/cpu.cfs_period_us": "20000",
    }
    assert quota(tmp_path / "b", V1 + "0::/\n", both) == 0.5


def test_cpu_quota_without_control_groups(tmp_path: Path) -> None:
    assert host.cpu_quota(tmp_path / "none", tmp_path / "none either") is None


WORDS = {
    "0x0": "none",
    "0x4": "throttled now",
    "0x50005": "under-voltage now, throttled now, under-voltage since boot, throttled since boot",
    "0x80000": "soft temperature limit since boot",
    "0x2": "frequency capped now",
}


@pytest.mark.parametrize("word", WORDS)
def test_throttling(word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path, f'[ "$1" = get_throttled ] && echo "throttled={word}"', monkeypatch)
    assert host.throttling() == WORDS[word]


@pytest.mark.parametrize("script", ["exit 1", "echo nonsense", "echo throttled=what", "exec sleep 0"])
def test_throttling_where_vcgencmd_fails(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path, script, monkeypatch)
    assert host.throttling() == ""


def test_throttling_without_vcgencmd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert host.throttling() == ""


def fake(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `vcgencmd` on PATH."""
    path = folder / "vcgencmd"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("platform", "prefix", "expected"),
    [
        ("linux", "", False),
        ("linux", "usr/local", False),
        ("linux", "data/com.termux/files/usr", True),
        ("android", "", True),
        ("darwin", "", False),
    ],
)
def test_termux(platform: str, prefix: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv("PREFIX", prefix)
    assert host.is_termux() is expected


def test_bits_are_the_pointers() -> None:
    assert host.bits() == (64 if sys.maxsize > 2**32 else 32)


def test_this_machine() -> None:
    assert 1 <= host.usable_cores() <= host.cores()
    assert host.memory_bytes() > 2**27
    assert host.cpu_model()
    assert len(set(host.cpu_features())) == len(host.cpu_features())
