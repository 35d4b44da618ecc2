"""A request that has come, before anything is chosen for it."""

from __future__ import annotations

from typing import NamedTuple

from ondevice.cloud.select.parameters import RequestParameters
from ondevice.protocol.picture import PictureHead


class Arrival(NamedTuple):
    """A request as far as the choice goes. upload_ms: as measured. picture: as its header has it, or None for a tensor.

    received: its last byte, by perf_counter.
    """

    parameters: RequestParameters
    upload_ms: float
    picture: PictureHead | None
    received: float
