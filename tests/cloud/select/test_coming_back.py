"""When a request that was refused for want of time may come back; the backend's queue and times are given here."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from clock import Clock
from given_backend import Given, arrival, selector

from ondevice.cloud.backends.backend import InferenceResult, Others
from ondevice.cloud.backends.ticket import Ticket
from ondevice.cloud.select.selector import Selector
from ondevice.errors import RefusedError
from ondevice.protocol.served import Work

pytestmark = pytest.mark.usefixtures("clock")


def crowded(waits_ms: float) -> Given:
    """A backend with so long a queue; its models take 1, 10 and 100 ms."""
    given = Given()
    given.queue.is_crowded, given.queue.waits_ms = True, waits_ms
    return given


def refused(one: Selector, **asked: Any) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        one.choose(arrival(**asked))
    return caught.value


def back_ms(one: Selector, **asked: Any) -> float:
    return refused(one, **asked).retry_after_s * 1e3


def test_it_is_the_time_in_which_the_queue_becomes_short_enough() -> None:
    given = crowded(2500)
    one = selector(given)
    left_ms = back_ms(one, sla_ms=1000)
    assert left_ms == pytest.approx(2500 - 1000 + 1)
    given.queue.waits_ms -= left_ms - 0.1
    assert back_ms(one, sla_ms=1000) == pytest.approx(0.1)
    given.queue.waits_ms -= 0.2
    assert one.choose(arrival(sla_ms=1000)).served.name == "small"


def test_the_way_there_and_back_passes_meanwhile() -> None:
    one = selector(crowded(2500))
    assert back_ms(one, sla_ms=1000, upload_ms=30, return_ms=20) == pytest.approx(2500 - 1000 + 1)
    assert back_ms(one, sla_ms=40, upload_ms=1, return_ms=2) == pytest.approx(2500 - 40 + 1)
    assert back_ms(selector(crowded(65)), sla_ms=100, upload_ms=30, return_ms=20) == 0


def test_where_the_queue_is_empty_nobody_is_refused_so_that_it_is_never_longer() -> None:
    assert back_ms(selector(crowded(2500)), sla_ms=0.5) == pytest.approx(2500)


def test_what_would_make_others_late_comes_back_when_its_turn_would_have_come() -> None:
    given = crowded(70)
    given.queue.met = Others(room_ms=0.5, fill=0.0)
    error = refused(selector(given), sla_ms=1000)
    assert "those that wait already would be late" in str(error)
    assert error.retry_after_s * 1e3 == pytest.approx(70)


def test_a_shorter_wait_is_off_by_less() -> None:
    """Waits have been twice as long as foreseen, so that half of the time may be foreseen."""
    given = crowded(300)
    one = selector(given)
    for _ in range(64):
        choice = one.choose(arrival(sla_ms=100_000))
        turn_ms = choice.problem.models.slowest_ms
        one.expectations.observe(choice, InferenceResult("small", [], queue_ms=600 + turn_ms), 600 + turn_ms)
    given.queue.waits_ms = 2500
    assert back_ms(one, sla_ms=1101) == pytest.approx(2500 - (1100 - turn_ms) / 2)


def test_one_that_waited_in_vain_comes_back_by_what_the_queue_is_then(clock: Clock) -> None:
    given = crowded(500)
    one, came = selector(given), arrival(sla_ms=1000)
    ticket = one.ticket(one.choose(came), came, Work(b"", True, 1, False, clock()))
    clock.pass_ms(1000)
    given.queue.waits_ms = 1800
    error = ticket.expired()
    assert (error.for_time, error.retry_after_s * 1e3) == (True, pytest.approx(1800 - 1000 + 1))
    given.queue.waits_ms = 0
    assert ticket.expired().retry_after_s == 0


def test_only_want_of_time_is_said_to_be_that() -> None:
    given = crowded(2500)
    one = selector(given)
    assert refused(one, sla_ms=100).for_time
    assert Ticket("small", Work(b"", True, 1, False, 0.0)).expired().for_time
    given.off |= {"small", "middle", "large"}
    error = refused(one, sla_ms=100)
    assert (error.for_time, error.retry_after_s) == (False, 1)


def test_it_is_a_time_whatever_the_queue() -> None:
    rng, back_ms = np.random.default_rng(5), []
    for _ in range(300):
        given = crowded(float(rng.exponential(300)))
        given.queue.met = Others(float(rng.choice([0.5, 5.0, 50.0, math.inf])), float(rng.random()))
        one, sla_ms = selector(given), float(rng.choice([0.01, 1, 10, 100, 1000]))
        try:
            one.choose(arrival(sla_ms=sla_ms, upload_ms=float(rng.exponential(10))))
        except RefusedError as error:
            back_ms.append((error.retry_after_s * 1e3, given.queue.waits_ms))
    assert len(back_ms) > 100
    assert all(0 <= after_ms <= waits_ms for after_ms, waits_ms in back_ms)
