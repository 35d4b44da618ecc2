"""`ondevice doctor`: what this machine has, and what is missing."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from ondevice._version import __version__
from ondevice.cli import console
from ondevice.cli.console import Format
from ondevice.cli.options import OutputFormat


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

    yield "ondevice", __version__
    yield "python", f"{platform.python_version()}, {host.bits()} bits, {sys.executable}"
    yield (
        "system",
        f"{platform.system()} {platform.release()} {platform.machine()}{', Termux' if host.is_termux() else ''}",
    )
    yield "processor", host.cpu_model()
    yield "features", " ".join(host.cpu_features()) or "unknown"
    yield "cores", _cores()
    yield "memory", f"{host.memory_bytes() / 2**30:.1f} GiB"
    yield "governor", host.governor() or "not shown by this system"
    yield "throttling", host.throttling() or "not shown by this system"
    yield from _software()


def _cores() -> str:
    from ondevice import host

    quota = host.cpu_quota()
    return f"{host.cores()}, usable {host.usable_cores()}, quota {'none' if quota is None else f'{quota:g}'}"


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
