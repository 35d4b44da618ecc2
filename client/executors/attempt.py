"""One interface for device and cloud: a picture is begun at one of them, and its results go to the task's queue.

All of it belongs to the client's own thread.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from time import perf_counter
from typing import Literal, NamedTuple, Protocol, TypeVar

from ondevice.answer import Answer
from ondevice.client.picture import Picture
from ondevice.errors import OnDeviceError, UpstreamError

Where = Literal["device", "cloud"]
Options = TypeVar("Options", contravariant=True)


class Ending(NamedTuple):
    """What a request came to. result: the answer, or why there is none. sent_bytes: to the cloud. both: whether it had
    begun at both places. failure: why the cloud failed, being late included. held: whether the answer was there before
    and was held until the last moment.
    """

    result: Answer | OnDeviceError
    sent_bytes: int = 0
    both: bool = False
    failure: UpstreamError | None = None
    held: bool = False


@dataclass(eq=False)
class Task:
    """A picture to be classified by `sla_ms` after `started`, on perf_counter's clock. top: how many classes.

    reserve: what whoever asked takes when the last moment has come, though better may still be under way; that ends
    soon after by itself. late_ms: how much later than that they had woken. over: whether all has ended.
    """

    picture: Picture
    sla_ms: float
    top: int
    started: float = field(default_factory=perf_counter)
    outcomes: asyncio.Queue[AttemptOutcome] = field(default_factory=asyncio.Queue)
    reserve: Ending | None = None
    late_ms: float | None = None
    over: bool = False

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

    top1: the accuracy to expect of it at best. sent_bytes: of what was sent, if it was. upload: what that was, in a
    word.
    """

    upload = ""

    def __init__(self, task: Task, where: Where, top1: float) -> None:
        self.task, self.where, self.top1 = task, where, top1
        self.begun = perf_counter()
        self.sent_bytes = 0
        self.result: Answer | OnDeviceError | None = None
        self.cancelled = False

    def end(self, result: Answer | OnDeviceError, top1: float | None = None, last: bool = True) -> None:
        """Hand in what came of it. top1: the accuracy to expect of that, if it is not the best."""
        self.result = result
        self.task.outcomes.put_nowait(AttemptOutcome(self, result, self.top1 if top1 is None else top1, last))

    def cancel(self) -> None:
        """Nobody waits for it any more."""
        self.cancelled = True


class Executor(Protocol[Options]):
    """A place where pictures are classified."""

    def begin(self, task: Task, options: Options) -> Attempt:
        """Begin a task; it returns at once, and raises nothing."""
