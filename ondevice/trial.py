"""Try a model file that nobody knows in a child process first, so that a crash in the runtime kills the child alone.

A .tflite file is a graph of native kernels' parameters; a malformed one can crash the runtime or keep it busy for ever.
A file that passed is remembered by checksum and runtime in the user's cache.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ondevice.errors import HostileModelError, ModelError, OnDeviceError
from ondevice.models import files
from ondevice.runtime import Executable, Runtime

# A longer one leaves the user waiting for a file that hangs; a shorter one refuses large models on slow devices.
TIMEOUT_S = 120.0
# The exit status that means: the last line says what is wrong with the file. Python itself ends with 1 and 2.
_BAD = 3


def ensure(path: Path, checksum: str, runtime: Runtime, shapes: Sequence[tuple[int, ...]] = ()) -> None:
    """Return if the file loads and runs, whatever it computes, here or in a trial before.

    shapes: as `Executable` takes them; other ones are another trial. Raises ModelError, HostileModelError.
    """
    sizes = "".join("." + "x".join(map(str, shape)) for shape in shapes)
    passed = files.cache_dir() / "tried" / f"{checksum}.{runtime.name}-{runtime.version}{sizes}"
    if passed.exists():
        return
    _try_in_child(path, runtime, shapes)
    try:
        passed.parent.mkdir(parents=True, exist_ok=True)
        passed.touch()
    except OSError:
        return  # an unwritable cache costs the next run a trial, nothing else


def _try_in_child(path: Path, runtime: Runtime, shapes: Sequence[tuple[int, ...]]) -> None:
    from ondevice.process import child

    with child.start("ondevice.trial", str(path), runtime.name, json.dumps(shapes)) as trial:
        if not trial.ends(TIMEOUT_S):
            raise HostileModelError(
                f"{path}: a single inference took over {TIMEOUT_S:.0f} s in a trial; it was not loaded", str(path)
            )
        death = trial.death()
    if death.status < 0:
        raise HostileModelError(
            f"{path}: the file crashes {runtime} ({death.cause} in a trial); it was not loaded", str(path)
        )
    if death.status == _BAD:
        raise ModelError(death.said, str(path))
    if death.status:
        raise ModelError(f"{path}: its trial run failed {death}", str(path))


def _limit() -> None:
    """No core dumps, and no more memory than the machine has, or than we were left."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    allowed = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, allowed))


def _run(executable: Executable) -> None:
    """Run it on black, white and noise; raises ModelError where it takes none of them."""
    import numpy as np

    from ondevice.random_input import tensors

    noise = tensors(executable.inputs, np.random.default_rng(0))
    failed: list[ModelError] = []
    tried = ([np.zeros_like(tensor) for tensor in noise], [np.ones_like(tensor) for tensor in noise], noise)
    for given in tried:
        try:
            executable.run(given)
        except ModelError as error:  # a number that counts or chooses may have to be another one
            failed.append(error)
    if len(failed) == len(tried):
        raise failed[0]


def main() -> None:
    """In the child: load the file and run it; its path, the runtime and the shapes are given as arguments."""
    _limit()
    path, runtime, shapes = sys.argv[1:]
    try:
        _run(Executable(path, 1, runtime, [tuple(shape) for shape in json.loads(shapes)]))
    except OnDeviceError as error:
        sys.stdout.buffer.write(str(error).encode(errors="replace"))
        sys.stdout.flush()
        os._exit(_BAD)  # at once: it is the last line that is read
