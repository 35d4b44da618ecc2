"""A worker process: it holds models, decodes pictures and runs inferences, one after the other, as it is told.

Its argument is a descriptor: it reads frames from there and answers each with one frame, until the other end is closed.
"""

from __future__ import annotations

import contextlib
import io
import signal
import socket
import sys
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from ondevice import host, image, remote, words
from ondevice.cloud.backends.workers.frames import Channel, Message
from ondevice.cloud.backends.workers.sample import sample_picture
from ondevice.errors import ImageError, ModelError, ModelFaultError, ModelLoadError, OnDeviceError, PictureMemoryError
from ondevice.models import files, zoo
from ondevice.models.card import Input
from ondevice.preprocess import Preprocessor
from ondevice.protocol.picture import PictureHead
from ondevice.runner import Resolved, Runner, resolve
from ondevice.runtime import TensorSpec

_Reply = tuple[Message, bytes | memoryview]
# Timing stops after so long, however many runs are wanted: a set of large models must be ready in seconds too.
_TIME_MS = 300.0
# Of three times the median is not the one that was held up.
_DECODES = 3
# By what class of error the other end knows what could not be done, the narrower first.
_KINDS: tuple[tuple[type[OnDeviceError], str], ...] = (
    (PictureMemoryError, "memory"),
    (ImageError, "image"),
    (ModelLoadError, "load"),
    (ModelFaultError, "fault"),
    (OnDeviceError, "model"),
)


class _Found(NamedTuple):
    """A model's file that was checked, and its size in bytes and time of change, ns, at that time."""

    resolved: Resolved
    as_it_was: tuple[int, int]


class Worker:
    """The models that this process holds, and what can be asked of it; every method named after an operation.

    threads: the runtime's, for each inference. runtime: one of `ondevice.runtime.RUNTIMES`, or None. checksums: the
    SHA-256 of models' files that are known already; a file that has another one is not loaded in its place.
    """

    def __init__(self, threads: int, runtime: str | None, checksums: dict[str, str]) -> None:
        self._threads, self._runtime, self._checksums = threads, runtime, checksums
        self._found: dict[str, _Found] = {}
        self._runners: dict[str, Runner] = {}
        _warm_up()
        self._preprocessors: dict[str, Preprocessor] = {}

    def answer(self, message: Message, payload: bytes) -> _Reply:
        """The reply to one frame; an error is a reply too."""
        try:
            reply: _Reply = getattr(self, message["op"])(message, payload)
        except OnDeviceError as error:
            return {"error": str(error), "kind": next(kind for known, kind in _KINDS if isinstance(error, known))}, b""
        except MemoryError:
            return {"error": "not enough memory to prepare the picture", "kind": "memory"}, b""
        return reply

    def load(self, message: Message, payload: bytes) -> _Reply:
        """Load a model, and run it once: the first inference allocates, and packs weights."""
        return self._load(message["model"]), b""

    def describe(self, message: Message, payload: bytes) -> _Reply:
        """Load a model, and say all that the front must know of it."""
        loaded = self._load(message["model"])
        return {**loaded, **_description(self._runners[message["model"]])}, b""

    def check(self, message: Message, payload: bytes) -> _Reply:
        """Whether the model can be loaded, and computes numbers from noise; it stays only if it was there before."""
        held = message["model"] in self._runners
        runner, loaded = self._ready(message["model"])
        try:
            _refuse_nonsense(runner, _computed(runner, _noise(runner.model.input))[0])
        finally:
            if not held:
                self.unload(message, b"")
        return loaded, b""

    def unload(self, message: Message, payload: bytes) -> _Reply:
        """Let a model go."""
        self._runners.pop(message["model"], None)
        host.current().memory.give_back()
        return {}, b""

    def measure(self, message: Message, payload: bytes) -> _Reply:
        """Time decoding, and inferences of a loaded model on noise: a CNN's time does not depend on what it sees."""
        runner, _ = self._ready(message["model"])
        noise = _noise(runner.model.input)
        times: list[float] = []
        while len(times) < message["runs"] and sum(times) < _TIME_MS:
            times.append(_computed(runner, noise)[1])
        picture = sample_picture(runner.model.input.shape)
        decode_ms = [_prepared(runner, picture)[1] for _ in range(_DECODES)]
        return {"invoke_ms": times, "decode_ms": decode_ms, "picture": list(PictureHead.read(picture))}, b""

    def image(self, message: Message, payload: bytes) -> _Reply:
        """Classify a compressed picture; the raw output comes along where it is wanted."""
        runner, loaded = self._ready(message["model"])
        tensor, decode_ms = _prepared(runner, payload)
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
        stored, invoke_ms = _computed(runner, tensor)
        if message["top"]:
            _refuse_nonsense(runner, stored)
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
        try:
            found = self._checked(model)
            before, start = here.memory.resident_bytes() or 0, perf_counter()
            runner = Runner(found, self._threads, self._runtime)
            runner.model.invoke(_noise(runner.model.input))
        except OnDeviceError as error:
            raise ModelLoadError(str(error), model) from error
        except MemoryError as error:
            raise ModelLoadError(f"{model}: not enough memory to load it", model) from error
        except OSError as error:
            raise ModelLoadError(f"{model}: {words.reason(error)}", model) from error
        load_ms = (perf_counter() - start) * 1e3
        self._runners[model] = runner
        return {"load_ms": load_ms, "resident_bytes": max((here.memory.resident_bytes() or 0) - before, 0)}

    def _checked(self, model: str) -> Resolved:
        """The model's file, known to be the one that it was; it is read again only where it has changed since."""
        path, _ = zoo.locate(model)
        as_it_is = path.stat().st_size, path.stat().st_mtime_ns
        found = self._found.get(model)
        if found is None or found.as_it_was != as_it_is:
            checksum = files.sha256(path)
            if checksum != self._checksums.setdefault(model, checksum):
                raise ModelError(
                    f"{path} is not the file that it was: put it back, or start again with this one", model
                )
            found = self._found[model] = _Found(resolve(model, self._runtime), as_it_is)
        return found.resolved


def _warm_up() -> None:
    """Decode something: the first JPEG takes ten times as long as the next."""
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "JPEG")
    image.pixels(file.getvalue(), Input(32, 32))


def _prepared(runner: Runner, picture: bytes) -> tuple[np.ndarray[Any, Any], float]:
    start = perf_counter()
    tensor = runner.prepare(picture)
    return tensor, (perf_counter() - start) * 1e3


def _computed(runner: Runner, tensor: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], float]:
    """The model's output, and how long it took, ms. Raises ModelFaultError."""
    start = perf_counter()
    try:
        stored = runner.model.invoke(tensor)
    except ModelError as error:
        raise ModelFaultError(str(error), runner.name) from error
    return stored, (perf_counter() - start) * 1e3


def _refuse_nonsense(runner: Runner, stored: np.ndarray[Any, Any]) -> None:
    if stored.dtype.kind == "f" and not np.isfinite(stored).all():
        raise ModelFaultError(f"{runner.name}: its scores are not numbers (NaN or infinite)", runner.name)


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
        "sha256": runner.sha256,
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
        worker = Worker(settings["threads"], settings["runtime"], settings["checksums"])
        channel.send({})
        while True:
            channel.send(*worker.answer(*channel.receive()))
