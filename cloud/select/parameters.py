"""What a request asks for beside its picture: the deadline, what is known of the network, the policy."""

from __future__ import annotations

from typing import NamedTuple

from ondevice.protocol.rung import Rung
from ondevice.selection.replies import ReplyDistribution

# A deadline under a microsecond is a mistake of unit.
SHORTEST_MS = 0.001


class RequestParameters(NamedTuple):
    """The parameters of a request; None where the client does not say.

    sla_ms: the deadline, from the client's first byte sent. upload_ms, return_ms: what the network takes each way.
    device_top1: the accuracy that the client has without us, so that a reply that is late is worth that. reply: what
    the client has learned of the reply's time given the upload's; policies that know of chances use it. anytime: how
    many answers it takes, each sent as soon as it is there. upload: what the picture was made before it was sent.
    cropped: the share of the picture's shorter side, cut out of the centre, that was sent; 1: all of it.
    """

    sla_ms: float | None = None
    upload_ms: float | None = None
    return_ms: float | None = None
    policy: str | None = None
    top: int = 5
    device_top1: float = 0.0
    reply: ReplyDistribution | None = None
    anytime: int = 1
    upload: Rung | None = None
    cropped: float = 1.0
