"""`ondevice doctor`: what this machine has, and what is missing."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ondevice._version import __version__
from ondevice.cli import console
from ondevice.cli.console import Format
from ondevice.cli.options import OutputFormat

if TYPE_CHECKING:
    from ondevice.host import Host

_NOT_SHOWN = "not shown by this system"


def doctor(form: OutputFormat = Format.TABLE) -> None:
    """Report runtime and versions, processor, limits, throttling, and what is installed and missing.

    Exits 1 if no model can be run here.
    """
    from ondevice.errors import OnDeviceError

    rows: list[dict[str, Any]] = [{"what": what, "found": found} for what, found in _facts()]
    failure = None
    try:
        rows.append({"what": "trial", "found": _trial()})
    except OnDeviceError as error:
        failure = error
        rows.append({"what": "trial", "found": f"failed: {error}"})
    console.emit(rows, form)
    if failure:
        raise typer.Exit(1)


def _facts() -> Iterator[tuple[str, str]]:
    from ondevice import host

    machine = host.current()
    yield "ondevice", __version__
    yield "python", f"{platform.python_version()}, {host.system.bits()} bits, {sys.executable}"
    yield "system", f"{platform.system()} {platform.release()} {host.system.kernel_machine()}"
    yield "platform", f"{machine.name}{', a 32-bit system on a 64-bit kernel' if host.system.mixed_bits() else ''}"
    yield from _hardware(machine)
    yield from _software()


def _hardware(machine: Host) -> Iterator[tuple[str, str]]:
    from ondevice.host import system

    quota, limit, sensors = machine.cpu_quota(), machine.memory.limit_bytes(), machine.sensors
    frequency, temperature, throttling = sensors.frequency_mhz(), sensors.temperature_c(), sensors.throttling()
    yield "processor", machine.cpu_model()
    yield "features", " ".join(machine.cpu_features()) or "unknown"
    yield (
        "cores",
        f"{system.cores()}, usable {system.usable_cores()}, quota {'none' if quota is None else f'{quota:g}'}",
    )
    yield "memory", f"{_gib(machine.memory.total_bytes())}, limit {'none' if limit is None else _gib(limit)}"
    yield "governor", sensors.governor() or _NOT_SHOWN
    yield "frequency", _NOT_SHOWN if frequency is None else f"{frequency:.0f} MHz"
    yield "temperature", _NOT_SHOWN if temperature is None else f"{temperature:.1f} °C"
    yield "throttling", _NOT_SHOWN if throttling is None else str(throttling)


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"


def _software() -> Iterator[tuple[str, str]]:
    from ondevice import extras, runtime
    from ondevice.models import files

    for name in runtime.RUNTIMES:
        # TensorFlow takes seconds to import, and its version is found without.
        yield f"runtime {name}", runtime.version(name) or "not installed"
    for extra in sorted(extras.requirements()):
        yield f"extra {extra}", f"missing: {extras.how_to_install(extra)}" if extras.missing(extra) else "installed"
    for what, folder in (("cache", files.cache_dir()), ("data", files.data_dir())):
        yield what, f"{folder}{'' if _writable(folder) else ' (not writable; ONDEVICE_HOME moves it)'}"


def _writable(folder: Path) -> bool:
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    return os.access(existing, os.W_OK)


def _trial() -> str:
    """Classify a bundled picture with the smallest bundled model."""
    from ondevice.models import zoo
    from ondevice.runner import Runner

    smallest = next(e for e in zoo.entries() if e.origin == "bundled")
    with console.quiet_runtime():
        runner = Runner(smallest.card.name)
    answer = runner.classify(min(zoo.samples_dir().glob("*/*.png")))
    return f"{smallest.card.name} answers on {answer.runtime}, {answer.invoke_ms:.2f} ms on {answer.threads} thread"
