"""An event loop whose clock stands still while something is done, and jumps to whatever is due next."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class Loop(asyncio.SelectorEventLoop):
    """now_s: its time. Waiting for what never comes fails at once."""

    def __init__(self) -> None:
        self.now_s = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self.now_s


class _Jumping(selectors.SelectSelector):
    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "it waits for ever"
        self._loop.now_s = round(self._loop.now_s + timeout, 9)
        return super().select(0)


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Its result, however long it takes by its own clock."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(work)
