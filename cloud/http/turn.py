"""A request that waits to be answered after those that came before it on its connection."""

from __future__ import annotations

from typing import NamedTuple

from ondevice.cloud.http.budget import Allotment
from ondevice.cloud.http.messages import Request


class Turn(NamedTuple):
    """A request that is whole.

    keep: whether the connection is to stay; chunks: whether its client knows them; share: what its body holds.
    """

    request: Request
    keep: bool
    chunks: bool
    share: Allotment | None
