"""Toxics: how they are written, and what each does to one direction of a connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from ondevice.errors import UsageError
from ondevice.lab.link.toxic import ATTRIBUTES, Effect, Toxic, parse, start_effect


@pytest.mark.parametrize(
    ("text", "stream", "toxic"),
    [
        ("timeout", "downstream", Toxic("timeout")),
        ("timeout:timeout=500", "downstream", Toxic("timeout", 500)),
        ("reset_peer: timeout = 5 , stream = upstream", "upstream", Toxic("reset_peer", 5)),
        ("slow_close:delay=1e3,toxicity=0.5", "downstream", Toxic("slow_close", 1000, 0.5)),
        ("limit_data:bytes=10,stream=downstream,", "downstream", Toxic("limit_data", 10)),
    ],
)
def test_a_toxic_is_read(text: str, stream: str, toxic: Toxic) -> None:
    assert parse(text) == (stream, toxic)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no toxic ''; there are timeout"),
        ("reset_per:timeout=5", r"no toxic 'reset_per'; did you mean reset_peer\?"),
        ("bandwidth:rate=5", "no toxic 'bandwidth'"),
        ("limit_data:delay=5", "limit_data has no 'delay': it takes bytes, toxicity and stream"),
        ("limit_data:bytes", "bytes must be a number, not ''"),
        ("timeout:timeout=5s", "timeout must be a number, not '5s'"),
        ("timeout:timeout=-1", "timeout is a number from 0 up, not -1"),
        ("timeout:timeout=nan", "timeout is a number from 0 up"),
        ("timeout:toxicity=2", "toxicity is a share from 0 to 1, not 2"),
        ("timeout:stream=sideways", "stream is upstream or downstream, not 'sideways'"),
    ],
)
def test_a_wrong_toxic_is_told(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse(text)


class Log:
    """A victim that writes down what happens to it."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def close(self) -> None:
        self.events.append("close")

    def reset(self) -> None:
        self.events.append("reset")

    def ended(self) -> None:
        self.events.append("end")


def happens(toxic: Toxic, act: Callable[[Effect, Log], None], after_ms: float = 0) -> list[str]:
    """What comes of these acts, `after_ms` later."""

    async def run() -> list[str]:
        log = Log()
        act(start_effect(toxic, log), log)
        await asyncio.sleep(after_ms / 1e3 + 0.001)
        return log.events

    return asyncio.run(run())


def test_timeout_drops_and_closes_when_nothing_came() -> None:
    passed: list[bytes] = []
    assert happens(Toxic("timeout", 10), lambda at_work, _: passed.append(at_work.data(b"x")), 30) == ["close"]
    assert passed == [b""]


def test_timeout_0_never_closes_unless_it_is_removed() -> None:
    assert happens(Toxic("timeout"), lambda at_work, _: None, 20) == []
    assert happens(Toxic("timeout"), lambda at_work, _: at_work.removed()) == ["close"]


def test_timeout_starts_again_with_each_byte() -> None:
    async def run() -> list[str]:
        log = Log()
        at_work = start_effect(Toxic("timeout", 2000), log)
        first = at_work._timer
        at_work.data(b"x")
        assert first
        assert at_work._timer
        assert first.cancelled()
        assert at_work._timer.when() > first.when()
        at_work.stop()
        return log.events

    assert asyncio.run(run()) == []


def test_reset_peer_resets_after_the_first_data() -> None:
    assert happens(Toxic("reset_peer", 0), lambda at_work, _: None, 20) == []
    passed: list[bytes] = []

    def twice(at_work: Effect, _: Log) -> None:
        passed.extend(at_work.data(data) for data in (b"a", b"b"))

    assert happens(Toxic("reset_peer", 5), twice, 30) == ["reset"]
    assert passed == [b"", b""]


def test_reset_peer_resets_at_the_end_of_the_stream_too() -> None:
    assert happens(Toxic("reset_peer", 0), lambda at_work, log: at_work.end(log.ended), 10) == ["reset"]


def test_a_connection_that_misses_data_is_reset_when_reset_peer_is_removed() -> None:
    def act(at_work: Effect, _: Log) -> None:
        at_work.data(b"lost")
        at_work.removed()

    assert happens(Toxic("reset_peer", 10_000), act) == ["reset"]
    assert happens(Toxic("reset_peer", 10_000), lambda at_work, _: at_work.removed()) == []


def test_slow_close_passes_the_end_late() -> None:
    assert happens(Toxic("slow_close", 10_000), lambda at_work, log: at_work.end(log.ended)) == []
    assert happens(Toxic("slow_close", 5), lambda at_work, log: at_work.end(log.ended), 30) == ["end"]


def test_slow_close_removed_passes_the_end_once() -> None:
    async def run() -> list[str]:
        log = Log()
        for value in (0, 10_000):
            at_work = start_effect(Toxic("slow_close", value), log)
            assert at_work.data(b"x") == b"x"
            at_work.end(log.ended)
            await asyncio.sleep(0.005)
            at_work.removed()
        return log.events

    assert asyncio.run(run()) == ["end", "end"]


def test_limit_data_passes_so_many_bytes_and_closes() -> None:
    passed: list[bytes] = []

    def act(at_work: Effect, _: Log) -> None:
        passed.extend(at_work.data(data) for data in (b"abc", b"def"))

    assert happens(Toxic("limit_data", 5), act) == ["close"]
    assert passed == [b"abc", b"de"]
    assert happens(Toxic("limit_data", 7), act) == []


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_nothing_happens_after_the_connection_is_over(name: str) -> None:
    def act(at_work: Effect, log: Log) -> None:
        at_work.data(b"x")
        at_work.end(lambda: None)
        log.events.clear()
        at_work.stop()

    assert happens(Toxic(name, 5), act, 20) == []
