"""What `OffloadClient` and `AsyncOffloadClient` share, which is all but how an answer is waited for."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import math
import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future
from functools import partial
from pathlib import Path
from typing import Any, Self

from ondevice.answer import Answer
from ondevice.client.connection import address as addresses
from ondevice.client.connection.address import ServerAddress
from ondevice.client.engine import Engine
from ondevice.client.executors.attempt import Task
from ondevice.client.executors.cloud import CloudExecutor, Location
from ondevice.client.executors.device import DeviceExecutor, check_runners
from ondevice.client.flight import Event, Executors, Flight, FlightOptions
from ondevice.client.options import DEFAULT, Options, checked_deadline, checked_mode
from ondevice.client.picture import Picture
from ondevice.client.planning.plan import Mode, Plan
from ondevice.client.planning.planner import Planner
from ondevice.client.totals import Totals
from ondevice.errors import FailureKind, OffloadError, OnDeviceError, UsageError
from ondevice.image import ImageSource
from ondevice.runner import Runner

Local = Runner | str | Path


class Face:
    """A client as it is set up. Everything that it learns belongs to its engine's thread; `totals` alone is written by
    those who ask, under a lock.

    cloud, device: the executors, None where there is none; to look at.
    """

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
        server = None if endpoint is None else _server(endpoint, options)
        runners = [one if isinstance(one, Runner) else Runner(one) for one in places]
        check_runners(runners)
        self.totals, self._counting = Totals(), threading.Lock()
        self._numbers = itertools.count()
        self._engine = Engine(self._ended, self._begin_anew)
        self.device = DeviceExecutor(runners) if runners and self.mode is not Mode.CLOUD else None
        self.cloud = CloudExecutor(server, self._engine.aside) if server else None
        if self.cloud and self.device:
            self.cloud.labels = self.device.labels
        self._planner = Planner(self.mode, options.confident_in(self.mode), self.device, self.cloud)
        if self.cloud and self.mode is not Mode.DEVICE:
            self._engine.post(self.cloud.discovery.maintain)

    def network_changed(self) -> None:
        """Tell that the network is another one: what was learned of the last one is forgotten."""
        if self.cloud:
            self._engine.post(self.cloud.network.forget)

    def __reduce__(self) -> tuple[type[Self], tuple[Any, ...]]:
        """As its settings, the token among them: where it is unpickled, all is loaded and learned anew."""
        return type(self), self._settings

    # A request, on any thread

    def _task(self, image: ImageSource, sla_ms: float | None) -> Task:
        deadline_ms = self.sla_ms if sla_ms is None else checked_deadline(sla_ms)
        return Task(Picture(image), deadline_ms, self.options.top)

    def _begin(self, task: Task) -> Future[Flight]:
        return self._engine.submit(self._fly(task))

    def _landed(self, flight: Flight) -> Answer:
        """The answer, as it is there for whoever asked. Raises what there is instead."""
        task, result = flight.task, flight.result
        if not isinstance(result, Answer):
            self._count(None, flight)
            raise result or OnDeviceError("the request has ended without a result")
        total_ms = task.elapsed_ms
        answer = dataclasses.replace(result, total_ms=total_ms, on_time=total_ms <= task.sla_ms)
        self._count(answer, flight)
        if flight.held:
            late_ms = max(total_ms - (task.sla_ms - flight.options.guard_ms), 0.0)
            self._engine.post(partial(self._planner.waking.add, late_ms))
        return answer

    def _lost(self, future: Future[Flight], error: BaseException) -> OnDeviceError | None:
        """Count a request that was given up or has failed before it had a flight; what to raise instead of that."""
        future.cancel()
        self._count(None, None)
        closed = isinstance(error, CancelledError | asyncio.CancelledError) and self._engine.closed
        return OffloadError("the client is closed", FailureKind.REFUSED) if closed else None

    def _count(self, answer: Answer | None, flight: Flight | None) -> None:
        with self._counting:
            self.totals.count(answer, flight)

    def _get_ready(self, timeout_s: float) -> Future[bool]:
        if self.cloud is None:
            raise UsageError("the client has no endpoint to get ready")
        return self._engine.submit(self.cloud.discovery.ready(timeout_s))

    def _end(self) -> None:
        if self.device:
            self.device.close()
        self._engine.close()

    # On the engine's thread

    async def _fly(self, task: Task) -> Flight:
        if self.cloud and self.mode is not Mode.DEVICE and not task.picture.loaded:
            await self._engine.aside(task.picture.load)
        model = self._planner.model(task)
        plan = self._planner.plan(task, model)
        flight = Flight(task, plan, Executors(self.device, self.cloud), self._flight_options(task, plan, model))
        await flight.run()
        return flight

    def _flight_options(self, task: Task, plan: Plan, model: int) -> FlightOptions:
        cascading = self.mode is Mode.CASCADE
        # What is sent at once, for the device may be late, is as in `auto`.
        confident = math.inf if cascading and plan.send else self.options.confident_in(self.mode)
        return FlightOptions(
            self._planner.guard_ms(task),
            self.options.patient_ms(task.sla_ms),
            confident,
            partial(self._report, next(self._numbers)),
            model,
            self.device.models[model].top1 if self.device else 0.0,
            self.options.anytime,
            self._planner.after_device if cascading and self.cloud and not plan.send else None,
        )

    def _report(self, number: int, at_ms: float, what: str, detail: str) -> None:
        if self.options.observe:
            self.options.observe(Event(number, at_ms, what, detail))

    def _ended(self) -> None:
        if self.cloud:
            self.cloud.close()

    def _begin_anew(self) -> None:
        """In the child of a fork."""
        self._counting = threading.Lock()
        if self.device:
            self.device.begin_anew()
        if self.cloud:
            self.cloud.begin_anew()


def _check_places(mode: Mode, endpoint: str | None, local: Sequence[Local]) -> None:
    if mode is not Mode.DEVICE and endpoint is None:
        raise UsageError(f"mode {mode} needs an endpoint, such as http://localhost:8000; device needs none")
    if mode is Mode.DEVICE and not local:
        raise UsageError("mode device needs a local model")


def _server(url: str, options: Options) -> Location:
    address = ServerAddress.parse(url, options.host)
    tls = addresses.tls_context(options.verify) if address.scheme == "https" else None
    return Location(address, addresses.bearer(options.token), tls)
