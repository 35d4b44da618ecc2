"""From a picture to a flight: what is planned for it, and how that is carried out."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
from functools import partial

from ondevice.client.endpoint.description import Aside
from ondevice.client.executors.attempt import Ending, Task
from ondevice.client.executors.cloud import CloudExecutor
from ondevice.client.executors.device import DeviceExecutor
from ondevice.client.flight import Event, Executors, Flight, FlightOptions
from ondevice.client.options import Options
from ondevice.client.planning.plan import Mode, Plan
from ondevice.client.planning.planner import Planner
from ondevice.errors import ImageError
from ondevice.image import describe

# What comes through a pipe, such as a camera's picture, may take seconds, whatever the deadline is.
_PIPE_S = 5.0

_log = logging.getLogger("ondevice.client")


class Dispatcher:
    """Belongs to the client's own thread. device, cloud: None where there is none."""

    def __init__(
        self, mode: Mode, options: Options, device: DeviceExecutor | None, cloud: CloudExecutor | None
    ) -> None:
        self._mode, self._options, self._device, self._cloud = mode, options, device, cloud
        self.planner = Planner(mode, options.confident_in(mode), device, cloud)
        self._numbers = itertools.count()

    async def fly(self, task: Task, aside: Aside) -> Ending:
        """What a task comes to. Raises ImageError for a file that cannot be read."""
        if not task.picture.loaded and (self._cloud or not task.picture.regular):
            await self._load(task, aside)
        model = self.planner.model(task)
        plan = self.planner.plan(task, model)
        flight = Flight(task, plan, Executors(self._device, self._cloud), self._flight_options(task, plan, model))
        ending = await flight.run()
        task.over = True
        if task.late_ms is not None:
            self.planner.overslept(task.late_ms)
        return ending

    async def _load(self, task: Task, aside: Aside) -> None:
        """Read its file. Raises ImageError, also where that comes to no end, as of a pipe that nobody writes to."""
        patient_s = (task.sla_ms + self._options.patient_ms(task.sla_ms)) / 1e3
        try:
            async with asyncio.timeout(None if task.picture.regular else max(patient_s, _PIPE_S)):
                await aside(task.picture.load)
        except TimeoutError as error:
            said = f"{describe(task.picture.source)}: nobody has written it in time; give a picture's file"
            raise ImageError(said, task.picture.source) from error

    def _flight_options(self, task: Task, plan: Plan, model: int) -> FlightOptions:
        cascading = self._mode is Mode.CASCADE
        # What is sent at once, for the device may be late, is as in `auto`.
        confident = math.inf if cascading and plan.send else self._options.confident_in(self._mode)
        return FlightOptions(
            self.planner.guard_ms(task),
            self._options.patient_ms(task.sla_ms),
            confident,
            partial(self._report, next(self._numbers)),
            model,
            self._device.models[model].top1 if self._device else 0.0,
            self._options.anytime,
            self.planner.after_device if cascading and self._cloud and not plan.send else None,
        )

    def _report(self, number: int, at_ms: float, what: str, detail: str) -> None:
        if self._options.observe:
            try:
                self._options.observe(Event(number, at_ms, what, detail))
            except Exception:  # which is not the request's fault
                _log.exception("observe failed")
