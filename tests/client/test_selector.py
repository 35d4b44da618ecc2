"""How long a client's loop waits, and when it pauses for others."""

from __future__ import annotations

import select
import selectors
from typing import Any

import pytest

from ondevice.client import selector as module
from ondevice.client.selector import LoopSelector


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float | None]]:
    """What is waited with, and how long, seconds; none of it waits."""
    found: list[tuple[str, float | None]] = []

    def to_the_microsecond(*arguments: Any) -> tuple[list[int], ...]:
        found.append(("select", arguments[-1]))
        return [], [], []

    def in_whole_milliseconds(_: object, timeout: float | None = None) -> list[Any]:
        found.append(("epoll", timeout))
        return []

    monkeypatch.setattr(select, "select", to_the_microsecond)
    monkeypatch.setattr(selectors.DefaultSelector, "select", in_whole_milliseconds)
    return found


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="only epoll counts whole milliseconds")
def test_a_short_wait_is_not_rounded_up_to_whole_milliseconds(waits: list[tuple[str, float | None]]) -> None:
    with LoopSelector(gives_way=False) as selector:
        for timeout in (0.0002, 0.0012):
            assert selector.select(timeout) == []
    assert waits == [("select", 0.0002), ("epoll", 0.0), ("select", 0.0012), ("epoll", 0.0)]


def test_a_long_wait_ends_early_enough_to_wait_for_the_rest(waits: list[tuple[str, float | None]]) -> None:
    with LoopSelector(gives_way=False) as selector:
        selector.select(0.5)
        selector.select(None)
    assert waits == [("epoll", pytest.approx(0.497)), ("epoll", None)]


def test_only_a_loop_that_gives_way_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s, pauses = [0.0], list[float]()
    monkeypatch.setattr(module.time, "perf_counter", lambda: now_s[0])
    monkeypatch.setattr(module.time, "sleep", pauses.append)
    for gives_way, count in ((False, 0), (True, 1)):
        with LoopSelector(gives_way) as selector:
            selector.select(0)
            now_s[0] += 0.01
            selector.select(0)
            selector.select(0)
        assert len(pauses) == count
