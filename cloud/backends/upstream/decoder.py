"""Pictures decoded by the workers here, for models of another server that take only tensors."""

from __future__ import annotations

from time import perf_counter
from typing import NamedTuple

from ondevice import remote
from ondevice.cloud.backends.decoding import DecodeTimes, Decoding
from ondevice.cloud.backends.ticket import Ticket
from ondevice.cloud.backends.workers.job import PlannedRun, WorkerJob
from ondevice.cloud.backends.workers.pool import Pool
from ondevice.cloud.backends.workers.sample import sample_picture
from ondevice.errors import ModelError
from ondevice.protocol.picture import PictureHead
from ondevice.protocol.served import Work
from ondevice.remote import RemoteModel

# The size of the pictures for models that take them as they are: nothing is learned of decoding these.
_NOT_DECODED = (1, 1)


class DecodedPicture(NamedTuple):
    """The work with a tensor in the picture's place; the wait for a worker, and what decoding took, ms."""

    work: Work
    queue_ms: float
    decode_ms: float


class PictureDecoder:
    """Decodes by the workers of `pool`, running, or not at all; learns how long that takes for each size of input."""

    def __init__(self, pool: Pool | None) -> None:
        self._pool = pool
        self._decoding = Decoding()

    def wait_ms(self, due: float) -> float:
        """How long a picture that is due then would wait for a worker, ms."""
        return self._pool.queue.wait_ms(due) if self._pool else 0.0

    def times(self, described: RemoteModel) -> DecodeTimes:
        """What is learned of decoding for a model. Raises ModelError where that cannot be done here."""
        if described.feed is None:
            return self._decoding.of(_NOT_DECODED)
        if not self._pool:
            raise ModelError("it takes tensors, and no worker here decodes pictures for it", described.served.name)
        return self._decoding.of((described.feed.input.height, described.feed.input.width))

    async def decode(self, described: RemoteModel, ticket: Ticket, expected_ms: float) -> DecodedPicture:
        """Decode a picture for a model that takes only tensors, in its turn. Raises ImageError, RefusedError."""
        assert self._pool, "without workers there are no such models"
        plan = PlannedRun(f"prepare {described.served.name}", expected_ms)
        message = {"op": "prepare", "cropped": ticket.work.cropped, **remote.preparation(described)}
        job = WorkerJob(message, ticket, plan, lambda: plan)
        self._pool.submit(job)
        reply, tensor = await self._pool.result(job)
        work = ticket.work._replace(payload=tensor, is_picture=False)
        return DecodedPicture(work, job.queue_ms, float(reply["decode_ms"]))

    async def sample(self, described: RemoteModel, times: DecodeTimes) -> Work:
        """A picture of ours, decoded where the model takes only tensors, and what that took learned."""
        payload = sample_picture(described.served.input.shape)
        head = PictureHead.read(payload)
        work = Work(payload, True, 1, False, perf_counter(), head)
        if described.feed is None:
            return work
        decoded = await self.decode(described, Ticket(described.served.name, work), times.expect(head))
        times.measured(head, [decoded.decode_ms])
        return decoded.work
