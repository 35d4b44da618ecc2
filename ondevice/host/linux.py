"""Linux: everything is a file under /proc and /sys; one that is missing or forbidden is "not shown"."""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

from ondevice.host.base import CpuTimes, Host
from ondevice.host.cgroups import groups, memory_limit_of, quota_of
from ondevice.host.memory import Memory
from ondevice.host.procfs import field, matching, read
from ondevice.host.sensors import Sensors
from ondevice.host.system import kernel_machine

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

    @property
    def memory(self) -> Memory:
        """The memory as /proc and the control groups show it."""
        return LinuxMemory(self.root)

    @property
    def sensors(self) -> Sensors:
        """Clock and heat as /sys shows them."""
        return LinuxSensors(self.root)

    def board(self) -> str:
        """The single-board computer's name, empty on other machines."""
        # Containers hide the first two; Raspberry Pi's kernel says it a third time.
        for path in ("proc/device-tree/model", "sys/firmware/devicetree/base/model"):
            if text := read(self.root / path).strip("\0 \n"):
                return text
        return field(self.root / "proc/cpuinfo", "Model")

    def cpu_model(self) -> str:
        """The board's name, else the processor's, else the architecture."""
        named = (field(self.root / "proc/cpuinfo", key) for key in ("model name", "Hardware"))
        return self.board() or next(filter(None, named), kernel_machine())

    def cpu_features(self) -> list[str]:
        """The vector instructions that CNN kernels use, of those that the kernel names."""
        cpuinfo = self.root / "proc/cpuinfo"
        named = set((field(cpuinfo, "flags") or field(cpuinfo, "Features")).split())
        return [feature for feature in _CPU_FEATURES if feature in named]

    def cpu_quota(self) -> float | None:
        """The CPUs' worth of time that the control groups (v2 or v1) grant, the smallest on the way to the root.

        None without a quota.
        """
        quotas = (quota_of(group) for group in groups(self.root, "cpu"))
        return min((quota for quota in quotas if quota is not None), default=None)

    def cpu_times(self) -> CpuTimes | None:
        """What all processors together did since boot."""
        # The two fields after these, the guests' time, are counted in the user's already.
        ticks = [int(ticks) for ticks in read(self.root / "proc/stat").partition("\n")[0].split()[1:9]]
        if not any(ticks):  # sandboxes show zeros
            return None
        idle, iowait, steal, total = ticks[3], ticks[4], ticks[7], sum(ticks)
        hertz = os.sysconf("SC_CLK_TCK")
        return CpuTimes((total - idle - iowait - steal) / hertz, total / hertz, steal / hertz)

    def load_average(self) -> float | None:
        """How many processes were running, ready or waiting for a disk, on average over the last minute."""
        text = read(self.root / "proc/loadavg")
        return float(text.split()[0]) if text else None


class LinuxMemory(Memory):
    """Memory as /proc and the control groups under `root` show it."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def limit_bytes(self) -> int | None:
        """What the control groups (v2 or v1) grant, the smallest on the way to the root.

        None where the machine has no more than that.
        """
        limits = (memory_limit_of(group) for group in groups(self._root, "memory"))
        limit = min((limit for limit in limits if limit is not None), default=None)
        # v1 writes "no limit" as a number, a different one for each page size.
        return limit if limit is not None and limit < self.total_bytes() else None

    def peak_bytes(self) -> int:
        """The most that was resident for this process at any time."""
        import resource

        # The second is inherited from the process that started this one, so it may be too much.
        return self._status_bytes("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def resident_bytes(self) -> int | None:
        """What is resident for this process now."""
        return self._status_bytes("VmRSS")

    def give_back(self) -> bool:
        """Return what glibc keeps; other C libraries have no such call."""
        with contextlib.suppress(OSError, AttributeError):
            return bool(ctypes.CDLL(None).malloc_trim(0))
        return False

    def _status_bytes(self, key: str) -> int | None:
        text = field(self._root / "proc/self/status", key)
        return int(text.removesuffix("kB")) * 1024 if text else None


class LinuxSensors(Sensors):
    """Clock and heat as /sys under `root` shows them."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def governor(self) -> str:
        """The first processor's frequency governor."""
        return read(self._root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip()

    def frequency_mhz(self) -> float | None:
        """The fastest processor's clock now; in a virtual machine, what its host says."""
        folders = matching(self._root / "sys/devices/system/cpu", "cpu[0-9]*")
        texts = [read(folder / "cpufreq/scaling_cur_freq").strip() for folder in folders]
        virtual = field(self._root / "proc/cpuinfo", "cpu MHz")
        return max((int(text) / 1000 for text in texts if text.isdigit()), default=float(virtual) if virtual else None)

    def temperature_c(self) -> float | None:
        """The hottest of the processor's sensors, else the first sensor's temperature, in °C."""
        zones = matching(self._root / "sys/class/thermal", "thermal_zone*")
        readings = [(read(zone / "type").lower(), _celsius(read(zone / "temp"))) for zone in zones]
        shown = [(kind, celsius) for kind, celsius in readings if celsius is not None]
        of_cpu = [celsius for kind, celsius in shown if any(sensor in kind for sensor in _CPU_SENSORS)]
        return max(of_cpu, default=shown[0][1] if shown else None)


def _celsius(text: str) -> float | None:
    """The temperature that a sensor gives in thousandths; one that is off gives zero, or what none survives."""
    try:
        celsius = int(text) / 1000
    except ValueError:
        return None
    return celsius if 1 <= celsius < 150 else None
