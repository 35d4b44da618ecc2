"""What the client's modes have to cope with in the demo: a device, a network, pictures at their times, a deadline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ondevice.lab.link import networks
from ondevice.lab.link.trace import Trace
from ondevice.timing.arrays import FloatArray

# Between a link's opening, when its trace begins, and its first request: the client sees how fast the device is, and
# asks the endpoint for its models. With less the first pictures are decided without either.
LEAD_MS = 1500.0
# What is not answered so long before the next picture is due is given up, so that the next one begins on its time.
_REST_MS = 20.0
# The link's rate is shown as means over so long: a deadline's length, which is what one request sees of it.
RATE_MS = 250.0


@dataclass(frozen=True)
class Scenario:
    """One stream of requests, the same for each mode.

    model, device: what runs here, and what that is. network, seed: see `networks.find`. one_way_ms: half of the base
    round trip. buffer_bytes: see `Direction`. every_ms: from picture to picture. no_signal: for these pictures the
    device is without any network.
    """

    model: str = "digits_s_int8"
    device: str = "pieslicer-phone"
    network: str = "cellular"
    seed: int = 6
    one_way_ms: float = 20.0
    buffer_bytes: int = 64 << 10
    sla_ms: float = 250.0
    every_ms: float = 400.0
    requests: int = 85
    no_signal: range = range(50, 60)

    @property
    def patience_ms(self) -> float:
        """How long after the deadline an answer is waited for where there is none."""
        return self.every_ms - self.sla_ms - _REST_MS

    @property
    def lasts_ms(self) -> float:
        """How long a mode takes over all pictures."""
        return self.due_ms(self.requests)

    def uplink_mbps(self) -> FloatArray:
        """What may pass upwards from the link's opening to the end, Mbit/s, means over RATE_MS each."""
        begins = np.arange(0, self.lasts_ms, RATE_MS)
        mbps = self.traces()[0].deliverable(begins, begins + RATE_MS) * 8 / 1e3 / RATE_MS
        lost = [self.due_ms(number) for number in (self.no_signal.start, self.no_signal.stop)]
        return np.where((begins >= lost[0]) & (begins < lost[1]), 0.0, mbps)

    def due_ms(self, number: int) -> float:
        """When a picture is asked, since the link was opened."""
        return LEAD_MS + number * self.every_ms

    def traces(self) -> tuple[Trace, Trace]:
        """The link's capacity, up and down. Raises UsageError where the network is not one."""
        return networks.find(self.network, self.seed)
