"""Whether another server and its models are asked, by what befell them, on a given clock."""

from __future__ import annotations

import pytest
from clock import Clock
from events import Events

from ondevice.cloud.backends.states import ModelState
from ondevice.cloud.backends.upstream.health import ServerHealth
from ondevice.errors import FailureKind, UpstreamError

REFUSED, CUT, LATE, WRONG, BUSY = (
    UpstreamError(str(kind), kind)
    for kind in (FailureKind.REFUSED, FailureKind.CUT, FailureKind.LATE, FailureKind.WRONG, FailureKind.BUSY)
)


class Both:
    """A server with one model that is asked for."""

    def __init__(self) -> None:
        self.clock, self.events = Clock(), Events()
        self.server = ServerHealth("there:80", self.clock, self.events)
        self.model = self.server.of_model("m")

    def until_due(self) -> float:
        """Wait until the server's health is asked for; gives how long that took, s."""
        begun = self.clock()
        while not self.server.check_due():
            self.clock.pass_ms(250)
        return self.clock() - begun


def test_a_well_server_is_asked_every_two_seconds() -> None:
    both = Both()
    assert both.server.check_due()
    assert [both.until_due() for _ in range(3)] == [2.0] * 3


@pytest.mark.parametrize(("error", "times"), [(REFUSED, 1), (CUT, 3), (LATE, 3)], ids=["refused", "cut", "late"])
def test_a_server_is_lost_by_what_inferences_end_in(error: UpstreamError, times: int) -> None:
    both = Both()
    for _ in range(times):
        assert both.server.well
        both.server.failed(error)
    assert not both.server.well
    assert both.events == [("upstream down", {"upstream": "there:80", "reason": str(error)})]


def test_its_own_word_that_it_is_not_ready_is_enough_and_one_late_answer_is_not() -> None:
    both = Both()
    both.server.not_ready(LATE)
    both.server.ready()
    assert both.server.well
    both.server.not_ready(BUSY)
    assert not both.server.well


def test_a_wrong_answer_is_the_models_failure_alone() -> None:
    both = Both()
    for available in (True, True, False):
        both.model.failed(WRONG)
        assert both.model.available is available
    assert both.server.well
    assert both.model.state is ModelState.FAILING
    assert both.events.names == ["upstream model down"]
    assert both.events[0][1] == {"upstream": "there:80", "model": "m", "reason": str(WRONG)}


def come_back(after_ms: float, for_time: bool = False) -> UpstreamError:
    return UpstreamError("not now", FailureKind.BUSY, after_ms, for_time)


def test_a_model_is_left_alone_for_as_long_as_its_server_says() -> None:
    both = Both()
    other = both.server.of_model("other")
    both.model.failed(come_back(400))
    assert not both.model.available
    assert (both.model.state, other.available) == (ModelState.AVAILABLE, True)
    both.clock.pass_ms(399)
    assert not both.model.available
    both.clock.pass_ms(2)
    assert both.model.available
    assert not both.events


def test_nor_is_it_tried_again_sooner_after_it_has_failed() -> None:
    both = Both()
    for _ in range(3):
        both.model.failed(come_back(2000))
    assert both.model.state is ModelState.FAILING
    both.clock.pass_ms(1000)
    assert not both.model.retry_due(), "which it would be after half a second"
    both.clock.pass_ms(1001)
    assert both.model.retry_due()


def test_want_of_time_is_not_a_failure_of_the_model() -> None:
    both = Both()
    for _ in range(10):
        both.model.failed(come_back(30, for_time=True))
        assert not both.model.available
        both.clock.pass_ms(31)
    assert both.model.available
    assert not both.events


def test_a_lost_connection_is_the_servers_failure_alone() -> None:
    both = Both()
    for _ in range(3):
        both.model.failed(CUT)
    assert not both.model.available
    both.until_due()
    both.server.ready()
    assert both.model.available
    assert both.events.names == ["upstream down", "upstream up"]


def test_that_it_is_ready_does_not_redeem_late_answers() -> None:
    both = Both()
    for _ in range(2):
        both.model.failed(CUT)
        both.server.ready()
    both.model.failed(CUT)
    assert not both.server.well


def test_good_answers_redeem_what_failed_before() -> None:
    both = Both()
    for _ in range(5):
        both.model.failed(CUT)
        both.model.failed(WRONG)
        both.model.answered()
    assert both.model.available


def test_a_server_that_stays_away_is_asked_after_pauses_that_double() -> None:
    both, pauses = Both(), []
    both.server.failed(REFUSED)
    for _ in range(7):
        pauses.append(both.until_due())
        both.server.not_ready(REFUSED)
    assert pauses == [0.5, 1, 2, 4, 8, 10, 10]


def test_a_model_is_tried_again_and_a_probe_whose_connection_is_lost_is_not_the_last() -> None:
    both = Both()
    for _ in range(3):
        both.model.failed(WRONG)
    assert not both.model.retry_due()
    both.clock.pass_ms(500)
    assert both.model.retry_due()
    assert not both.model.retry_due()
    both.model.failed(CUT)
    both.clock.pass_ms(1000)
    assert both.model.retry_due()
    both.model.answered()
    assert both.model.available
    assert both.events.names == ["upstream model down", "upstream model up"]


def test_one_that_was_unloaded_by_hand_is_gone_however_well_it_is() -> None:
    both = Both()
    both.model.on = False
    both.model.answered()
    assert (both.model.available, both.model.state) == (False, ModelState.GONE)
    both.model.on = True
    assert (both.model.available, both.model.state) == (True, ModelState.AVAILABLE)
