"""Who has a turn to be sent to another server, and what the next one waits for it."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from time import perf_counter

import pytest

from ondevice.cloud.backends.ticket import Ticket
from ondevice.cloud.backends.upstream.send_turns import MAX_INFERENCES, SendTurns
from ondevice.errors import RefusedError
from ondevice.protocol.served import Work


def test_turns_that_others_have_are_waited_for() -> None:
    turns = SendTurns()
    with ExitStack() as requests:
        for _ in range(MAX_INFERENCES - 1):
            requests.enter_context(turns)
        assert (turns.taken, turns.wait_ms(10.0)) == (False, 0.0)
        for _ in range(2 * MAX_INFERENCES):
            requests.enter_context(turns)
        assert (turns.taken, turns.wait_ms(10.0)) == (True, pytest.approx(20.0))
    assert (turns.taken, turns.requests) == (False, 0)


def test_a_request_that_fails_is_gone_too() -> None:
    turns = SendTurns()
    with pytest.raises(ValueError, match="no"), turns:
        raise ValueError("no")
    assert turns.requests == 0


def test_a_turn_that_does_not_come_in_time_is_refused_and_lost_to_nobody() -> None:
    async def scenario() -> None:
        turns, work = SendTurns(), Work(b"", True, 1, False, perf_counter())
        patient, hurried = Ticket("m", work), Ticket("m", work, expires=perf_counter() + 0.01)
        for _ in range(MAX_INFERENCES):
            await turns.take(patient)
        with pytest.raises(RefusedError, match="in time"):
            await turns.take(hurried)
        waiting = asyncio.ensure_future(turns.take(None))
        turns.turn.release()
        await waiting
        assert turns.turn.locked()
        turns.turn.release()
        await turns.take(hurried)  # there is one: its time is for what comes after

    asyncio.run(scenario())
