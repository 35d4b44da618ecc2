"""A clock that stands still until a test, or whoever sleeps by it, moves it on."""

from __future__ import annotations


class Clock:
    """To be put in the place of `perf_counter` or `monotonic`. now_s: what it tells, s.

    step_s: by how much it goes on whenever it is looked at, for what looks at it until the time has come.
    """

    def __init__(self, now_s: float = 1000.0, step_s: float = 0.0) -> None:
        self.now_s, self.step_s = now_s, step_s

    def __call__(self) -> float:
        self.now_s += self.step_s
        return self.now_s

    def pass_ms(self, ms: float) -> None:
        self.now_s += ms / 1e3

    def sleep(self, seconds: float) -> None:
        """In the place of `time.sleep`."""
        self.now_s += seconds
