"""Channels, on an event loop whose clock jumps to the next alarm: the times are exact and take no time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ondevice.errors import UsageError
from ondevice.lab.link.channel import Channel, Item, Mark, Way
from ondevice.lab.link.networks import synthetic
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

    def __init__(self, channel: Channel) -> None:
        self.got: list[tuple[float, Item]] = []
        self.regulated = 0
        self._loop = asyncio.get_running_loop()
        channel.receivers.add(self)

    def deliver(self, items: list[Item]) -> None:
        self.got += [(self._loop.time() * 1e3, item) for item in items]

    def regulate(self) -> None:
        self.regulated += 1

    @property
    def times(self) -> list[float]:
        return [at_ms for at_ms, _ in self.got]

    @property
    def items(self) -> list[Item]:
        return [item for _, item in self.got]


def through(way: Way, act: Callable[[Channel, Sink], Any], seed: str = "0", for_ms: float = 60_000) -> Sink:
    """What arrives in so many ms of what `act`, which may be a coroutine function, sends."""

    async def run() -> Sink:
        channel = Channel(way, seed)
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


def send(*items: Item) -> Callable[[Channel, Sink], None]:
    return lambda channel, sink: [channel.send(sink, item) for item in items] and None


def near(times: list[float], expected: Any) -> None:
    """Arrived when they had to, up to what the timers round."""
    apart = np.array(times) - expected
    assert apart.min() >= -EARLY_MS
    assert apart.max() <= LATE_MS


def test_latency_is_added_once_however_much_is_sent() -> None:
    sink = through(Way(latency_ms=20), send(bytes(100_000), Mark.FIN))
    near(sink.times, 20)
    assert sum(len(item) for item in sink.items if isinstance(item, bytes)) == 100_000
    assert sink.items[-1] is Mark.FIN


def test_without_settings_all_passes_at_once() -> None:
    near(through(Way(), send(b"a", b"b")).times, 0)


@pytest.mark.parametrize("mbps", [0.05, 1, 20])
def test_a_rate_is_kept(mbps: float) -> None:
    sink = through(Way(mbps * 1e6, latency_ms=5), send(bytes(150_000)))
    sizes = np.cumsum([len(item) for item in sink.items if isinstance(item, bytes)])
    assert sizes[-1] == 150_000
    near(sink.times, 5 + sizes * 8e-3 / mbps)


def test_a_trace_is_kept() -> None:
    trace = synthetic("cellular", 3)[0]
    sink = through(Way(trace, buffer_bytes=10 << 20), send(bytes(26_000_000)))
    sizes = np.cumsum([len(item) for item in sink.items if isinstance(item, bytes)])
    near(sink.times, trace.passed_ms(0, sizes))
    assert sizes[-1] == pytest.approx(int(trace.deliverable(0, 60_000)), abs=3000)


def test_connections_are_served_in_the_order_of_their_packets() -> None:
    def act(channel: Channel, one: Sink) -> None:
        other = Sink(channel)
        for sink, item in ((one, b"1" * 1250), (other, b"2" * 1250), (one, b"3" * 1250)):
            channel.send(sink, item)
        others.append(other)

    others: list[Sink] = []
    one = through(Way(1e6), act)
    near([*one.times, *others[0].times], [10, 30, 20])


def test_jitter_spreads_but_never_reorders() -> None:
    async def act(channel: Channel, sink: Sink) -> None:
        for number in range(200):
            channel.send(sink, bytes([number]))
            await asyncio.sleep(0.01)

    way = Way(latency_ms=30, jitter_ms=20)
    sink = through(way, act)
    took = np.array(sink.times) - 10 * np.arange(200)
    assert sink.items == [bytes([number]) for number in range(200)]
    assert took.min() > 10 - EARLY_MS
    assert took.max() < 50 + LATE_MS
    assert took.std() > 5
    assert through(way, act).times == sink.times
    assert through(way, act, seed="1").times != sink.times


def test_a_late_wake_up_delays_nothing_after_it() -> None:
    async def act(channel: Channel, sink: Sink) -> None:
        channel.send(sink, bytes(125_000))
        await asyncio.sleep(0.1)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Clock)
        loop.jump.now_s += 0.3  # as if the process had been stopped

    sink = through(Way(1e6), act)
    sizes = np.cumsum([len(item) for item in sink.items if isinstance(item, bytes)])
    due = sizes * 8e-3
    slept = (due > 100) & (due < 400)
    near(list(np.array(sink.times)[~slept]), due[~slept])
    near(list(np.array(sink.times)[slept]), 400)


def test_a_full_buffer_holds_the_sender_back_until_there_is_room() -> None:
    async def act(channel: Channel, sink: Sink) -> None:
        channel.send(sink, bytes(9_000))
        assert not channel.full
        assert len(channel.room) == 1_000
        channel.send(sink, bytes(1_000))
        assert channel.full
        assert sink.regulated == 1
        await asyncio.sleep(0.010)
        assert channel.full  # 1250 bytes have passed, and it is read again when a quarter has
        await asyncio.sleep(0.015)
        assert not channel.full
        assert sink.regulated == 2

    through(Way(1e6, buffer_bytes=10_000), act)


def test_a_change_holds_for_what_waits() -> None:
    async def act(channel: Channel, sink: Sink) -> None:
        channel.send(sink, bytes(1500))
        channel.send(sink, bytes(1500))
        await asyncio.sleep(0.006)
        channel.change(Way(12e6, latency_ms=40))

    # At 1 Mbit/s a packet takes 12 ms; the first has not passed at 6 ms, and starts again at the new rate.
    near(through(Way(1e6), act).times, [47, 48])


def test_a_change_of_latency_goes_on_in_the_trace() -> None:
    trace = Trace(np.array([50.0, 100.0]), 100.0)

    async def act(channel: Channel, sink: Sink) -> None:
        await asyncio.sleep(0.06)
        channel.change(Way(trace, latency_ms=7))
        channel.send(sink, b"x")

    near(through(Way(trace), act).times, 107)


def test_nothing_overtakes_when_the_latency_falls() -> None:
    async def act(channel: Channel, sink: Sink) -> None:
        channel.send(sink, b"first")
        await asyncio.sleep(0.01)
        channel.change(Way(latency_ms=1))
        channel.send(sink, b"second")

    sink = through(Way(latency_ms=50), act)
    assert sink.items == [b"first", b"second"]
    near(sink.times, 50)


def test_what_is_held_comes_after_and_finds_no_capacity_from_before() -> None:
    async def act(channel: Channel, sink: Sink) -> None:
        channel.hold(True)
        channel.send(sink, bytes(1250))
        channel.send(sink, bytes(1250))
        await asyncio.sleep(0.5)
        assert sink.got == []
        channel.hold(False)

    near(through(Way(1e6), act).times, [510, 520])


def test_what_is_cleared_never_comes() -> None:
    async def act(channel: Channel, sink: Sink) -> None:
        channel.send(sink, bytes(20_000))
        assert channel.full
        await asyncio.sleep(0.05)
        channel.clear()
        assert not channel.full
        channel.send(sink, b"x")

    sink = through(Way(1e6, latency_ms=50, buffer_bytes=10_000), act)
    assert sink.items == [b"x"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"capacity": 0}, "above 0"),
        ({"capacity": float("nan")}, "above 0"),
        ({"latency_ms": -1}, "latency is a number of ms from 0 up, not -1"),
        ({"latency_ms": float("inf")}, "latency"),
        ({"latency_ms": 5, "jitter_ms": 6}, "jitter is from 0 ms to its latency one way, not 6"),
        ({"buffer_bytes": 1499}, "at least a packet, 1500 bytes, not 1499"),
    ],
)
def test_wrong_settings_are_told(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Way(**settings)
