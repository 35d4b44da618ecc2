"""macOS, from a fake sysctl and a fake ps."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

import pytest

from ondevice.host import system
from ondevice.host.description import describe
from ondevice.host.macos import MacOS

VALUES = {
    "machdep.cpu.brand_string": "Apple M2 Pro",
    "hw.memsize": "17179869184",
    "hw.optional.neon": "1",
    "hw.optional.arm.FEAT_DotProd": "1",
    "hw.optional.arm.FEAT_FP16": "1",
    "hw.optional.arm.FEAT_I8MM": "0",
}


def fake(path: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command on PATH."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def mac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MacOS:
    cases = "".join(f"{key}) echo '{value}';;" for key, value in VALUES.items())
    unknown = """*) echo "sysctl: unknown oid '$2'" >&2; exit 1;;"""
    fake(tmp_path / "sysctl", f'[ "$1" = -n ] || exit 2; case "$2" in {cases} {unknown} esac', monkeypatch)
    return MacOS()


def test_processor_and_memory(mac: MacOS) -> None:
    assert mac.cpu_model() == "Apple M2 Pro"
    assert mac.cpu_features() == ["asimd", "asimdhp", "asimddp"]
    assert mac.memory.total_bytes() == 16 * 2**30


def test_a_mac_without_sysctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert MacOS().cpu_model() == os.uname().machine
    assert MacOS().cpu_features() == []
    assert MacOS().memory.total_bytes() == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert MacOS().memory.resident_bytes() is None


def test_memory_of_this_process(mac: MacOS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path / "ps", f'[ "$*" = "-o rss= -p {os.getpid()}" ] && echo " 20480"', monkeypatch)
    assert mac.memory.resident_bytes() == 20 * 2**20
    assert mac.memory.peak_bytes() == resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_no_affinity_no_quota_no_sensors(mac: MacOS, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert mac.cpu_budget() == system.usable_cores() == system.cores()
    facts = describe(mac)
    nothing = {name for name, value in facts.items() if value is None}
    assert nothing == {
        "cpu_quota", "governor", "frequency_mhz", "temperature_c", "throttled", "memory_limit_bytes"
    }  # fmt: skip
    assert mac.cpu_times() is None
    assert mac.load_average() == os.getloadavg()[0]


@pytest.mark.parametrize(("kernel", "expected"), [("darwin", True), ("linux", False), ("ios", False)])
def test_is_here(kernel: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", kernel)
    assert MacOS().is_here() is expected
