"""The queue before another server, as the choice of a model sees it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ondevice.cloud.backends.backend import BackendQueue
from ondevice.cloud.backends.upstream.decoder import PictureDecoder
from ondevice.cloud.backends.upstream.model import UpstreamModel
from ondevice.cloud.backends.upstream.send_turns import SendTurns
from ondevice.protocol.picture import PictureHead
from ondevice.timing.arrays import FloatArray
from ondevice.timing.table import LatencyTable


class UpstreamQueue(BackendQueue):
    """Of the server of these models: their turns to be sent, and before them the decoder. table: of their times."""

    def __init__(
        self, models: Sequence[UpstreamModel], turns: SendTurns, decoder: PictureDecoder, table: LatencyTable
    ) -> None:
        self._turns, self._decoder, self._table = turns, decoder, table
        # By which the decoder's wait counts: 1 for models that take only tensors.
        self._decoded = np.array([float(model.remote.feed is not None) for model in models])

    @property
    def waiting(self) -> int:
        """Requests that the server has, or that wait to be sent to it."""
        return self._turns.requests

    @property
    def saturated(self) -> bool:
        """Whether new requests would wait to be sent."""
        return self._turns.taken

    @property
    def room(self) -> int:
        """What else its server has to do is not known."""
        return 0

    def wait_ms(self, picture: PictureHead | None, due: float = math.inf) -> FloatArray:
        """The wait for a turn to send and, for models that take only tensors, for a worker here that decodes, [m]."""
        worker_ms = self._decoder.wait_ms(due) if picture else 0.0
        return self._decoded * worker_ms + self._turns.wait_ms(float(self._table.mean_ms.mean()))
