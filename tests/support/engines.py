"""A client's thread for tests of what runs on one: executors and what they know."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from ondevice.client.engine import Engine
from ondevice.client.executors.attempt import AttemptOutcome, Task

# However busy the machine is.
_PATIENCE_S = 30.0
ENGINE = Engine()

Result = TypeVar("Result")


def awaited(work: Coroutine[Any, Any, Result]) -> Result:
    """What comes of a coroutine there."""
    return ENGINE.submit(work).result(_PATIENCE_S)


def on(act: Callable[..., Result], *arguments: Any, **more: Any) -> Result:
    """What comes of a call there."""

    async def called() -> Result:
        return act(*arguments, **more)

    return awaited(called())


def outcome(task: Task) -> AttemptOutcome:
    """The next of a task's."""
    return awaited(task.outcomes.get())
