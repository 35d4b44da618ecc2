"""From a picture to a flight: what is planned for it, and how that is carried out."""

from __future__ import annotations

import itertools
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
        if self._cloud and self._mode is not Mode.DEVICE and not task.picture.loaded:
            await aside(task.picture.load)
        model = self.planner.model(task)
        plan = self.planner.plan(task, model)
        flight = Flight(task, plan, Executors(self._device, self._cloud), self._flight_options(task, plan, model))
        return await flight.run()

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
            self._options.observe(Event(number, at_ms, what, detail))
