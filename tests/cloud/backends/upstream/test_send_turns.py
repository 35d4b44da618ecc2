"""Who has a turn to be sent to another server, and what the next one waits for it."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from ondevice.cloud.backends.upstream.send_turns import MAX_INFERENCES, SendTurns


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
