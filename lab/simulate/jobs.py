"""Cases shared out among processes: each is given one, and the next when it has done that."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from multiprocessing.connection import Connection, Pipe, wait

from ondevice.errors import OnDeviceError
from ondevice.lab.simulate.outcomes import OutcomeCounts
from ondevice.lab.simulate.queueing import simulate
from ondevice.lab.simulate.simulation import Case, SimulationSettings
from ondevice.process import child
from ondevice.process.child import Child

_Workers = Mapping[Connection, Child]


def shared_out(cases: Sequence[Case], settings: SimulationSettings, jobs: int) -> Iterator[tuple[int, OutcomeCounts]]:
    """Simulate the cases in so many processes; gives each one's number and outcomes as it is done.

    Closed before its end, it ends the processes. Raises OnDeviceError where one of them dies.
    """
    with contextlib.ExitStack() as stack:
        workers = {pipe: stack.enter_context(worker) for pipe, worker in map(_started, range(jobs))}
        todo = iter(range(len(cases)))
        for pipe, number in zip(workers, todo, strict=False):
            with _death_told(workers[pipe]):
                pipe.send((cases, settings))
                pipe.send(number)
        for _ in cases:
            pipe = _ready(workers)
            with _death_told(workers[pipe]):
                result = pipe.recv()
                for number in islice(todo, 1):
                    pipe.send(number)
            if isinstance(result, Exception):
                raise result
            yield result


def _started(_: int) -> tuple[Connection, Child]:
    here, there = Pipe()
    with there:
        return here, child.start("ondevice.lab.simulate.jobs", str(there.fileno()), handles=[there.fileno()])


def _ready(workers: _Workers) -> Connection:
    """One that has something to say, or has died."""
    ready = wait(list(workers))[0]
    assert isinstance(ready, Connection)
    return ready


@contextlib.contextmanager
def _death_told(worker: Child) -> Iterator[None]:
    try:
        yield
    except (EOFError, ConnectionError) as error:
        raise OnDeviceError(
            f"a process of --jobs ended before its time {worker.death()}; perhaps for want of memory: try fewer"
        ) from error


def main() -> None:
    """In one of the processes: simulate the cases whose numbers come, until the parent is gone."""
    pipe = Connection(int(sys.argv[1]))
    with contextlib.suppress(EOFError, ConnectionError):
        cases, settings = pipe.recv()
        while True:
            number = pipe.recv()
            try:
                pipe.send((number, simulate(cases[number], settings)))
            except OnDeviceError as error:
                pipe.send(error)
