"""What the offload client and cameras log, as notes to the person."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterator

from ondevice.cli import console

# What is said is not repeated within so many seconds: a failing cloud is told of at every picture, many times
# a second, and a person reads about as fast.
_AGAIN_S = 2.0


class Notes(logging.Handler):
    """What is logged, as notes; the same again only after a while. Held back until `speak`."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._held: list[str] | None = []
        self._said_at: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Print one."""
        message = record.getMessage()
        if record.created < self._said_at.get(message, -math.inf) + _AGAIN_S:
            return
        self._said_at[message] = record.created
        if self._held is None:
            console.note(message)
        else:
            self._held.append(message)

    def speak(self, without: str | None) -> None:
        """Print those held back, without those that say what an error will say; from now on, all at once."""
        with self.lock or contextlib.nullcontext():  # typed as if there may be none
            held, self._held = self._held or [], None
        for message in held:
            if without is None or without not in message:
                console.note(message)


@contextlib.contextmanager
def notes_of_the_client() -> Iterator[Notes]:
    """While inside, the client's warnings are notes."""
    with _notes_of("ondevice.client") as notes:
        yield notes


@contextlib.contextmanager
def notes_of_the_frames() -> Iterator[None]:
    """While inside, the warnings of what frames come from are notes, at once."""
    with _notes_of("ondevice.frames") as notes:
        notes.speak(without=None)
        yield


@contextlib.contextmanager
def _notes_of(room: str) -> Iterator[Notes]:
    log, notes = logging.getLogger(room), Notes()
    log.addHandler(notes)
    try:
        yield notes
    finally:
        log.removeHandler(notes)
