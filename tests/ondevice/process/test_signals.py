"""Signals that come at a bad moment."""

from __future__ import annotations

import signal
import threading

import pytest

from ondevice.process import signals


def interrupted(done: list[str], error: Exception | None = None) -> None:
    with signals.held():
        signal.raise_signal(signal.SIGINT)
        done.append("the block")
        if error:
            raise error


def test_they_come_after_the_block() -> None:
    done: list[str] = []
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        interrupted(done)
    assert done == ["the block"]
    assert signal.getsignal(signal.SIGINT) == before


def test_an_error_in_the_block_is_not_lost_behind_one() -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        interrupted([], ValueError("mine"))
    assert isinstance(caught.value.__context__, ValueError)


def test_what_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with signals.held():
            assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_holds_nothing() -> None:
    before, found = signal.getsignal(signal.SIGINT), []

    def hold() -> None:
        with signals.held():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=hold)
    thread.start()
    thread.join()
    assert found == [before]
