"""Models of another server that is not there."""

from __future__ import annotations

from clock import Clock
from events import Events

from ondevice.cloud.backends.decoding import DecodeTimes
from ondevice.cloud.backends.learning import Learned
from ondevice.cloud.backends.upstream.health import ServerHealth
from ondevice.cloud.backends.upstream.model import UpstreamModel
from ondevice.models.card import Input
from ondevice.protocol.metadata import TensorMetadata
from ondevice.protocol.served import ServedModel, Work
from ondevice.remote import Feed, RemoteModel
from ondevice.timing.recent import Recent

SAMPLE = Work(b"sample", True, 1, False, 0.0)


def server(clock: Clock) -> ServerHealth:
    """One that is well."""
    return ServerHealth("there", clock, Events())


def model(
    name: str, row: int = 0, ms: float = 10.0, at: ServerHealth | None = None, feed: Input | None = None
) -> UpstreamModel:
    """One that is well and takes so long. at: its server. feed: how a picture becomes its tensor here, if it must."""
    tensor = TensorMetadata("x", "FP32", (1, 8, 8, 3))
    served = ServedModel(name, ("a", "b"), 0.5, "", "", 0, "there", tensor, TensorMetadata("y", "FP32", (1, 2)), False)
    remote = RemoteModel(served, Feed(feed, False) if feed else None, False, None)
    learned = Learned(name, Recent([ms] * 5), DecodeTimes((8, 8)), used_at=0.0)
    return UpstreamModel(row, remote, SAMPLE, learned, (at or server(Clock())).of_model(name))
