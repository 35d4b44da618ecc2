"""One run of what is measured, timed: a classifier on pictures or a random tensor, any other file on random input."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ondevice.bench.record import SIZED
from ondevice.bench.spec import Spec
from ondevice.bench.subject import Subject
from ondevice.errors import ImageError, ModelError, UsageError
from ondevice.models.ends import End
from ondevice.process.messages import Send
from ondevice.random_input import tensors
from ondevice.runner import Runner
from ondevice.runtime import Executable

Timed = tuple[float, float]  # (decode_ms, invoke_ms)
Once = Callable[[int], Timed]  # one run, on the picture of that number


def of(subject: Subject, spec: Spec, send: Send) -> Once:
    """What is timed. Raises UsageError where no picture can be read."""
    if subject.runner is None:
        return _AnyInput(subject.executable, spec.seed, send)
    return _pictures(subject.runner, spec, send) if spec.images else _random(subject.runner, spec.seed)


def sizes(subject: Subject) -> str:
    """The inputs with the shapes that they have now, as a record has them: nothing for a classifier of one size."""
    if subject.runner is not None and not subject.sized:
        return ""
    ends = (End(spec.name, spec.end.dtype, spec.shape, ()) for spec in subject.executable.inputs)
    return SIZED + (", ".join(map(str, ends)) or "none")


def _random(runner: Runner, seed: int) -> Once:
    model = runner.model
    rng = np.random.default_rng(seed)
    if model.input.dtype == np.float32:
        low, high = runner.input.value_range
        tensor: NDArray[Any] = rng.uniform(low, high, model.input.shape).astype(np.float32)
    else:
        limits = np.iinfo(model.input.dtype)
        tensor = rng.integers(limits.min, limits.max, model.input.shape, model.input.dtype, endpoint=True)

    def once(_: int) -> Timed:
        start = perf_counter()
        model.invoke(tensor)
        return 0.0, (perf_counter() - start) * 1e3

    return once


def _pictures(runner: Runner, spec: Spec, send: Send) -> Once:
    good = []
    for image in spec.images:
        try:
            runner.prepare(image)
            good.append(image)
        except ImageError as error:
            send("bad_image", message=str(error))
    if not good:
        raise UsageError("none of the pictures can be read")

    def once(number: int) -> Timed:
        start = perf_counter()
        tensor = runner.prepare(good[number % len(good)])
        ready = perf_counter()
        runner.model.invoke(tensor)
        return (ready - start) * 1e3, (perf_counter() - ready) * 1e3

    return once


class _AnyInput:
    """Runs a file on random input; whole numbers that it does not take, for they count or choose, become 0 or 1."""

    def __init__(self, executable: Executable, seed: int, send: Send) -> None:
        self._executable, self._send = executable, send
        self._given = tensors(executable.inputs, np.random.default_rng(seed))
        self._others = [0, 1] if any(tensor.dtype.itemsize > 1 for tensor in self._integers()) else []

    def __call__(self, number: int) -> Timed:
        try:
            start = perf_counter()
            self._executable.run(self._given)
            return 0.0, (perf_counter() - start) * 1e3
        except ModelError:
            if not self._others:
                raise
        self._take(self._others.pop(0))
        return self(number)

    def _integers(self) -> list[NDArray[Any]]:
        return [tensor for tensor in self._given if tensor.dtype.kind in "iu"]

    def _take(self, value: int) -> None:
        for tensor in self._integers():
            tensor.fill(value)
        self._send("note", message=f"{self._executable.path.name} does not take random whole numbers: all are {value}")
