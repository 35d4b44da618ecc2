"""A device's link in virtual time: beside traces read by hand, and beside the link emulator's own queue."""

from __future__ import annotations

import numpy as np
import pytest

from ondevice.errors import UsageError
from ondevice.lab.link.direction import Direction
from ondevice.lab.link.queue import LinkQueue
from ondevice.lab.link.trace import Trace
from ondevice.lab.simulate import legs
from ondevice.lab.simulate.legs import TracedNetwork
from ondevice.lab.simulate.shared_link import SharedLink

# A packet each 10 ms, up and down; 20 ms each way.
STEADY = Trace(np.arange(10.0, 101.0, 10.0), 100.0)
NETWORK = TracedNetwork("steady", STEADY, STEADY, 40.0)


def test_a_picture_passes_packet_by_packet() -> None:
    assert SharedLink(NETWORK).send(1.0, 3_001) == (10 + 20, 30 + 20)
    assert SharedLink(NETWORK).send(1.0, 1) == (30, 30)


def test_what_was_given_up_passes_first() -> None:
    link = SharedLink(NETWORK)
    link.send(0.0, 10 * 1500)  # until 100
    link.give_up(50.0)
    assert link.send(60.0, 1500).last_ms == 120 + 20  # behind it, and behind what the new connection takes
    assert link.send(200.0, 1500).last_ms == 200 + 20


def test_a_lost_connection_costs_a_round_trip_where_no_spare_is_open() -> None:
    warm, anew = SharedLink(NETWORK), SharedLink(NETWORK, warm=False)
    for link in (warm, anew):
        link.send(0.0, 1500)
        assert link.give_up(205.0) == 210 + 20 + 20  # the next opportunity, there and, with the one at 230, back
    assert warm.send(206.0, 1500).first_ms == 220 + 20
    assert anew.send(206.0, 1500).first_ms == 250 + 20
    # The one in place of it serves the next request at once.
    warm.keep(300.0)
    anew.keep(300.0)
    assert warm.send(300.0, 1500) == anew.send(300.0, 1500) == (320, 320)


def test_requests_at_the_same_time_have_connections_of_their_own() -> None:
    link = SharedLink(NETWORK, warm=False)
    link.send(0.0, 1500)
    assert link.send(0.0, 1500).first_ms == 60 + 20  # opened for it, behind the first: from 20 to 60


def test_what_is_foreseen_is_what_comes() -> None:
    link = SharedLink(NETWORK, warm=False)
    link.send(0.0, 4_500)
    link.give_up(20.0)
    sizes = [1, 1500, 1501, 6000]
    for size, foreseen in zip(sizes, link.foresee(25.0, sizes), strict=True):
        again = SharedLink(NETWORK, warm=False)
        again.send(0.0, 4_500)
        again.give_up(20.0)
        assert again.send(25.0, size) == foreseen


def test_as_the_emulator_lets_it_pass() -> None:
    rng = np.random.default_rng(5)
    trace = Trace(np.sort(rng.integers(1, 500, 60)).astype(float), 500.0)
    link, queue = SharedLink(TracedNetwork("drawn", trace, trace, 30.0)), LinkQueue[int](Direction(trace, 15.0), "0")
    sizes, at_ms = rng.integers(1, 20_000, 40).tolist(), np.cumsum(rng.exponential(60, 40)).tolist()
    expected_ms, arrived_ms = {}, {}
    for owner, (begin_ms, size) in enumerate(zip(at_ms, sizes, strict=True)):
        expected_ms[owner] = link.send(begin_ms, size).last_ms
        link.keep(begin_ms)  # only what passes is compared: none waits for a connection
        queue.add(begin_ms, owner, bytes(size))
    queue.advance(0.0)
    while (now_ms := queue.next_ms()) is not None:
        arrived_ms |= dict.fromkeys(queue.advance(now_ms), now_ms)
    assert arrived_ms == pytest.approx(expected_ms)


def test_only_traces_carry_bytes() -> None:
    for text in ("normal:mean=50,std=25", "trace:wifi,outage=1:2"):
        with pytest.raises(UsageError, match="uploads are simulated on traces"):
            SharedLink(legs.find(text))
