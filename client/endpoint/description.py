"""What an endpoint is to its client: how it is asked, how its replies are read, and what is to be expected of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol, TypeVar

from ondevice.client.connection.messages import HttpReply, HttpRequest
from ondevice.client.endpoint.reply import ParsedReply
from ondevice.client.picture import Upload
from ondevice.errors import UpstreamError
from ondevice.selection.ladder import UploadLadder
from ondevice.selection.replies import ReplyDistribution
from ondevice.selection.uploads import Situation, UploadCandidates
from ondevice.timing.arrays import FloatArray

# Asks the endpoint something small. Raises UpstreamError.
Ask = Callable[[HttpRequest], Awaitable[HttpReply]]

Result = TypeVar("Result")


class Aside(Protocol):
    """Runs what blocks or computes on a thread beside."""

    def __call__(self, work: Callable[..., Result], /, *arguments: object) -> Awaitable[Result]:
        """What comes of calling it."""


class RequestContext(NamedTuple):
    """What goes with a picture. left_ms: until the deadline. overhead_ms: gives k equally likely times of all but the
    inference [k], for where the model is chosen here; return_ms: of these, what is set aside for the reply.
    device_top1: what the device's answer is worth. reply: its time given the upload's. anytime: how many answers it may
    give, one after the other.
    """

    left_ms: float
    overhead_ms: Callable[[], FloatArray]
    return_ms: float
    device_top1: float
    top: int
    reply: ReplyDistribution | None = None
    anytime: int = 1


class PreparedRequest(NamedTuple):
    """A request, the model that it names ("": the endpoint chooses), and how many classes are wanted."""

    request: HttpRequest
    model: str
    top: int


class UploadForecast(Protocol):
    """What is to be expected of uploads to an endpoint.

    side: the largest side of its models' inputs; 0: not known. top1: the models' accuracies [m]. ladder: what smaller
    pictures leave of them, in their order; None: it does not tell.
    """

    side: int
    top1: FloatArray
    ladder: UploadLadder | None

    def effective_top1(self, uploads: UploadCandidates, situation: Situation) -> FloatArray:
        """The expected effective accuracy (MDInference's measure) of asking with each of these uploads, [u], with the
        device's answer in reserve.
        """


class EndpointDescription(UploadForecast, Protocol):
    """What is known of an endpoint's models. best_top1: the accuracy of its best model."""

    best_top1: float

    async def prepare(self, upload: Upload, context: RequestContext, aside: Aside) -> PreparedRequest:
        """The request for a picture. Raises ImageError."""

    def read(self, prepared: PreparedRequest, reply: HttpReply) -> ParsedReply:
        """The answer in its reply. Raises UpstreamError."""

    def again(self, prepared: PreparedRequest, error: UpstreamError) -> bool:
        """Whether a request that has failed so is to be prepared again, which is another one now, and sent at once."""

    def record_inference(self, model: str, infer_ms: float) -> None:
        """Learn how long one of its models took."""
