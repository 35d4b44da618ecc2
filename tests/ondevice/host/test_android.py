"""Android, from the environments of Termux and proot-distro and a fake getprop."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from ondevice.host import system
from ondevice.host.android import Android
from ondevice.host.description import describe

TERMUX = {"PREFIX": "/data/data/com.termux/files/usr"}
# What a session of proot-distro inherits from Termux, without --isolated.
PROOT = {"ANDROID_ROOT": "/system", "ANDROID_DATA": "/data", "MOZ_FAKE_NO_SANDBOX": "1"}
VARIABLES = ("PREFIX", "ANDROID_ROOT", "ANDROID_DATA")


def android(root: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Android:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    machine = Android()
    machine.root = root
    return machine


def fake(path: Path, properties: dict[str, str]) -> None:
    """A `getprop`."""
    cases = "".join(f"{key}) echo '{value}';;" for key, value in properties.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\ncase "$1" in {cases} *) echo;; esac\n')
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("kernel", "environment", "release", "here", "wheels"),
    [
        ("linux", {}, "6.1.0-13-arm64", False, True),
        ("linux", {"PREFIX": "/usr/local"}, "6.1.0-13-arm64", False, True),
        ("linux", TERMUX, "5.10.157-android13", True, False),
        ("android", {}, "5.10.157-android13", True, False),
        ("darwin", {}, "24.1.0", False, True),
        ("linux", PROOT, "6.17.0-PRoot-Distro", True, True),
        ("linux", PROOT, "5.10.157-android13", True, True),
        ("linux", {}, "6.17.0-PRoot-Distro", True, True),
        ("linux", {"ANDROID_ROOT": "/home/me/aosp"}, "6.1.0-13-arm64", False, True),
        ("linux", {"ANDROID_ROOT": "/system"}, "6.1.0-13-arm64", False, True),
    ],
    ids=[
        "linux", "prefix", "termux", "termux 3.13", "mac", "proot", "own kernel name", "isolated", "build tree", "half"
    ],
)  # fmt: skip
def test_is_here(
    kernel: str,
    environment: dict[str, str],
    release: str,
    here: bool,
    wheels: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "platform", kernel)
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "localhost", release, "#1", "aarch64")))
    machine = android(tmp_path, environment, monkeypatch)
    assert (machine.is_here(), machine.takes_wheels()) == (here, wheels)


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"ro.product.model": "Pixel 6", "ro.soc.model": "Tensor"}, "Pixel 6 (Tensor)"),
        ({"ro.product.model": "LG-D855"}, "LG-D855"),
        ({"ro.soc.model": "SM8450"}, "SM8450"),
        ({}, "Qualcomm Technologies, Inc SM8450"),
    ],
)
def test_the_phone_has_a_name(
    properties: dict[str, str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("Hardware\t: Qualcomm Technologies, Inc SM8450\n")
    fake(tmp_path / "bin/getprop", properties)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    assert android(tmp_path, TERMUX, monkeypatch).cpu_model() == expected


def test_getprop_is_found_off_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path / "system/bin/getprop", {"ro.product.model": "Pixel 2"})
    assert android(tmp_path, PROOT, monkeypatch).cpu_model() == "Pixel 2"


def test_the_constants_of_proot_distro_are_not_taken_for_measurements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/stat").write_text("cpu  1957 0 2877 93280 262 342 254 87 0 0\n")
    (tmp_path / "proc/loadavg").write_text("0.12 0.07 0.02 2/165 765\n")
    machine = android(tmp_path, PROOT, monkeypatch)
    assert (machine.cpu_times(), machine.load_average()) == (None, None)


def test_a_phone_without_control_groups_has_no_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("4:cpu:/\n1:memory:/apps\n0::/uid_10234/pid_4581\n")
    machine = android(tmp_path, TERMUX, monkeypatch)
    assert (machine.cpu_quota(), machine.memory.limit_bytes()) == (None, None)
    assert machine.cpu_budget() == system.usable_cores()
    assert describe(machine)["platform"] == "android"
