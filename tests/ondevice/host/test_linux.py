"""Linux, from fake /proc and /sys trees: processor, sensors, control groups, and all that may be missing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ondevice.host.description import describe
from ondevice.host.linux import Linux

V2 = "0::/a/b/c\n"
V1 = "12:memory:/elsewhere\n4:cpu,cpuacct:/docker/x\n1:name=systemd:/docker/x\n"
MIB = 2**20


def linux(root: Path, files: dict[str, str]) -> Linux:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    machine = Linux()
    machine.root = root
    return machine


def grouped(root: Path, membership: str, settings: dict[str, str]) -> Linux:
    files = {f"sys/fs/cgroup/{name}": text for name, text in settings.items()}
    return linux(root, {"proc/self/cgroup": membership, **files})


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
    assert grouped(tmp_path, V2, settings).cpu_quota() == expected


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
    assert grouped(tmp_path, V1, settings).cpu_quota() == expected


def test_cpu_quota_of_the_root_group_and_of_mixed_hierarchies(tmp_path: Path) -> None:
    assert grouped(tmp_path / "a", "0::/\n", {"cpu.max": "70000 100000\n"}).cpu_quota() == 0.7
    both = {
        "cpu.max": "max 100000\n",
        "cpu/docker/x/cpu.cfs_quota_us": "10000",
        "cpu/docker/x/cpu.cfs_period_us": "20000",
    }
    assert grouped(tmp_path / "b", V1 + "0::/\n", both).cpu_quota() == 0.5


@pytest.mark.parametrize(
    ("membership", "settings", "expected"),
    [
        (V2, {"a/b/c/memory.max": f"{256 * MIB}\n"}, 256 * MIB),
        (V2, {"a/b/c/memory.max": f"{256 * MIB}\n", "a/memory.max": f"{64 * MIB}\n"}, 64 * MIB),
        (V2, {"a/b/c/memory.max": "max\n", "a/b/memory.max": f"{96 * MIB}\n"}, 96 * MIB),
        (V2, {"a/b/c/memory.max": "max\n"}, None),
        (V2, {"a/b/c/memory.max": f"{2**50}\n"}, None),
        (V1, {"memory/elsewhere/memory.limit_in_bytes": f"{128 * MIB}\n"}, 128 * MIB),
        (V1, {"memory/docker/x/memory.limit_in_bytes": f"{128 * MIB}\n"}, None),
        (V1, {"memory/elsewhere/memory.limit_in_bytes": "9223372036854771712\n"}, None),
        (V1, {"memory/elsewhere/memory.limit_in_bytes": "9223372036854710272\n"}, None),
        (V1, {}, None),
    ],
    ids=["own", "above", "max below", "max", "more than there is", "v1", "another's", "no v1", "64k pages", "no files"],
)
def test_memory_limit(membership: str, settings: dict[str, str], expected: int | None, tmp_path: Path) -> None:
    assert grouped(tmp_path, membership, settings).memory.limit_bytes() == expected


CPUINFO_X86 = (
    "processor\t: 0\nmodel\t\t: 1\nmodel name\t: AMD EPYC\ncpu MHz\t\t: 2445.404\nflags\t\t: fpu avx2 sse4_2\n"
)
CPUINFO_ARM = "processor\t: 0\nFeatures\t: fp asimd asimddp\n\nHardware\t: Qualcomm SM8450\n"


def test_processor_of_a_desktop_and_of_a_board(tmp_path: Path) -> None:
    desktop = linux(tmp_path / "x86", {"proc/cpuinfo": CPUINFO_X86})
    assert (desktop.cpu_model(), desktop.cpu_features()) == ("AMD EPYC", ["sse4_2", "avx2"])
    arm = linux(tmp_path / "arm", {"proc/cpuinfo": CPUINFO_ARM})
    assert (arm.cpu_model(), arm.cpu_features()) == ("Qualcomm SM8450", ["asimd", "asimddp"])
    board = linux(tmp_path / "board", {"proc/cpuinfo": CPUINFO_ARM, "proc/device-tree/model": "Radxa ROCK 5B\0"})
    assert board.cpu_model() == "Radxa ROCK 5B"
    assert linux(tmp_path / "none", {}).cpu_model() == os.uname().machine


def test_clock_and_governor(tmp_path: Path) -> None:
    cpus = "sys/devices/system/cpu"
    files = {
        f"{cpus}/cpu0/cpufreq/scaling_cur_freq": "600000\n",
        f"{cpus}/cpu0/cpufreq/scaling_governor": "ondemand\n",
        f"{cpus}/cpu7/cpufreq/scaling_cur_freq": "2995200\n",
        f"{cpus}/cpufreq/policy0/scaling_cur_freq": "9900000\n",
    }
    machine = linux(tmp_path / "phone", files)
    assert (machine.sensors.frequency_mhz(), machine.sensors.governor()) == (2995.2, "ondemand")
    assert linux(tmp_path / "virtual", {"proc/cpuinfo": CPUINFO_X86}).sensors.frequency_mhz() == 2445.404


@pytest.mark.parametrize(
    ("zones", "expected"),
    [
        ([("cpu-thermal", "48312")], 48.312),
        ([("acpitz", "27800"), ("x86_pkg_temp", "61000")], 61.0),
        ([("battery", "99000"), ("cpu-0-0-usr", "52100"), ("cpu-1-3-usr", "58700")], 58.7),
        ([("soc", "88000"), ("tsens_tz_sensor4", "41000")], 41.0),
        ([("cpu-thermal", "-273000"), ("acpitz", "35000")], 35.0),
        ([("cpu-thermal", "0")], None),
        ([("cpu-thermal", "")], None),
        ([("BIG", "44000"), ("G3D", "47000")], 44.0),
        ([], None),
    ],
    ids=["pi", "intel", "phone", "charge is not heat", "off", "zero", "unreadable", "first", "none"],
)
def test_temperature(zones: list[tuple[str, str]], expected: float | None, tmp_path: Path) -> None:
    files = {}
    for number, (kind, text) in enumerate(zones):
        files[f"sys/class/thermal/thermal_zone{number}/type"] = kind + "\n"
        files[f"sys/class/thermal/thermal_zone{number}/temp"] = text + "\n"
    assert linux(tmp_path, files).sensors.temperature_c() == expected


def test_processor_time_counts_neither_guests_twice_nor_waiting(tmp_path: Path) -> None:
    ticks = [
        100,
        20,
        30,
        5000,
        400,
        5,
        6,
        70,
        50,
        10,
    ]  # user nice system idle iowait irq softirq steal guest guest_nice
    text = f"cpu  {' '.join(map(str, ticks))}\ncpu0 1 1 1 1 1 1 1 1 0 0\n"
    times = linux(tmp_path, {"proc/stat": text}).cpu_times()
    assert times is not None
    hertz = os.sysconf("SC_CLK_TCK")
    assert [round(seconds * hertz) for seconds in times] == [161, 5631, 70]


def test_processor_time_of_a_sandbox_that_shows_zeros(tmp_path: Path) -> None:
    assert linux(tmp_path, {"proc/stat": "cpu  0 0 0 0 0 0 0 0 0 0\n"}).cpu_times() is None


def test_load_and_memory(tmp_path: Path) -> None:
    status = "Name:\tpython\nVmHWM:\t   21240 kB\nVmRSS:\t    2040 kB\n"
    machine = linux(tmp_path, {"proc/loadavg": "1.25 0.56 0.24 2/96 4581\n", "proc/self/status": status})
    assert machine.load_average() == 1.25
    assert (machine.memory.peak_bytes(), machine.memory.resident_bytes()) == (21240 * 1024, 2040 * 1024)


@pytest.fixture
def forbidden(tmp_path: Path) -> Iterator[Path]:
    """A /proc and /sys that exist and may not be read."""
    for name in ("proc/self", "sys/class/thermal", "sys/fs/cgroup", "sys/devices/system/cpu"):
        (tmp_path / name).mkdir(parents=True)
    tmp_path.chmod(0)
    user = os.geteuid()
    if user == 0:  # root may read everything
        os.seteuid(65534)
    yield tmp_path
    os.seteuid(user)
    tmp_path.chmod(0o700)


def shows_nothing(machine: Linux) -> None:
    facts = describe(machine)
    shown = {name for name, value in facts.items() if value is not None}
    assert facts["cpu_model"] == os.uname().machine
    assert shown == {
        "platform", "cpu_model", "cores", "usable_cores", "memory_bytes", "machine", "bits", "system", "python"
    }  # fmt: skip
    assert machine.cpu_features() == []
    assert (machine.cpu_times(), machine.load_average(), machine.memory.resident_bytes()) == (None, None, None)
    assert machine.memory.peak_bytes() > MIB


def test_what_is_forbidden_is_not_shown(forbidden: Path) -> None:
    with pytest.raises(PermissionError):
        (forbidden / "proc/stat").read_text()
    shows_nothing(linux(forbidden, {}))


def test_what_is_missing_is_not_shown(tmp_path: Path) -> None:
    shows_nothing(linux(tmp_path / "nothing", {}))
