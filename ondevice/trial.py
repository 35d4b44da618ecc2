"""Try a model file that nobody knows in a child process first, so that a crash in the runtime kills the child alone.

A .tflite file is a graph of native kernels' parameters; a malformed one can crash the runtime or keep it busy for ever.
A file that passed is remembered by checksum and runtime in the user's cache.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ondevice.errors import HostileModelError, ModelError, OnDeviceError
from ondevice.models import files
from ondevice.runtime import Model, Runtime

TIMEOUT_S = 120.0
_BAD = 3


def ensure(path: Path, checksum: str, runtime: Runtime) -> None:
    """Return if the file loads and runs, here or in a trial before. Raises ModelError, HostileModelError."""
    passed = files.cache_dir() / "tried" / f"{checksum}.{runtime.name}-{runtime.version}"
    if passed.exists():
        return
    _try_in_child(path, runtime)
    try:
        passed.parent.mkdir(parents=True, exist_ok=True)
        passed.touch()
    except OSError:
        return  # an unwritable cache costs the next run a trial, nothing else


def _try_in_child(path: Path, runtime: Runtime) -> None:
    import signal
    import subprocess

    command = [sys.executable, "-m", "ondevice.trial", str(path), runtime.name]
    try:
        child = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise HostileModelError(
            f"{path}: a single inference took over {TIMEOUT_S:.0f} s in a trial; it was not loaded", str(path)
        ) from error
    if child.returncode < 0:
        name = signal.Signals(-child.returncode).name
        raise HostileModelError(f"{path}: the file crashes {runtime} ({name} in a trial); it was not loaded", str(path))
    if child.returncode:
        lines = child.stdout.decode(errors="replace").strip().splitlines() or ["it failed in a trial run"]
        raise ModelError(lines[-1], str(path))


def _limit() -> None:
    """No core dumps, and no more memory than the machine has, or than we were left."""
    import os
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    allowed = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, allowed))


def _main(path: str, runtime: str) -> int:
    """The child: load the file and run it on black, white and noise."""
    import numpy as np

    _limit()
    try:
        model = Model(path, 1, runtime)
        noise = np.random.default_rng(0).integers(0, 255, model.input.shape)
        for tensor in (np.zeros(model.input.shape), np.ones(model.input.shape), noise):
            model.invoke(tensor.astype(model.input.dtype))
    except OnDeviceError as error:
        sys.stdout.buffer.write(str(error).encode(errors="replace"))
        return _BAD
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
