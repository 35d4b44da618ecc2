"""Channels, on an event loop whose clock jumps to the next alarm: the times are exact and take no time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ondevice.errors import UsageError
from ondevice.lab.link.channel import LinkChannel
from ondevice.lab.link.direction import Direction
from ondevice.lab.link.networks import synthetic
from ondevice.lab.link.queue import Packet, TcpFlag
from ondevice.lab.link.trace import Trace

# Alarms closer than half a ms are one, and what is due within 0.1 ms is delivered now.
LATE_MS, EARLY_MS = 0.5001, 0.1001


class _Jump(selectors.DefaultSelector):
    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now_s += timeout or 0.0
        return super().select(0)


class Clock(asyncio.SelectorEventLoop):
    """An event loop that does not wait."""

    def __init__(self) -> None:
        self.jump = _Jump()
        super().__init__(self.jump)

    def time(self) -> float:
        return self.jump.now_s


class Sink:
    """Writes down what arrives in a channel, and when, in ms since the channel was made."""

    def __init__(self, channel: LinkChannel) -> None:
        self.got: list[tuple[float, Packet]] = []
        self.regulated = 0
        self._loop = asyncio.get_running_loop()
        channel.receivers.add(self)

    def deliver(self, packets: list[Packet]) -> None:
        self.got += [(self._loop.time() * 1e3, packet) for packet in packets]

    def regulate(self) -> None:
        self.regulated += 1

    @property
    def times(self) -> list[float]:
        return [at_ms for at_ms, _ in self.got]

    @property
    def packets(self) -> list[Packet]:
        return [packet for _, packet in self.got]


def through(
    direction: Direction, act: Callable[[LinkChannel, Sink], Any], seed: str = "0", for_ms: float = 60_000
) -> Sink:
    """What arrives in so many ms of what `act`, which may be a coroutine function, sends."""

    async def run() -> Sink:
        channel = LinkChannel(direction, seed)
        sink = Sink(channel)
        acting = act(channel, sink)
        if asyncio.iscoroutine(acting):
            await acting
        await asyncio.sleep(for_ms / 1e3)
        channel.close()
        return sink

    loop = Clock()
    try:
        return loop.run_until_complete(run())
    finally:
        loop.close()


def send(*packets: Packet) -> Callable[[LinkChannel, Sink], None]:
    return lambda channel, sink: [channel.send(sink, packet) for packet in packets] and None


def near(times: list[float], expected: Any) -> None:
    """Arrived when they had to, up to what the timers round."""
    apart = np.array(times) - expected
    assert apart.min() >= -EARLY_MS
    assert apart.max() <= LATE_MS


def test_latency_is_added_once_however_much_is_sent() -> None:
    sink = through(Direction(latency_ms=20), send(bytes(100_000), TcpFlag.FIN))
    near(sink.times, 20)
    assert sum(len(packet) for packet in sink.packets if isinstance(packet, bytes)) == 100_000
    assert sink.packets[-1] is TcpFlag.FIN


def test_without_settings_all_passes_at_once() -> None:
    near(through(Direction(), send(b"a", b"b")).times, 0)


@pytest.mark.parametrize("mbps", [0.05, 1, 20])
def test_a_rate_is_kept(mbps: float) -> None:
    sink = through(Direction(mbps * 1e6, latency_ms=5), send(bytes(150_000)))
    sizes = np.cumsum([len(packet) for packet in sink.packets if isinstance(packet, bytes)])
    assert sizes[-1] == 150_000
    near(sink.times, 5 + sizes * 8e-3 / mbps)


def test_a_trace_is_kept() -> None:
    trace = synthetic("cellular", 3)[0]
    sink = through(Direction(trace, buffer_bytes=10 << 20), send(bytes(26_000_000)))
    sizes = np.cumsum([len(packet) for packet in sink.packets if isinstance(packet, bytes)])
    near(sink.times, trace.passed_ms(0, sizes))
    assert sizes[-1] == pytest.approx(int(trace.deliverable(0, 60_000)), abs=3000)


def test_connections_are_served_in_the_order_of_their_packets() -> None:
    def act(channel: LinkChannel, one: Sink) -> None:
        other = Sink(channel)
        for sink, packet in ((one, b"1" * 1250), (other, b"2" * 1250), (one, b"3" * 1250)):
            channel.send(sink, packet)
        others.append(other)

    others: list[Sink] = []
    one = through(Direction(1e6), act)
    near([*one.times, *others[0].times], [10, 30, 20])


def test_jitter_spreads_but_never_reorders() -> None:
    async def act(channel: LinkChannel, sink: Sink) -> None:
        for number in range(200):
            channel.send(sink, bytes([number]))
            await asyncio.sleep(0.01)

    direction = Direction(latency_ms=30, jitter_ms=20)
    sink = through(direction, act)
    took = np.array(sink.times) - 10 * np.arange(200)
    assert sink.packets == [bytes([number]) for number in range(200)]
    assert took.min() > 10 - EARLY_MS
    assert took.max() < 50 + LATE_MS
    assert took.std() > 5
    assert through(direction, act).times == sink.times
    assert through(direction, act, seed="1").times != sink.times


def test_a_late_wake_up_delays_nothing_after_it() -> None:
    async def act(channel: LinkChannel, sink: Sink) -> None:
        channel.send(sink, bytes(125_000))
        await asyncio.sleep(0.1)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Clock)
        loop.jump.now_s += 0.3  # as if the process had been stopped

    sink = through(Direction(1e6), act)
    sizes = np.cumsum([len(packet) for packet in sink.packets if isinstance(packet, bytes)])
    due = sizes * 8e-3
    slept = (due > 100) & (due < 400)
    near(list(np.array(sink.times)[~slept]), due[~slept])
    near(list(np.array(sink.times)[slept]), 400)


def test_a_full_buffer_holds_the_sender_back_until_there_is_room() -> None:
    async def act(channel: LinkChannel, sink: Sink) -> None:
        channel.send(sink, bytes(9_000))
        assert not channel.full
        assert len(channel.read_buffer) == 1_000
        channel.send(sink, bytes(1_000))
        assert channel.full
        assert sink.regulated == 1
        await asyncio.sleep(0.010)
        assert channel.full  # 1250 bytes have passed, and it is read again when a quarter has
        await asyncio.sleep(0.015)
        assert not channel.full
        assert sink.regulated == 2

    through(Direction(1e6, buffer_bytes=10_000), act)


def test_a_change_holds_for_what_waits() -> None:
    async def act(channel: LinkChannel, sink: Sink) -> None:
        channel.send(sink, bytes(1500))
        channel.send(sink, bytes(1500))
        await asyncio.sleep(0.006)
        channel.change(Direction(12e6, latency_ms=40))

    # At 1 Mbit/s a packet takes 12 ms; the first has not passed at 6 ms, and starts again at the new rate.
    near(through(Direction(1e6), act).times, [47, 48])


def test_a_change_of_latency_goes_on_in_the_trace() -> None:
    trace = Trace(np.array([50.0, 100.0]), 100.0)

    async def act(channel: LinkChannel, sink: Sink) -> None:
        await asyncio.sleep(0.06)
        channel.change(Direction(trace, latency_ms=7))
        channel.send(sink, b"x")

    near(through(Direction(trace), act).times, 107)


def test_nothing_overtakes_when_the_latency_falls() -> None:
    async def act(channel: LinkChannel, sink: Sink) -> None:
        channel.send(sink, b"first")
        await asyncio.sleep(0.01)
        channel.change(Direction(latency_ms=1))
        channel.send(sink, b"second")

    sink = through(Direction(latency_ms=50), act)
    assert sink.packets == [b"first", b"second"]
    near(sink.times, 50)


def test_what_is_held_comes_after_and_finds_no_capacity_from_before() -> None:
    async def act(channel: LinkChannel, sink: Sink) -> None:
        channel.set_paused(True)
        channel.send(sink, bytes(1250))
        channel.send(sink, bytes(1250))
        await asyncio.sleep(0.5)
        assert sink.got == []
        channel.set_paused(False)

    near(through(Direction(1e6), act).times, [510, 520])


def test_what_is_cleared_never_comes() -> None:
    async def act(channel: LinkChannel, sink: Sink) -> None:
        channel.send(sink, bytes(20_000))
        assert channel.full
        await asyncio.sleep(0.05)
        channel.clear()
        assert not channel.full
        channel.send(sink, b"x")

    sink = through(Direction(1e6, latency_ms=50, buffer_bytes=10_000), act)
    assert sink.packets == [b"x"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"capacity": 0}, "above 0"),
        ({"capacity": float("nan")}, "above 0"),
        ({"latency_ms": -1}, "latency one way is a number of ms from 0 up, not -1"),
        ({"latency_ms": float("inf")}, "latency"),
        ({"latency_ms": 5, "jitter_ms": 6}, "jitter is from 0 ms to its latency one way, 5 ms, not 6"),
        ({"buffer_bytes": 1499}, "at least a packet, 1500 bytes, not 1499"),
    ],
)
def test_wrong_settings_are_told(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Direction(**settings)
