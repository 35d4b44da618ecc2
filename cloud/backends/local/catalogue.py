"""The models that are served here, as workers describe them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from time import monotonic

import numpy as np

from ondevice import records
from ondevice.cloud.backends.local.learner import Learner
from ondevice.cloud.backends.workers.frames import Message
from ondevice.cloud.backends.workers.handle import WorkerHandle
from ondevice.errors import UsageError
from ondevice.models import zoo
from ondevice.protocol.metadata import TensorMetadata
from ondevice.protocol.served import ServedModel
from ondevice.protocol.upload_shares import UploadShares

# What a memory card reads, of which everything here is at most ten times as slow.
_DISK_BYTES_A_MS = 10_000


async def described(worker: WorkerHandle, sources: Sequence[str]) -> list[Message]:
    """What the models are; all are loaded then. Raises ModelError, WorkerDiedError.

    The first that is loaded has the runtime's own memory in it, so the smallest is loaded once before. None is let go
    until all are there: memory that one leaves behind would be taken for the next one's.
    """
    smallest = min(sources, key=_size_bytes)
    for operation in ("load", "unload"):
        await _asked(worker, smallest, operation)
    return [await _asked(worker, source, "describe") for source in sources]


async def timed(worker: WorkerHandle, sources: Sequence[str], messages: Sequence[Message], learner: Learner) -> None:
    """Time the models that are described so, each let go when it was. Raises ModelError, WorkerDiedError."""
    for source, message in zip(sources, messages, strict=True):
        await learner.meet(message, partial(_measured, worker, source), monotonic())
        await _asked(worker, source, "unload")
    learner.met()


async def _measured(worker: WorkerHandle, source: str, runs: int) -> Message:
    return await _asked(worker, source, "measure", runs=runs)


async def _asked(worker: WorkerHandle, source: str, operation: str, **more: int) -> Message:
    expected_ms = _size_bytes(source) / _DISK_BYTES_A_MS
    return (await worker.ask({"op": operation, "model": source, **more}, expected_ms, loads=True))[0]


def _size_bytes(source: str) -> int:
    return zoo.locate(source)[0].stat().st_size


def refuse_doubles(models: Sequence[ServedModel], sources: Sequence[str]) -> None:
    """Raise UsageError where two models have one name; sources: where each is from."""
    first: dict[str, str] = {}
    for served, source in zip(models, sources, strict=True):
        if served.name in first:
            raise UsageError(
                f"two models are called {served.name} ({first[served.name]}, {source}): a name must be one model's; "
                "copy one to another name, or add it to the zoo under one with `ondevice models add FILE --name NAME`"
            )
        first[served.name] = source


def served(message: Message, where: str) -> ServedModel:
    """A worker's description of a model as the endpoint shows it. where: the backend's name."""
    return ServedModel(
        message["name"],
        tuple(message["labels"]),
        message["top1"],
        message["accuracy_data"],
        message["precision"],
        message["size_bytes"],
        where,
        _tensor(message["input"]),
        _tensor(message["output"]),
        message["background"],
        message["crop"],
        records.read(UploadShares, message["uploads"]) if message["uploads"] else None,
    )


def _tensor(spec: Message) -> TensorMetadata:
    return TensorMetadata.of(spec["name"], tuple(spec["shape"]), np.dtype(spec["dtype"]))
