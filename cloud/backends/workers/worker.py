"""A worker process: it holds models, decodes pictures and runs inferences, one after the other, as it is told.

Its argument is a descriptor: it reads frames from there and answers each with one frame, until the other end is closed.
"""

from __future__ import annotations

import contextlib
import io
import signal
import socket
import sys
from dataclasses import asdict
from time import perf_counter
from typing import Any

import numpy as np
from PIL import Image

from ondevice import image, remote
from ondevice.cloud.backends.workers import failures
from ondevice.cloud.backends.workers.frames import Channel, Message
from ondevice.cloud.backends.workers.held_models import HeldModels
from ondevice.cloud.backends.workers.sample import sample_picture, sample_tensor
from ondevice.errors import ModelError, ModelFaultError, OnDeviceError, PictureMemoryError
from ondevice.models.card import Input
from ondevice.preprocess import Preprocessor
from ondevice.protocol.picture import PictureHead
from ondevice.runner import Runner
from ondevice.runtime import TensorSpec

_Reply = tuple[Message, bytes | memoryview]
# Timing stops after so long, however many runs are wanted: a set of large models must be ready in seconds too.
_TIME_MS = 300.0
# Of three times the median is not the one that was held up.
_DECODES = 3


class Worker:
    """The models that this process holds, and what can be asked of it; every method named after an operation.

    threads: the runtime's, for each inference. runtime: one of `ondevice.runtime.RUNTIMES`, or None. checksums: the
    SHA-256 of models' files that are known already; a file that has another one is not loaded in its place.
    """

    def __init__(self, threads: int, runtime: str | None, checksums: dict[str, str]) -> None:
        self._models = HeldModels(threads, runtime, checksums)
        _warm_up()
        self._preprocessors: dict[str, Preprocessor] = {}

    def answer(self, message: Message, payload: bytes) -> _Reply:
        """The reply to one frame; an error is a reply too."""
        try:
            reply: _Reply = getattr(self, message["op"])(message, payload)
        except OnDeviceError as error:
            return failures.told(error), b""
        except MemoryError:
            return failures.told(PictureMemoryError("not enough memory to prepare the picture", None)), b""
        return reply

    def ping(self, message: Message, payload: bytes) -> _Reply:
        """Show that this process lives."""
        return {}, b""

    def load(self, message: Message, payload: bytes) -> _Reply:
        """Load a model."""
        return self._models.ready(message["model"])[1], b""

    def describe(self, message: Message, payload: bytes) -> _Reply:
        """Load a model, and say all that the front must know of it."""
        runner, loaded = self._models.ready(message["model"])
        return {**loaded, **_description(runner)}, b""

    def check(self, message: Message, payload: bytes) -> _Reply:
        """Whether the model can be loaded, and computes numbers from noise; it stays only if it was there before."""
        held = message["model"] in self._models
        runner, loaded = self._models.ready(message["model"])
        try:
            _refuse_nonsense(runner, _computed(runner, sample_tensor(runner.model.input))[0])
        finally:
            if not held:
                self._models.unload(message["model"])
        return loaded, b""

    def unload(self, message: Message, payload: bytes) -> _Reply:
        """Let a model go."""
        self._models.unload(message["model"])
        return {}, b""

    def measure(self, message: Message, payload: bytes) -> _Reply:
        """Time decoding, and inferences of a loaded model on noise: a CNN's time does not depend on what it sees."""
        runner, _ = self._models.ready(message["model"])
        noise = sample_tensor(runner.model.input)
        times: list[float] = []
        while len(times) < message["runs"] and sum(times) < _TIME_MS:
            times.append(_computed(runner, noise)[1])
        picture = sample_picture(runner.model.input.shape)
        decode_ms = [_prepared(runner, picture)[1] for _ in range(_DECODES)]
        return {"invoke_ms": times, "decode_ms": decode_ms, "picture": list(PictureHead.read(picture))}, b""

    def image(self, message: Message, payload: bytes) -> _Reply:
        """Classify a compressed picture; the raw output comes along where it is wanted."""
        runner, loaded = self._models.ready(message["model"])
        tensor, decode_ms = _prepared(runner, payload, message["cropped"])
        return self._inferred(runner, tensor, decode_ms, message, loaded)

    def tensor(self, message: Message, payload: bytes) -> _Reply:
        """Run a model on its own input tensor."""
        runner, loaded = self._models.ready(message["model"])
        spec = runner.model.input
        return self._inferred(runner, np.frombuffer(payload, spec.dtype).reshape(spec.shape), 0.0, message, loaded)

    def prepare(self, message: Message, payload: bytes) -> _Reply:
        """Decode a picture for a model that another server holds; the message says what `remote.preparation` gives."""
        model, start = message["model"], perf_counter()
        if model not in self._preprocessors:
            self._preprocessors[model] = remote.preprocessor(message)
        tensor = np.ascontiguousarray(self._preprocessors[model].prepare(payload, cropped=message["cropped"]))
        return {"decode_ms": (perf_counter() - start) * 1e3}, tensor.data.cast("B")

    def _inferred(
        self, runner: Runner, tensor: np.ndarray[Any, Any], decode_ms: float, message: Message, loaded: Message
    ) -> _Reply:
        stored, invoke_ms = _computed(runner, tensor)
        if message["op"] == "image" or message["top"]:
            _refuse_nonsense(runner, stored)
        top = [(p.index, p.score) for p in runner.best(stored, message["top"])] if message["top"] else []
        raw = np.ascontiguousarray(stored).data.cast("B") if message["raw"] else b""
        return {"top": top, "decode_ms": decode_ms, "invoke_ms": invoke_ms, **loaded}, raw


def _warm_up() -> None:
    """Decode something: the first JPEG takes ten times as long as the next."""
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "JPEG")
    image.pixels(file.getvalue(), Input(32, 32))


def _prepared(runner: Runner, picture: bytes, cropped: float = 1.0) -> tuple[np.ndarray[Any, Any], float]:
    start = perf_counter()
    tensor = runner.prepare(picture, cropped)
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
        "crop": runner.input.crop,
        "uploads": asdict(card.uploads.shares) if card and card.uploads else None,
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
