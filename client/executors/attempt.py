"""One interface for device and cloud: a picture is begun at one of them, and its result goes to the task's queue."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from queue import SimpleQueue
from time import perf_counter
from typing import Any, Literal, NamedTuple, Protocol

from ondevice.answer import Answer
from ondevice.client.picture import Picture
from ondevice.errors import OnDeviceError

Where = Literal["device", "cloud"]


@dataclass(eq=False)
class Task:
    """A picture to be classified by `sla_ms` after `started`, on perf_counter's clock. top: how many classes."""

    picture: Picture
    sla_ms: float
    top: int
    started: float = field(default_factory=perf_counter)
    done: SimpleQueue[AttemptOutcome] = field(default_factory=SimpleQueue)

    @property
    def elapsed_ms(self) -> float:
        """Since it was started."""
        return (perf_counter() - self.started) * 1e3

    @property
    def until(self) -> float:
        """The deadline, on perf_counter's clock."""
        return self.started + self.sla_ms / 1e3


class AttemptOutcome(NamedTuple):
    """What has come of an attempt. top1: the accuracy to expect of it. last: whether nothing more comes."""

    attempt: Attempt
    result: Answer | OnDeviceError
    top1: float
    last: bool


class Attempt:
    """A task at one place. Each answer, or why there is none, is its `result` then and stands in the task's queue.

    top1: the accuracy to expect of it at best.
    """

    def __init__(self, task: Task, where: Where, top1: float) -> None:
        self.task, self.where, self.top1 = task, where, top1
        self.begun = perf_counter()
        self.result: Answer | OnDeviceError | None = None
        self.cancelled = threading.Event()

    def end(self, result: Answer | OnDeviceError, top1: float | None = None, last: bool = True) -> None:
        """Hand in what came of it. top1: the accuracy to expect of that, if it is not the best."""
        self.result = result
        self.task.done.put(AttemptOutcome(self, result, self.top1 if top1 is None else top1, last))

    def cancel(self) -> None:
        """Nobody waits for it any more."""
        self.cancelled.set()


class Executor(Protocol):
    """A place where pictures are classified."""

    def begin(self, task: Task, **how: Any) -> Attempt:
        """Begin a task; it returns at once, and raises nothing."""
