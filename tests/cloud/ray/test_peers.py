"""What replicas tell each other, without Ray."""

from __future__ import annotations

import math
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from clock import Clock
from events import Events

from ondevice.cloud.ray import peers
from ondevice.cloud.ray.peers import RayPeers, SharedPrice, SharedTexts
from ondevice.cloud.select.pressure import Pressure


class Here(RayPeers):
    """Peers whose actor is an object of this process; None: it cannot be reached."""

    def __init__(self, texts: SharedTexts | None, notes: Events) -> None:
        super().__init__("app", notes)
        self.texts, self.threads, self.told = texts, set[str](), 0

    def _ask(self, key: str) -> str | None:
        self.threads.add(threading.current_thread().name)
        return self._reached.known(key)

    def _actor(self) -> Any:
        self.threads.add(threading.current_thread().name)
        self.told += 1
        return SimpleNamespace(tell=SimpleNamespace(remote=self._reached.tell))

    @property
    def _reached(self) -> SharedTexts:
        if self.texts is None:
            raise ConnectionError("no actor")
        return self.texts

    def sent(self) -> None:
        """Send, and wait for it to be there."""
        self.send()
        self._thread.submit(lambda: None).result()


def shared() -> SharedTexts:
    return SharedTexts(list)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    given = Clock()
    monkeypatch.setattr(peers, "monotonic", given)
    return given


def test_one_tells_seldom_and_in_a_thread_of_its_own(clock: Clock) -> None:
    texts, notes = shared(), Events()
    one, other = Here(texts, notes), Here(texts, notes)
    assert other.known("times") is None
    one.tell("times", "first")
    one.tell("price", "another")
    one.sent()
    assert (other.known("times"), other.known("price"), one.told) == ("first", "another", 1)
    clock.pass_ms(4900)
    one.tell("times", "too soon")
    one.sent()
    assert (other.known("times"), one.told) == ("first", 1)
    clock.pass_ms(200)
    one.sent()
    assert (other.known("times"), one.told) == ("too soon", 2)
    assert threading.current_thread().name not in one.threads | other.threads
    assert notes == []


def test_who_has_nothing_to_tell_does_not_speak(clock: Clock) -> None:
    one = Here(shared(), Events())
    one.sent()
    assert one.told == 0


def test_what_is_lost_with_an_actor_another_is_told_and_what_is_newer_stays(clock: Clock) -> None:
    one, other = Here(shared(), Events()), Here(None, Events())
    for key in ("times", "price"):
        one.tell(key, "old")
    one.sent()
    one.texts = other.texts = shared()
    other.tell("price", "new")
    other.sent()
    assert other.known("times") is None
    clock.pass_ms(5000)
    one.sent()
    assert (other.known("times"), other.known("price")) == ("old", "new")


def test_an_actor_that_nobody_speaks_to_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "_ALONE_S", 0.01)
    over = threading.Event()
    texts = SharedTexts(over.set)
    texts.tell({"times": "first"}, {})
    assert over.wait(30)


def test_peers_that_are_not_there_cost_a_line_in_the_log(clock: Clock) -> None:
    notes = Events()
    alone = Here(None, notes)
    assert alone.known("times") is None
    alone.tell("times", "first")
    alone.sent()
    assert notes.names == ["replicas not asked", "replicas not told"]
    alone.close()
    clock.pass_ms(10_000)
    alone.send()
    assert len(notes) == 2


def test_a_price_is_begun_with_and_told_once_it_changes(clock: Clock) -> None:
    texts, busy, fresh = shared(), Pressure(), Pressure()
    one, other = Here(texts, Events()), Here(texts, Events())
    price = SharedPrice(one, busy)
    price.tell()
    one.sent()
    assert other.known("price") is None, "nobody was refused yet"
    for budget_ms in (20.0, 30.0):
        busy.refused(budget_ms)
    price.tell()
    one.sent()
    SharedPrice(other, fresh).begin()
    assert fresh.recent_ms == busy.recent_ms
    assert fresh.recent_ms[-2:] == [20.0, 30.0]
    assert fresh.recent_ms[0] == math.inf
    assert fresh.raised(0.0, 100.0) == busy.raised(0.0, 100.0) > 0
