"""One device's link in virtual time: its requests' bytes pass one after the other, as `ondevice link` lets them pass.

What was given up still passes first, and its connection is lost with it.
"""

from __future__ import annotations

import copy
import heapq
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ondevice.errors import UsageError
from ondevice.lab.link.trace import PACKET_BYTES, Cursor
from ondevice.lab.simulate import notation
from ondevice.lab.simulate.legs import NetworkModel, TracedNetwork
from ondevice.timing.arrays import FloatArray

# So many connections the client has open beside those of its requests, at most (`client/executors/spares.py`).
_SPARES = 4
# What a packet that only opens or ends a connection takes of the link: its IP and TCP headers.
_MARK_BYTES = 40


class Passage(NamedTuple):
    """When the endpoint has a request's first packet, and its last."""

    first_ms: float
    last_ms: float


class SharedLink:
    """warm: whether more connections are open than requests are under way, so that none waits for its handshake.
    rtt_ms: what a round trip takes besides.

    Requests come in the order of their times, each on a connection of its own for as long as it is under way. Raises
    UsageError for a network that is not of traces alone.
    """

    def __init__(self, network: NetworkModel, warm: bool = True) -> None:
        self._network = _traced(network)
        self.rtt_ms = self._network.rtt_ms
        self._up = Cursor(self._network.up, 0.0)
        # When each connection that no request has is open.
        self._open_ms = [0.0] * (1 + _SPARES if warm else 1)

    def send(self, at_ms: float, size_bytes: int) -> Passage:
        """Send so many bytes, which are there at at_ms."""
        begins_ms = max(heapq.heappop(self._open_ms), at_ms) if self._open_ms else self._opened_ms(at_ms)
        return self._passed(self._up, begins_ms, size_bytes)

    def foresee(self, at_ms: float, sizes_bytes: Iterable[int]) -> list[Passage]:
        """What sending so many bytes would come to, of each size by itself, none being sent."""
        link = copy.copy(self)
        link._up, link._open_ms = copy.copy(self._up), self._open_ms.copy()
        begins_ms = max(link._open_ms[0], at_ms) if link._open_ms else link._opened_ms(at_ms)
        return [self._passed(copy.copy(link._up), begins_ms, size) for size in sizes_bytes]

    def reply_ms(self, leaves_ms: FloatArray | float, size_bytes: int) -> FloatArray:
        """What replies of so many bytes take that leave at leaves_ms, in its shape."""
        taken: FloatArray = self._network.down.passed_ms(leaves_ms, size_bytes) - leaves_ms + self._half_ms
        return taken

    def keep(self, at_ms: float) -> None:
        """A request has been answered at at_ms, and its connection is free."""
        heapq.heappush(self._open_ms, at_ms)

    def give_up(self, at_ms: float) -> float:
        """A request has been given up at at_ms, with its connection; gives when one in place of it is open."""
        heapq.heappush(self._open_ms, open_ms := self._opened_ms(at_ms, 2 * _MARK_BYTES))
        return open_ms

    @property
    def _half_ms(self) -> float:
        return self.rtt_ms / 2

    def _passed(self, up: Cursor, at_ms: float, size_bytes: int) -> Passage:
        first_ms = up.serve(at_ms, min(size_bytes, PACKET_BYTES))
        last_ms = up.serve(at_ms, size_bytes - PACKET_BYTES) if size_bytes > PACKET_BYTES else first_ms
        return Passage(first_ms + self._half_ms, last_ms + self._half_ms)

    def _opened_ms(self, at_ms: float, size_bytes: int = _MARK_BYTES) -> float:
        """When a connection is open that is begun at at_ms."""
        there_ms = self._up.serve(at_ms, size_bytes) + self._half_ms
        return there_ms + float(self.reply_ms(np.float64(there_ms), _MARK_BYTES))


def _traced(network: NetworkModel) -> TracedNetwork:
    if not isinstance(network, TracedNetwork) or network.outage:
        raise UsageError(
            f"{notation.shortened(network.text)}: uploads are simulated on traces without outages, which alone say "
            "what their bytes take; give trace:NAME_OR_FILE,rtt=MS"
        )
    return network
