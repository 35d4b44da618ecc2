"""A worker process: it holds models, decodes pictures and runs inferences, one after the other, as it is told.

Its argument is a descriptor: it reads frames from there and answers each with one frame, until the other end is closed.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import signal
import socket
import sys
from time import perf_counter
from typing import Any

import numpy as np
from PIL import Image

from ondevice import host, image, remote
from ondevice.cloud.backends.workers.frames import Channel, Message
from ondevice.errors import ImageError, OnDeviceError
from ondevice.models.card import Input
from ondevice.preprocess import Preprocessor
from ondevice.runner import Resolved, Runner, resolve
from ondevice.runtime import TensorSpec

_Reply = tuple[Message, bytes | memoryview]
# Timing stops after so long, however many runs are wanted: a set of large models must be ready in seconds too.
_TIME_MS = 300.0


class Worker:
    """The models that this process holds, and what can be asked of it; every method named after an operation.

    threads: the runtime's, for each inference. runtime: one of `ondevice.runtime.RUNTIMES`, or None.
    """

    def __init__(self, threads: int, runtime: str | None) -> None:
        self._threads, self._runtime = threads, runtime
        self._found: dict[str, Resolved] = {}
        self._runners: dict[str, Runner] = {}
        _warm_up()
        self._preprocessors: dict[str, Preprocessor] = {}

    def answer(self, message: Message, payload: bytes) -> _Reply:
        """The reply to one frame; an error is a reply too."""
        try:
            reply: _Reply = getattr(self, message["op"])(message, payload)
        except ImageError as error:
            return {"error": str(error), "kind": "image"}, b""
        except OnDeviceError as error:
            return {"error": str(error), "kind": "model"}, b""
        return reply

    def load(self, message: Message, payload: bytes) -> _Reply:
        """Load a model, and run it once: the first inference allocates, and packs weights."""
        return self._load(message["model"]), b""

    def describe(self, message: Message, payload: bytes) -> _Reply:
        """Load a model, and say all that the front must know of it."""
        loaded = self._load(message["model"])
        return {**loaded, **_description(self._runners[message["model"]])}, b""

    def unload(self, message: Message, payload: bytes) -> _Reply:
        """Let a model go."""
        self._runners.pop(message["model"], None)
        _give_back()
        return {}, b""

    def measure(self, message: Message, payload: bytes) -> _Reply:
        """Time inferences of a loaded model on noise: a CNN's time does not depend on what it sees."""
        runner, _ = self._ready(message["model"])
        noise = _noise(runner.model.input)
        times: list[float] = []
        while len(times) < message["runs"] and sum(times) < _TIME_MS:
            times.append(_timed(runner, noise)[1])
        return {"invoke_ms": times}, b""

    def image(self, message: Message, payload: bytes) -> _Reply:
        """Classify a compressed picture; the raw output comes along where it is wanted."""
        runner, loaded = self._ready(message["model"])
        start = perf_counter()
        tensor = runner.prepare(payload)
        decode_ms = (perf_counter() - start) * 1e3
        return self._inferred(runner, tensor, decode_ms, message, loaded)

    def tensor(self, message: Message, payload: bytes) -> _Reply:
        """Run a model on its own input tensor."""
        runner, loaded = self._ready(message["model"])
        spec = runner.model.input
        return self._inferred(runner, np.frombuffer(payload, spec.dtype).reshape(spec.shape), 0.0, message, loaded)

    def prepare(self, message: Message, payload: bytes) -> _Reply:
        """Decode a picture for a model that another server holds; the message says what `remote.preparation` gives."""
        model, start = message["model"], perf_counter()
        if model not in self._preprocessors:
            self._preprocessors[model] = remote.preprocessor(message)
        tensor = np.ascontiguousarray(self._preprocessors[model].prepare(payload))
        return {"decode_ms": (perf_counter() - start) * 1e3}, tensor.data.cast("B")

    def _inferred(
        self, runner: Runner, tensor: np.ndarray[Any, Any], decode_ms: float, message: Message, loaded: Message
    ) -> _Reply:
        stored, invoke_ms = _timed(runner, tensor)
        top = [(p.index, p.score) for p in runner.best(stored, message["top"])] if message["top"] else []
        raw = np.ascontiguousarray(stored).data.cast("B") if message["raw"] else b""
        return {"top": top, "decode_ms": decode_ms, "invoke_ms": invoke_ms, **loaded}, raw

    def _ready(self, model: str) -> tuple[Runner, Message]:
        """The model, loaded now if it was not, and then what loading took."""
        loaded = self._load(model) if model not in self._runners else {}
        return self._runners[model], loaded

    def _load(self, model: str) -> Message:
        if model in self._runners:
            return {}
        here = host.current()
        if model not in self._found:
            self._found[model] = resolve(model, self._runtime)
        before, start = here.memory.resident_bytes() or 0, perf_counter()
        runner = Runner(self._found[model], self._threads, self._runtime)
        runner.model.invoke(_noise(runner.model.input))
        load_ms = (perf_counter() - start) * 1e3
        self._runners[model] = runner
        return {"load_ms": load_ms, "resident_bytes": max((here.memory.resident_bytes() or 0) - before, 0)}


def _warm_up() -> None:
    """Decode something: the first JPEG takes ten times as long as the next."""
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "JPEG")
    image.pixels(file.getvalue(), Input(32, 32))


def _give_back() -> None:
    """Return freed memory to the system, which glibc otherwise keeps for itself; other libraries are not asked."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _timed(runner: Runner, tensor: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], float]:
    start = perf_counter()
    stored = runner.model.invoke(tensor)
    return stored, (perf_counter() - start) * 1e3


def _noise(spec: TensorSpec) -> np.ndarray[Any, Any]:
    values = np.random.default_rng(0).integers(0, 100, spec.shape)
    return values.astype(spec.dtype) if spec.dtype != np.float32 else (values / np.float32(100)).astype(np.float32)


def _description(runner: Runner) -> Message:
    card, sizes = runner.card, runner.model.path.stat()
    return {
        "name": runner.name,
        "labels": list(runner.labels.names),
        "background": runner.background,
        "precision": runner.precision,
        "top1": card.accuracy.top1 if card and card.accuracy else None,
        "accuracy_data": card.accuracy.data if card and card.accuracy else "",
        "size_bytes": sizes.st_size,
        "runtime": str(runner.model.runtime),
        "input": _spec(runner.model.input),
        "output": _spec(runner.model.output),
    }


def _spec(spec: TensorSpec) -> Message:
    return {"name": spec.name, "shape": spec.shape, "dtype": spec.dtype.name}


def main() -> None:
    """Serve the descriptor given as the first argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a service manager sends it to all, and it is the server's to handle
    channel = Channel(socket.socket(fileno=int(sys.argv[1])))
    with contextlib.suppress(EOFError, ConnectionError):
        settings, _ = channel.receive()
        worker = Worker(settings["threads"], settings["runtime"])
        channel.send({})
        while True:
            channel.send(*worker.answer(*channel.receive()))
