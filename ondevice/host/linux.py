"""Linux: everything is a file under /proc and /sys; one that is missing or forbidden is "not shown"."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ondevice.host.base import CpuTimes, Host

_CPU_FEATURES = (
    "sse4_2",
    "avx",
    "avx2",
    "avx512f",
    "avx512_vnni",
    "amx_int8",
    "asimd",
    "asimdhp",
    "asimddp",
    "i8mm",
    "neon",
)
# How sensors of the processor are called: Intel, Raspberry Pi and most phones, Qualcomm's older ones, Rockchip. "soc"
# alone would be wrong: on phones that is the battery's state of charge.
_CPU_SENSORS = ("cpu", "pkg", "tsens", "soc-thermal")


class Linux(Host):
    """Any Linux; the other platforms with its kernel build on it. Files are looked up under `root`."""

    name = "linux"
    root: Path = Path("/")

    def is_here(self) -> bool:
        """Always: what another system does not have of Linux's files is not shown."""
        return True

    def board(self) -> str:
        """The single-board computer's name, empty on other machines."""
        # Containers hide the first two; Raspberry Pi's kernel says it a third time.
        for path in ("proc/device-tree/model", "sys/firmware/devicetree/base/model"):
            if text := _read(self.root / path).strip("\0 \n"):
                return text
        return self._field("proc/cpuinfo", "Model")

    def cpu_model(self) -> str:
        """The board's name, else the processor's, else the architecture."""
        named = (self._field("proc/cpuinfo", key) for key in ("model name", "Hardware"))
        return self.board() or next(filter(None, named), self.kernel_machine())

    def cpu_features(self) -> list[str]:
        """The vector instructions that CNN kernels use, of those that the kernel names."""
        named = set((self._field("proc/cpuinfo", "flags") or self._field("proc/cpuinfo", "Features")).split())
        return [feature for feature in _CPU_FEATURES if feature in named]

    def cpu_quota(self) -> float | None:
        """The CPUs' worth of time that the control groups (v2 or v1) grant, the smallest on the way to the root.

        None where there is no quota.
        """
        quotas = (_quota(group) for group in self._groups("cpu"))
        return min((quota for quota in quotas if quota is not None), default=None)

    def governor(self) -> str:
        """The first processor's frequency governor."""
        return _read(self.root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip()

    def frequency_mhz(self) -> float | None:
        """The fastest processor's clock now; in a virtual machine, what it is told."""
        folders = _matching(self.root / "sys/devices/system/cpu", "cpu[0-9]*")
        texts = [_read(folder / "cpufreq/scaling_cur_freq").strip() for folder in folders]
        told = self._field("proc/cpuinfo", "cpu MHz")
        return max((int(text) / 1000 for text in texts if text.isdigit()), default=float(told) if told else None)

    def temperature_c(self) -> float | None:
        """The hottest of the processor's sensors, else the first sensor's temperature, in °C."""
        zones = _matching(self.root / "sys/class/thermal", "thermal_zone*")
        readings = [(_read(zone / "type").lower(), _celsius(_read(zone / "temp"))) for zone in zones]
        shown = [(kind, celsius) for kind, celsius in readings if celsius is not None]
        of_cpu = [celsius for kind, celsius in shown if any(sensor in kind for sensor in _CPU_SENSORS)]
        return max(of_cpu, default=shown[0][1] if shown else None)

    def memory_bytes(self) -> int:
        """The machine's memory."""
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

    def memory_limit_bytes(self) -> int | None:
        """The memory that the control groups (v2 or v1) grant, the smallest on the way to the root.

        None where that is no less than the machine has.
        """
        files = ("memory.max", "memory.limit_in_bytes")
        texts = (_read(group / file).strip() for group in self._groups("memory") for file in files)
        limit = min((int(text) for text in texts if text.isdigit()), default=None)
        # v1 writes "no limit" as a number, a different one for each page size.
        return limit if limit is not None and limit < self.memory_bytes() else None

    def cpu_times(self) -> CpuTimes | None:
        """What all processors together did since boot."""
        # The two fields after these, the guests' time, are counted in the user's already.
        ticks = [int(field) for field in _read(self.root / "proc/stat").partition("\n")[0].split()[1:9]]
        if not any(ticks):  # sandboxes show zeros
            return None
        idle, iowait, steal, total = ticks[3], ticks[4], ticks[7], sum(ticks)
        hertz = os.sysconf("SC_CLK_TCK")
        return CpuTimes((total - idle - iowait - steal) / hertz, total / hertz, steal / hertz)

    def load_average(self) -> float | None:
        """How many processes were running, ready or waiting for a disk, on average over the last minute."""
        text = _read(self.root / "proc/loadavg")
        return float(text.split()[0]) if text else None

    def peak_memory_bytes(self) -> int:
        """The most memory that was resident for this process at any time."""
        import resource

        # The second is inherited from the process that started this one, so it may be too much.
        return self._status_bytes("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def resident_bytes(self) -> int | None:
        """The memory that is resident for this process now."""
        return self._status_bytes("VmRSS")

    def _status_bytes(self, key: str) -> int | None:
        text = self._field("proc/self/status", key)
        return int(text.removesuffix("kB")) * 1024 if text else None

    def _groups(self, controller: str) -> Iterator[Path]:
        """The folders of this process's control groups that have to do with a controller, each with all above it."""
        for line in _read(self.root / "proc/self/cgroup").splitlines():
            _, controllers, group = line.split(":", 2)
            inside = Path(group.lstrip("/"))
            if not controllers or controller in controllers.split(","):
                top = self.root / "sys/fs/cgroup" / (controller if controllers else "")
                yield from (top / part for part in (inside, *inside.parents))

    def _field(self, file: str, key: str) -> str:
        """The first value of a key in a file of `key : value` lines."""
        for line in _read(self.root / file).splitlines():
            name, _, value = line.partition(":")
            if name.strip() == key:
                return value.strip()
        return ""


def _quota(group: Path) -> float | None:
    if text := _read(group / "cpu.max"):
        limit, period = text.split()
        return None if limit == "max" else int(limit) / int(period)
    limit, period = _read(group / "cpu.cfs_quota_us").strip(), _read(group / "cpu.cfs_period_us").strip()
    return int(limit) / int(period) if limit and period and int(limit) > 0 else None


def _celsius(text: str) -> float | None:
    """From a sensor's thousandths; one that is switched off reads zero or less than any processor survives."""
    try:
        celsius = int(text) / 1000
    except ValueError:
        return None
    return celsius if 1 <= celsius < 150 else None


def _matching(folder: Path, pattern: str) -> list[Path]:
    try:
        return sorted(folder.glob(pattern))
    except OSError:  # a phone may forbid the folder
        return []


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
