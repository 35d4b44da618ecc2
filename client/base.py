"""What `OffloadClient` and `AsyncOffloadClient` share, which is all but how an answer is waited for."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import threading
import weakref
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import CancelledError
from functools import partial
from pathlib import Path
from typing import Any, Self

from ondevice.answer import Answer
from ondevice.client.connection import address as addresses
from ondevice.client.connection.address import ServerAddress
from ondevice.client.dispatcher import Dispatcher
from ondevice.client.engine import Engine
from ondevice.client.executors.attempt import Ending, Task
from ondevice.client.executors.cloud import CloudExecutor
from ondevice.client.executors.device import DeviceExecutor, check_runners
from ondevice.client.executors.link import Location
from ondevice.client.options import DEFAULT, Options, checked_deadline, checked_mode
from ondevice.client.picture import Picture
from ondevice.client.planning.plan import Mode
from ondevice.client.totals import Totals
from ondevice.errors import FailureKind, OffloadError, OnDeviceError, UsageError
from ondevice.image import ImageSource
from ondevice.runner import Runner

Local = Runner | str | Path


class BaseClient:
    """A client as it is set up. Everything that it learns belongs to its engine's thread; `totals` alone is written by
    those who ask, under a lock.

    cloud, device: the executors, None where the mode has no use for one or there is none; to look at.
    """

    # Whether those who ask are on an event loop.
    _beside_a_loop = False

    def __init__(
        self,
        endpoint: str | None = None,
        local: Local | Sequence[Local] = (),
        sla_ms: float = 200.0,
        mode: Mode | str = Mode.AUTO,
        options: Options = DEFAULT,
    ) -> None:
        self.sla_ms, self.mode, self.options = checked_deadline(sla_ms), checked_mode(mode), options
        options.check()
        self._settings = endpoint, local, self.sla_ms, self.mode, options
        places = [local] if isinstance(local, Runner | str | Path) else list(local)
        _check_places(self.mode, endpoint, places)
        location = None if endpoint is None else _location(endpoint, options)
        runners = [one if isinstance(one, Runner) else Runner(one) for one in places]
        check_runners(runners)
        self.totals, self._counting = Totals(), threading.Lock()
        # Whoever forgets to close a client has neither its thread nor its connections left once it is gone.
        self._engine = Engine(forked=_weakly(self._begin_anew), gives_way=self._beside_a_loop)
        weakref.finalize(self, self._engine.stop).atexit = False
        self.device = DeviceExecutor(runners) if runners and self.mode is not Mode.CLOUD else None
        self.cloud = _cloud(location, self._engine, self.mode, options)
        self._dispatcher = Dispatcher(self.mode, options, self.device, self.cloud)
        if self.cloud:
            self._engine.ended = self.cloud.link.close
            self.cloud.link.labels = self.device.labels if self.device else ()
            patient_ms = 0.0 if self.device else options.patient_ms(self.sla_ms)
            self.cloud.link.spares.expect(self.sla_ms, self.sla_ms + patient_ms)
            self._engine.post(self.cloud.link.discovery.maintain)

    def network_changed(self) -> None:
        """Tell that the network is another one: what was learned of the last one is forgotten."""
        if self.cloud:
            self._engine.post(self.cloud.link.network_changed)

    def __reduce__(self) -> tuple[type[Self], tuple[Any, ...]]:
        """As its settings, the token among them: where it is unpickled, all is loaded and learned anew."""
        return type(self), self._settings

    # A request, on any thread

    def _task(self, image: ImageSource, sla_ms: float | None) -> Task:
        deadline_ms = self.sla_ms if sla_ms is None else checked_deadline(sla_ms)
        return Task(Picture(image), deadline_ms, self.options.top)

    def _fly(self, task: Task) -> Coroutine[Any, Any, Ending]:
        return self._dispatcher.fly(task, self._engine.aside)

    def _hold_s(self, task: Task) -> float | None:
        """How long is waited before the task's reserve is taken; None: it never has one."""
        if self.cloud is None:
            return None
        return max(task.sla_ms - self._dispatcher.planner.guard_ms(task) - task.elapsed_ms, 0.0) / 1e3

    def _landed(self, task: Task, ending: Ending) -> Answer:
        """The answer, as it is there for whoever asked. Raises what there is instead."""
        if not isinstance(ending.result, Answer):
            self._count(None, ending)
            raise ending.result
        total_ms = task.elapsed_ms
        answer = dataclasses.replace(ending.result, total_ms=total_ms, on_time=total_ms <= task.sla_ms)
        self._count(answer, ending)
        if ending.held:
            self._overslept(task, total_ms)
        return answer

    def _overslept(self, task: Task, total_ms: float) -> None:
        """Have it learned, without waking the engine's thread for that while somebody waits for the answer."""
        planner = self._dispatcher.planner
        task.late_ms = max(total_ms - (task.sla_ms - planner.guard_ms(task)), 0.0)
        if task.over:
            with contextlib.suppress(OffloadError):  # the client was closed meanwhile: the answer is there all the same
                self._engine.post(partial(planner.overslept, task.late_ms))

    def _lost(self, error: BaseException) -> BaseException:
        """Count a request that was given up, or has failed before it had a flight; what to raise."""
        self._count(None, None)
        return self._ended_by(error)

    def _ended_by(self, error: BaseException) -> BaseException:
        """What to raise where a wait has ended so."""
        closed = isinstance(error, CancelledError | asyncio.CancelledError) and self._engine.closed
        return OffloadError("the client is closed", FailureKind.REFUSED) if closed else error

    def _of_frame(self, error: OnDeviceError) -> OnDeviceError:
        """What came of one frame of a stream, which that alone costs. Raises what all others would end in, too."""
        if isinstance(error, UsageError) or self._engine.closed:
            raise error
        return error

    def _count(self, answer: Answer | None, ending: Ending | None) -> None:
        with self._counting:
            self.totals.count(answer, ending)

    async def _get_ready(self, timeout_s: float) -> bool:
        return self.cloud is None or await self.cloud.link.discovery.ready(timeout_s)

    def _end(self) -> None:
        if self.device:
            self.device.close()
        self._engine.close()

    def _begin_anew(self) -> None:
        """In the child of a fork."""
        self._counting = threading.Lock()
        if self.device:
            self.device.begin_anew()
        if self.cloud:
            self.cloud.link.begin_anew()


def _weakly(method: Callable[[], None]) -> Callable[[], None]:
    """The method, as long as anybody else has its object."""
    found = weakref.WeakMethod(method)

    def call() -> None:
        if there := found():
            there()

    return call


def _check_places(mode: Mode, endpoint: str | None, local: Sequence[Local]) -> None:
    if mode is not Mode.DEVICE and endpoint is None:
        raise UsageError(f"mode {mode} needs an endpoint, such as http://localhost:8000; device needs none")
    if mode is Mode.DEVICE and not local:
        raise UsageError("mode device needs a local model")


def _cloud(location: Location | None, engine: Engine, mode: Mode, options: Options) -> CloudExecutor | None:
    if location is None or mode is Mode.DEVICE:
        return None
    return CloudExecutor(location, engine.aside, options.uploads)


def _location(url: str, options: Options) -> Location:
    address = ServerAddress.parse(url, options.host)
    tls = addresses.tls_context(options.verify) if address.scheme == "https" else None
    return Location(address, addresses.bearer(options.token), tls)
