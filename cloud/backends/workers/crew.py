"""The workers that can be given work."""

from __future__ import annotations

from collections.abc import Callable

from ondevice.cloud.backends.workers.handle import WorkerHandle
from ondevice.cloud.backends.workers.job import WorkerJob


class Crew:
    """workers: those that have not ended. version: counts all that changes what they have to do. freed: called when
    one may take more.
    """

    def __init__(self, freed: Callable[[], None]) -> None:
        self.workers: list[WorkerHandle] = []
        self.version = 0
        self.freed = freed

    def changed(self) -> None:
        """What they have to do has changed."""
        self.version += 1

    def join(self, worker: WorkerHandle) -> None:
        """One more can be given work."""
        self.workers.append(worker)
        self.changed()
        self.freed()

    def leave(self, worker: WorkerHandle) -> WorkerJob | None:
        """One has died; gives the request that it was at."""
        self.workers.remove(worker)
        self.changed()
        return worker.hands.at

    @property
    def alive(self) -> list[WorkerHandle]:
        """Those that still begin what they are told: of another a job must not be charged with its death."""
        return [worker for worker in self.workers if not worker.process.lost]

    @property
    def busy(self) -> int:
        """How many have something to do."""
        return len([worker for worker in self.workers if worker.hands.held])

    def idle(self) -> list[WorkerHandle]:
        """Those that have nothing to do."""
        return [worker for worker in self.workers if not (worker.hands.held or worker.process.lost)]

    def free(self, now: float) -> list[WorkerHandle]:
        """Those that the next job may go to: the idle, else the one that takes more and is done first."""
        if idle := self.idle():
            return idle
        more = [worker for worker in self.alive if worker.hands.takes_more(now)]
        return sorted(more, key=lambda worker: worker.hands.free_at(now))[:1]

    def soonest(self, now: float) -> WorkerHandle | None:
        """The one that is done first; None where there is none."""
        return min(self.alive, key=lambda worker: worker.hands.free_at(now), default=None)

    def warm(self) -> set[str]:
        """The models that none of them would have to load first."""
        return set.intersection(*[worker.process.loaded for worker in self.workers]) if self.workers else set()
