"""The queue before this machine's workers, as the choice of a model sees it."""

from __future__ import annotations

import math

import numpy as np

from ondevice.cloud.backends.backend import BackendQueue, Others
from ondevice.cloud.backends.learning import OwnOverhead
from ondevice.cloud.backends.workers.pool import Pool
from ondevice.protocol.picture import PictureHead
from ondevice.timing.arrays import FloatArray


class LocalQueue(BackendQueue):
    """The queue of `pool`, the same for all of `count` models. overhead: what is learned of the way through here."""

    def __init__(self, pool: Pool, count: int, overhead: OwnOverhead) -> None:
        self._pool, self._overhead, self._nothing = pool, overhead, np.zeros(count)

    @property
    def waiting(self) -> int:
        """Requests for which no worker is free yet."""
        return len(self._pool.queue)

    @property
    def saturated(self) -> bool:
        """Whether all workers have something to do."""
        return self._pool.crew.busy >= len(self._pool.crew.workers) or len(self._pool.queue) > 0

    @property
    def room(self) -> int:
        """The workers that have nothing to do, and for which nothing waits."""
        return 0 if self._pool.queue else len(self._pool.crew.workers) - self._pool.crew.busy

    def wait_ms(self, picture: PictureHead | None, due: float = math.inf) -> FloatArray:
        """The wait for a worker, the same for all, [m]."""
        wait_ms = self._pool.queue.wait_ms(due)
        if self.saturated:
            # What waits unread, before a request's first byte is seen, takes about as long as what is seen of the way.
            wait_ms += self._overhead.ms
        return self._nothing + wait_ms

    def others(self, due: float) -> Others:
        """What waits for a worker."""
        return self._pool.queue.others(due)
