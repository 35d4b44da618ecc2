"""The endpoint's end of a worker: how its death is noticed."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from ondevice.cloud.backends.workers.frames import Message, frame
from ondevice.cloud.backends.workers.handle import WorkerHandle
from ondevice.cloud.backends.workers.process import WorkerProcess
from ondevice.errors import ModelLoadError, PictureMemoryError, WorkerDiedError
from ondevice.process.death import Death


def nothing() -> None: ...


class Lingering:
    """A process whose socket is closed, and that ends when the test says so."""

    pid = 1

    def __init__(self) -> None:
        self.over = threading.Event()
        self.done: list[str] = []

    def ends(self, within_s: float) -> bool:
        return self.over.wait(30)

    def death(self) -> Death:
        return Death(-9, "")

    def kill(self) -> None:
        self.done.append("killed")

    def end(self) -> None:
        self.done.append("ended")


class Wire(asyncio.Transport):
    """To nowhere; what is closed refuses to be written to, as uvloop's does."""

    closed = False

    def is_closing(self) -> bool:
        return self.closed

    def writelines(self, list_of_data: Any) -> None:
        assert not self.closed


def test_the_loop_goes_on_while_a_worker_takes_its_time_to_end() -> None:
    async def play() -> None:
        process = Lingering()
        worker = WorkerProcess(process)  # type: ignore[arg-type]
        ask, wire = WorkerHandle(worker, nothing, nothing).ask, Wire()
        worker.connection_made(wire)
        before = ask({"op": "image", "model": "a"})
        wire.closed = True
        closing = ask({"op": "image", "model": "a"})
        worker.connection_lost(None)
        after = ask({"op": "image", "model": "a"})
        for _ in range(10):
            await asyncio.sleep(0)
        assert not worker.dead.done()
        process.over.set()
        assert await worker.dead == "a worker process ended (SIGKILL)"
        for asked in (before, closing, after, ask({"op": "image", "model": "a"})):
            with pytest.raises(WorkerDiedError, match="SIGKILL"):
                await asked
        worker.kill()
        assert process.done == ["ended"], "its number may be another's by now"

    asyncio.run(play())


def test_loaded_are_the_models_that_it_will_hold_when_it_has_done_what_it_was_told() -> None:
    async def play() -> None:
        worker = WorkerProcess(Lingering())  # type: ignore[arg-type]
        ask = WorkerHandle(worker, nothing, nothing).ask
        worker.connection_made(Wire())

        def replied(message: Message) -> None:
            worker.data_received(b"".join(frame(message)))

        for operation, model in (("prepare", "prepare far"), ("check", "b"), ("measure", "c"), ("load", "a")):
            asked = ask({"op": operation, "model": model})
        assert worker.loaded == {"a"}
        for _ in range(3):
            replied({})
        replied({"error": "no such file", "kind": "load"})
        assert worker.loaded == set()
        with pytest.raises(ModelLoadError, match="no such file"):
            await asked
        image, unload = ask({"op": "image", "model": "a"}), ask({"op": "unload", "model": "a"})
        assert worker.loaded == set()
        again = ask({"op": "image", "model": "a"})
        replied({"error": "not enough memory", "kind": "memory"})
        assert worker.loaded == {"a"}
        with pytest.raises(PictureMemoryError):
            await image
        for asked in (unload, again):
            replied({})
            await asked

    asyncio.run(play())
