"""For `progressive.py`: uploads over one link in virtual time, an endpoint that may answer from a part, a client.

No sockets and no networks run here: when packets pass follows from a trace, and whether an answer is right was measured
before (`cuts.py`). What the client learns it learns by its own code.
"""

from __future__ import annotations

import bisect
import heapq
import itertools
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from cuts import HEAD_BYTES, PACKET_BYTES, SHARES, Option

from ondevice.client.network import NetworkEstimates, NetworkSample
from ondevice.lab.link.trace import PACKET_BYTES as LINE_BYTES
from ondevice.lab.link.trace import Cursor, Trace
from ondevice.selection.replies import Replies
from ondevice.timing.arrays import FloatArray

# One way, beside what the trace takes, and how far each packet's is off at most.
LATENCY_MS, JITTER_MS = 20.0, 5.0
# Decoding and inference of the most accurate model; the reply, in one packet.
SERVICE_MS, REPLY_BYTES = 12.0, 400
# What decoding a progressive JPEG takes more: at 224, quality 75, 0.65 ms for 0.22 on a desktop, at 256, 90, 1.34 for
# 0.31. That of a larger picture is so many times as much.
PROGRESSIVE_MS = 0.5
# So much before is not after, in floats.
GRAIN_MS = 1e-3


class Network(NamedTuple):
    """A link. buffer_packets: what may wait in it; the rest waits at the sender, and is dropped when a request ends."""

    name: str
    up: Trace
    down: Trace
    buffer_packets: int


class Opportunities:
    """A trace's, for one time at once: a tenth of what arrays take."""

    def __init__(self, trace: Trace) -> None:
        self._stamps_ms, self._period_ms = trace.stamps_ms.tolist(), trace.period_ms

    def before(self, at_ms: float) -> int:
        """How many there are before."""
        periods = math.ceil(at_ms / self._period_ms) - 1
        rest = bisect.bisect_left(self._stamps_ms, at_ms - periods * self._period_ms)
        return max(periods * len(self._stamps_ms) + rest, 0)

    def time_ms(self, index: int) -> float:
        """Of the one of this index."""
        periods, stamp = divmod(index, len(self._stamps_ms))
        return float(periods * self._period_ms + self._stamps_ms[stamp])


@lru_cache
def _opportunities(trace: Trace) -> Opportunities:
    return Opportunities(trace)


class Link:
    """The packets of all requests, one after the other. jitter_ms [requests, packets]: the same for all policies."""

    def __init__(self, network: Network, jitter_ms: FloatArray) -> None:
        self.network, self._jitter_ms = network, jitter_ms
        self._cursor, self._departed, self._arrived = Cursor(network.up, 0.0), list[float](), -math.inf
        self._down, self._reply = _opportunities(network.down), math.ceil(REPLY_BYTES / network.down.opportunity_bytes)

    def enters_ms(self, at_ms: float) -> float:
        """When the next packet finds room in the link."""
        room = len(self._departed) - self.network.buffer_packets
        return max(at_ms, self._departed[room]) if room >= 0 else at_ms

    def send(self, request: Request, packet: int) -> float:
        """Send a packet of a request; gives when it arrives."""
        departs_ms = self._cursor.serve(self.enters_ms(request.at_ms), request.line_bytes(packet))
        self._departed.append(departs_ms)
        self._arrived = max(self._arrived, departs_ms + LATENCY_MS + float(self._jitter_ms[request.number, packet]))
        return self._arrived

    def replies_ms(self, leaves_ms: float, request: int) -> float:
        """When the reply to a request is there that leaves then."""
        passed_ms = self._down.time_ms(self._down.before(leaves_ms) + self._reply - 1)
        return max(passed_ms, leaves_ms) + LATENCY_MS + float(self._jitter_ms[request, -1])

    def last_leaves_ms(self, due_ms: float, request: int) -> float:
        """When a reply must leave at the latest to be there by then."""
        by_ms = due_ms - LATENCY_MS - float(self._jitter_ms[request, -1]) - GRAIN_MS
        last = self._down.before(by_ms) - self._reply
        return min(self._down.time_ms(last) - GRAIN_MS, by_ms) if last >= 0 else -math.inf

    def tried(self) -> Link:
        """Another link in the same state, for packets that are then not sent."""
        other = Link(self.network, self._jitter_ms)
        other._cursor._index, other._cursor._used = self._cursor._index, self._cursor._used
        other._departed, other._arrived = self._departed[-self.network.buffer_packets :], self._arrived
        return other


class Lesson(NamedTuple):
    """What a request tells when it has ended. sample: None where nothing had come back by then, of so many bytes, after
    so long. back_ms: what the reply took.
    """

    known_ms: float
    size_bytes: int
    elapsed_ms: float
    sample: NetworkSample | None = None
    back_ms: float = 0.0


class Outcome(NamedTuple):
    """What came of an upload. packets: from which it was answered in time, 0: not at all. sent: so many. lesson: None
    where nothing was.
    """

    packets: int
    sent: int
    lesson: Lesson | None


class Request:
    """One picture on its way. device_top1: how often the device's answer is right, which is there anyway."""

    def __init__(self, number: int, begins: tuple[float, float], photo: int, option: Option) -> None:
        self.number, self.option, self.photo = number, option, photo
        self.at_ms, self.sla_ms = begins
        self.count = option.packets(photo)
        self.size_bytes = round(option.body_bytes(photo))

    @property
    def due_ms(self) -> float:
        """When the answer must be there."""
        return self.at_ms + self.sla_ms

    @property
    def service_ms(self) -> float:
        """What the endpoint takes."""
        return SERVICE_MS + PROGRESSIVE_MS * self.option.times * self.option.anytime

    def line_bytes(self, packet: int) -> int:
        """What a packet takes of the link, headers and all; the last is smaller."""
        left = HEAD_BYTES + self.size_bytes - packet * PACKET_BYTES
        return LINE_BYTES - PACKET_BYTES + max(min(left, PACKET_BYTES), 1)

    def useful(self, packets: int, device_top1: float) -> bool:
        """Whether an answer from so many is better than the device's; all that there are will be answered."""
        if packets >= self.count or not self.option.anytime:
            return packets >= self.count
        received = (packets * PACKET_BYTES - HEAD_BYTES) / (self.option.times * float(self.option.sizes[self.photo]))
        return float(np.interp(received, SHARES, self.option.curve)) > device_top1


def upload(link: Link, request: Request, decide_ms: float, device_top1: float) -> Outcome:
    """Send it. At decide_ms the endpoint answers from what has come, if that is of use, else as soon as it is: once."""
    arrived: list[float] = []
    until_ms, answer, begins_ms = request.due_ms, 0, math.inf
    while len(arrived) < request.count and link.enters_ms(request.at_ms) < until_ms:
        now_ms, before = link.send(request, len(arrived)), len(arrived)
        arrived.append(now_ms)
        if answer:
            continue
        if now_ms > decide_ms and request.useful(before, device_top1):
            answer, begins_ms = before, decide_ms
        elif len(arrived) == request.count or (now_ms > decide_ms and request.useful(before + 1, device_top1)):
            answer, begins_ms = before + 1, now_ms
        if answer:
            until_ms = min(until_ms, link.replies_ms(begins_ms + request.service_ms, request.number))
    if not answer and request.useful(len(arrived), device_top1):
        answer, begins_ms = len(arrived), max(decide_ms, arrived[-1])
    if not answer and request.option.anytime and arrived:  # then it says what has come, though that is of no use
        begins_ms = max(decide_ms, arrived[0])
    return _outcome(link, request, arrived, (answer, begins_ms))


def _outcome(link: Link, request: Request, arrived: Sequence[float], answered: tuple[int, float]) -> Outcome:
    """answered: from how many packets, and the beginning of that."""
    answer, begins_ms = answered
    silence = Lesson(request.due_ms, request.size_bytes, request.sla_ms)
    if math.isinf(begins_ms):
        return Outcome(0, len(arrived), silence)
    leaves_ms = begins_ms + request.service_ms
    there_ms = link.replies_ms(leaves_ms, request.number)
    late = there_ms > request.due_ms
    # Connections of parts are not given up: a late reply is read when it comes. All others are.
    if late and not request.option.anytime:
        return Outcome(0, len(arrived), silence)
    return Outcome(0 if late else answer, len(arrived), _lesson(request, arrived, begins_ms, (leaves_ms, there_ms)))


def _lesson(request: Request, arrived: Sequence[float], begins_ms: float, reply_ms: tuple[float, float]) -> Lesson:
    """Of a reply: so many bytes had come in the time from the first packet to the last, or to when the next was still
    missing.
    """
    leaves_ms, there_ms = reply_ms
    seen = [when for when in arrived if when <= begins_ms]
    last_ms = seen[-1] if len(seen) == request.count else begins_ms
    size_bytes = min(round(len(seen) * PACKET_BYTES - HEAD_BYTES), request.size_bytes)
    back_ms = there_ms - leaves_ms
    sample = NetworkSample(size_bytes, last_ms - request.at_ms + back_ms, last_ms - arrived[0], request.service_ms)
    # The inference is beside what is learned here, and it is all that the server takes.
    return Lesson(there_ms, size_bytes, there_ms - request.at_ms, sample._replace(other_ms=0.0), back_ms)


class Knowledge:
    """What a client knows of the link; back: of replies alone, which an endpoint is told that decides by it."""

    def __init__(self) -> None:
        self.network, self.back = NetworkEstimates(), Replies()
        self.network.connected(2 * LATENCY_MS)
        self._coming: list[tuple[float, int, Lesson]] = []
        self._number = itertools.count()

    def add(self, lesson: Lesson) -> None:
        """Remember what will be known of a request."""
        heapq.heappush(self._coming, (lesson.known_ms, next(self._number), lesson))

    def learn_until(self, now_ms: float) -> None:
        """Take what is known by now, in its order."""
        while self._coming and self._coming[0][0] <= now_ms:
            lesson = heapq.heappop(self._coming)[2]
            if lesson.sample is None:
                self.network.add_late(lesson.size_bytes, lesson.elapsed_ms)
            else:
                self.network.add(lesson.sample)
                self.back.add(lesson.sample.upload_ms or 0.0, lesson.back_ms)
