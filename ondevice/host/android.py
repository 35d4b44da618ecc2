"""Android: Termux itself, and a Linux distribution that proot-distro runs in it."""

from __future__ import annotations

import os
import sys

from ondevice.host.base import CpuTimes
from ondevice.host.command import output_of
from ondevice.host.linux import Linux


class Android(Linux):
    """A phone. Android's kernel is Linux, but apps may read little of it."""

    name = "android"

    def is_here(self) -> bool:
        """Whether this is Termux, or a distribution inside it."""
        return _is_termux() or _is_proot_distro()

    def takes_wheels(self) -> bool:
        """Only in a distribution inside Termux: Termux's own Python stands on Android's libc."""
        return not _is_termux()

    def cpu_model(self) -> str:
        """The phone's model, and its system on a chip where Android (12 and later) names it."""
        phone, chip = self._property("ro.product.model"), self._property("ro.soc.model")
        return f"{phone} ({chip})" if phone and chip else phone or chip or super().cpu_model()

    def cpu_times(self) -> CpuTimes | None:
        """None: apps may not read it since Android 8, and proot-distro puts a file of constants in its place."""
        return None

    def load_average(self) -> float | None:
        """None: apps may not read it, as with `cpu_times`."""
        return None

    def _property(self, key: str) -> str:
        return output_of("getprop", key) or output_of(str(self.root / "system/bin/getprop"), key)


def _is_termux() -> bool:
    return sys.platform == "android" or "com.termux" in os.environ.get("PREFIX", "")


def _is_proot_distro() -> bool:
    """Whether this is one.

    It is known by Android's variables, which its sessions inherit, or by the kernel's name, which it makes up for
    isolated ones.
    """
    android = {"ANDROID_ROOT": "/system", "ANDROID_DATA": "/data"}
    return android.items() <= os.environ.items() or os.uname().release.endswith("-PRoot-Distro")
