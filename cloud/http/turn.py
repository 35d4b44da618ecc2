"""A request that waits to be answered after those that came before it on its connection."""

from __future__ import annotations

from typing import NamedTuple

from ondevice.cloud.app.messages import ArrivingRequest
from ondevice.resilience.budget import Allotment


class Turn(NamedTuple):
    """A request that is whole. last_byte, held_s: as for its answer.

    head_only: whether its reply's body is not sent; keep: whether the connection is to stay; chunks: whether its client
    knows them; share: what its body holds.
    """

    request: ArrivingRequest
    last_byte: float
    held_s: float
    head_only: bool
    keep: bool
    chunks: bool
    share: Allotment | None
