"""Several answers to one request: its models run side by side, and each answer goes out as soon as it is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import NamedTuple

from ondevice.cloud.backends.backend import InferenceResult
from ondevice.cloud.backends.ticket import Ticket
from ondevice.cloud.select.choice import Choice
from ondevice.errors import OnDeviceError

_Runs = dict[asyncio.Task[InferenceResult], Choice]


class Answered(NamedTuple):
    """What one of the models has said. last: whether no other is waited for."""

    choice: Choice
    result: InferenceResult
    last: bool


async def answers(
    choices: Sequence[tuple[Choice, Ticket]], failed: Callable[[Choice, OnDeviceError], None]
) -> AsyncGenerator[Answered, None]:
    """Each answer when it is there, if its model is more accurate than those before; the others are not waited for.

    choices: each with its turn. failed: called with a model that fails, and its error; the others go on. Raises the
    last error if no model answers.
    """
    runs = {asyncio.ensure_future(choice.backend.run(ticket)): choice for choice, ticket in choices}
    found, error = False, None
    try:
        while runs:
            task = await _next(runs)
            choice = runs.pop(task)
            try:
                result = task.result()
            except OnDeviceError as raised:
                failed(choice, raised)
                error = raised
            else:
                found = True
                _forget(runs, choice.top1)
                yield Answered(choice, result, last=not runs)
    finally:
        _forget(runs, 1.0)
    if error and not found:
        raise error


async def _next(runs: _Runs) -> asyncio.Task[InferenceResult]:
    """Of those that are done, once any is, the most accurate."""
    done, _ = await asyncio.wait(runs, return_when=asyncio.FIRST_COMPLETED)
    return max(done, key=lambda task: runs[task].top1)


def _forget(runs: _Runs, top1: float) -> None:
    """Those that are no more accurate are not wanted; what has begun ends in its worker all the same."""
    for task in [task for task, choice in runs.items() if choice.top1 <= top1]:
        del runs[task]
        if not task.cancel():
            task.exception()  # has been seen
