"""Toxiproxy's toxics, by its names, attributes and rules: what goes wrong with a connection beside being slow.

Latency, jitter and bandwidth, which are toxics in toxiproxy, are settings of a link's direction here.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ondevice import words
from ondevice.errors import UsageError

# The one attribute of each: times in ms, or bytes.
ATTRIBUTES = {"timeout": "timeout", "reset_peer": "timeout", "slow_close": "delay", "limit_data": "bytes"}
STREAMS = ("upstream", "downstream")


@dataclass(frozen=True)
class Toxic:
    """A toxic in one direction of a link.

    ``timeout``: all data is dropped, and the connection is closed when there was none for `value` ms (0: never), or
    when the toxic is removed. ``reset_peer``: data is dropped, and `value` ms after the first the connection is reset.
    ``slow_close``: the end of the stream is passed on `value` ms late. ``limit_data``: the connection is closed when
    `value` bytes have passed. toxicity: the share of connections that have it. Raises UsageError.
    """

    name: str
    value: float = 0.0
    toxicity: float = 1.0

    def __post_init__(self) -> None:
        words.known(self.name, ATTRIBUTES, "toxic")
        if not 0 <= self.value < math.inf:
            raise UsageError(f"toxic {self.name}: {ATTRIBUTES[self.name]} is a number from 0 up, not {self.value:g}")
        if not 0 <= self.toxicity <= 1:
            raise UsageError(f"toxic {self.name}: toxicity is a share from 0 to 1, not {self.toxicity:g}")


def parse(text: str) -> tuple[str, Toxic]:
    """The stream and the toxic from ``limit_data:bytes=5000,stream=upstream,toxicity=0.5``; downstream if not said.

    Raises UsageError.
    """
    name, _, rest = text.partition(":")
    name = name.strip()
    attribute = ATTRIBUTES[Toxic(name).name]
    settings = {"stream": "downstream", "toxicity": "1", attribute: "0"}
    for part in filter(None, rest.split(",")):
        key, _, value = (piece.strip() for piece in part.partition("="))
        if key not in settings:
            raise UsageError(f"toxic {name} has no '{key}': it takes {attribute}, toxicity and stream")
        settings[key] = value
    if settings["stream"] not in STREAMS:
        raise UsageError(f"toxic {name}: stream is {' or '.join(STREAMS)}, not '{settings['stream']}'")
    numbers = [_number(name, key, settings[key]) for key in (attribute, "toxicity")]
    return settings["stream"], Toxic(name, *numbers)


def _number(name: str, key: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UsageError(f"toxic {name}: {key} must be a number, not '{text}'") from error


class Victim(Protocol):
    """The connection that has the toxic."""

    def close(self) -> None:
        """Close both ends when what was written is sent."""

    def reset(self) -> None:
        """Reset both ends at once."""


class Effect:
    """A toxic at work in one direction of one connection, at the far end of the link."""

    def __init__(self, toxic: Toxic, victim: Victim) -> None:
        self.toxic = toxic
        self._victim = victim
        self._timer: asyncio.TimerHandle | None = None

    def data(self, data: bytes) -> bytes:
        """What passes of what arrives."""
        return data

    def end(self, then: Callable[[], None]) -> None:
        """The stream ends: call `then` to pass that on."""
        then()

    def removed(self) -> None:
        """The toxic was taken away while the connection lives."""
        self.stop()

    def stop(self) -> None:
        """The connection is over."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _later(self, callback: Callable[[], None]) -> None:
        self.stop()
        self._timer = asyncio.get_running_loop().call_later(self.toxic.value / 1e3, self._due, callback)

    def _due(self, callback: Callable[[], None]) -> None:
        self._timer = None
        callback()


class _Timeout(Effect):
    def __init__(self, toxic: Toxic, victim: Victim) -> None:
        super().__init__(toxic, victim)
        self._watch()

    def data(self, data: bytes) -> bytes:
        self._watch()
        return b""

    def end(self, then: Callable[[], None]) -> None:
        self._victim.close()

    def removed(self) -> None:
        super().removed()
        self._victim.close()

    def _watch(self) -> None:
        if self.toxic.value:
            self._later(self._victim.close)


class _ResetPeer(Effect):
    def data(self, data: bytes) -> bytes:
        self._trigger()
        return b""

    def end(self, then: Callable[[], None]) -> None:
        self._trigger()

    def removed(self) -> None:
        if self._timer:  # data is missing already
            super().removed()
            self._victim.reset()

    def _trigger(self) -> None:
        if not self._timer:
            self._later(self._victim.reset)


class _SlowClose(Effect):
    def end(self, then: Callable[[], None]) -> None:
        self._then = then
        self._later(then)

    def removed(self) -> None:
        if self._timer:  # the end is waiting
            super().removed()
            self._then()


class _LimitData(Effect):
    def __init__(self, toxic: Toxic, victim: Victim) -> None:
        super().__init__(toxic, victim)
        self._left = int(toxic.value)

    def data(self, data: bytes) -> bytes:
        data = data[: self._left]
        self._left -= len(data)
        if self._left == 0:
            # What passes now is written before the connection is closed.
            asyncio.get_running_loop().call_soon(self._victim.close)
        return data


_EFFECTS: dict[str, type[Effect]] = {
    "timeout": _Timeout, "reset_peer": _ResetPeer, "slow_close": _SlowClose, "limit_data": _LimitData,
}  # fmt: skip


def start_effect(toxic: Toxic, victim: Victim) -> Effect:
    """The toxic set to work on a connection, in the running event loop."""
    return _EFFECTS[toxic.name](toxic, victim)


class ActiveToxics:
    """The toxics at work in one direction of one connection, one behind the other."""

    def __init__(self, victim: Victim, draws: random.Random) -> None:
        self._victim = victim
        self._draws = draws
        self._drawn: Sequence[Toxic] = ()  # what the direction had when toxics were last drawn
        self._effects: list[Effect] = []

    def update(self, toxics: Sequence[Toxic]) -> None:
        """Have the toxics that the direction has now; those that stay go on, and what was spared one stays spared."""
        before, self._drawn = self._drawn, toxics
        gone = [effect for effect in self._effects if effect.toxic not in toxics]
        new = [toxic for toxic in toxics if toxic not in before and self._draws.random() < toxic.toxicity]
        self._effects = [effect for effect in self._effects if effect not in gone]
        self._effects += [start_effect(toxic, self._victim) for toxic in new]
        for effect in gone:
            effect.removed()  # which may close the connection

    def data(self, data: bytes) -> bytes:
        """What passes all toxics of what arrives."""
        for effect in self._effects:
            data = effect.data(data)
        return data

    def end(self, then: Callable[[], None]) -> None:
        """The stream ends: call `then` when all toxics have let that pass."""
        self._end_behind(self._effects, then)

    def stop(self) -> None:
        """The connection is over."""
        for effect in self._effects:
            effect.stop()

    def _end_behind(self, effects: Sequence[Effect], then: Callable[[], None]) -> None:
        if effects:
            effects[0].end(lambda: self._end_behind(effects[1:], then))
        else:
            then()
