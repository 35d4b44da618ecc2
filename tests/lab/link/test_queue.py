"""The queue of one direction, told the time: what arrives when, for whom, and what is under way meanwhile."""

from __future__ import annotations

from ondevice.lab.link.direction import Direction
from ondevice.lab.link.queue import LinkQueue, TcpFlag

# 100 bytes a ms.
SLOW = Direction(8e5, latency_ms=20)


def test_a_packet_waits_for_capacity_and_then_flies() -> None:
    queue: LinkQueue[str] = LinkQueue(SLOW, "0")
    queue.add(0.0, "one", bytes(1000))
    assert queue.advance(9.99) == {}
    assert (queue.waiting_bytes, queue.in_flight_bytes, round(queue.next_ms() or 0)) == (1000, 0, 10)
    assert queue.advance(29.9) == {}
    assert (queue.waiting_bytes, queue.in_flight_bytes, round(queue.next_ms() or 0)) == (0, 1000, 30)
    assert queue.advance(30.01) == {"one": [bytes(1000)]}
    assert (queue.waiting_bytes, queue.in_flight_bytes, queue.next_ms()) == (0, 0, None)


def test_who_looks_late_gets_all_that_was_due_and_delays_nothing() -> None:
    queue: LinkQueue[str] = LinkQueue(SLOW, "0")
    for owner in ("one", "other", "one"):
        queue.add(0.0, owner, bytes(1000))
    assert queue.advance(45.0) == {"one": [bytes(1000)], "other": [bytes(1000)]}
    assert queue.advance(50.01) == {"one": [bytes(1000)]}


def test_flags_take_their_headers_of_the_capacity() -> None:
    queue: LinkQueue[str] = LinkQueue(Direction(8e5), "0")
    queue.add(0.0, "one", TcpFlag.SYN)
    assert queue.advance(0.39) == {}
    assert queue.advance(0.41) == {"one": [TcpFlag.SYN]}


def test_capacity_of_a_pause_is_lost() -> None:
    queue: LinkQueue[str] = LinkQueue(Direction(8e5), "0")
    queue.add(0.0, "one", bytes(1000))
    queue.resume(500.0)
    assert queue.advance(509.9) == {}
    assert queue.advance(510.1) == {"one": [bytes(1000)]}
