"""What the endpoint says of its models, kept up to date by its replies: what it would choose, and how good that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ondevice import records
from ondevice.client.connection.messages import HttpReply, HttpRequest
from ondevice.client.endpoint.description import Aside, Ask, PreparedRequest, RequestContext
from ondevice.client.endpoint.reply import ParsedReply, read
from ondevice.client.picture import Upload
from ondevice.errors import FailureKind, UpstreamError, UsageError
from ondevice.protocol import cnnselect, paths, replies
from ondevice.protocol.metadata import ModelMetadata
from ondevice.selection import policies
from ondevice.selection.ladder import UploadLadder
from ondevice.selection.problem import Models
from ondevice.selection.uploads import Situation, UploadCandidates, expected_top1
from ondevice.timing.arrays import FloatArray
from ondevice.timing.profile import Profile
from ondevice.timing.recent import Recent

# A policy that only newer endpoints know is taken for this one.
_LIKELY = "effective"
# That a server has no such model: which of them it says, is not agreed on.
_UNKNOWN = (FailureKind.MISSING, FailureKind.REJECTED)
# A larger input, pixels, is a mistake or a lie: no published image classifier takes more than some 600.
_LARGEST = 4096


@dataclass(frozen=True)
class _Parameters:
    """The metadata's parameters; policy may be anything, and is taken as its text."""

    profiles: list[Profile]
    top1: dict[str, float]
    picture_side: int = 0
    policy: Any = ""
    anytime: int = 1
    uploads: Any = None

    def __post_init__(self) -> None:
        if not 0 <= self.picture_side <= _LARGEST:
            raise ValueError("picture_side is not a number of pixels")
        if self.anytime < 1:
            raise ValueError("anytime is not a number of answers")


class CnnSelectEndpoint:
    """The models that an endpoint chooses among.

    names: m of them. top1: their accuracies [m]. best_top1: the accuracy of the best. side: the largest input side; 0:
    not known. ladder: see `EndpointDescription`.
    """

    def __init__(self, metadata: ModelMetadata) -> None:
        """From the metadata of `cnnselect`. Raises UpstreamError where they tell nothing of use."""
        try:
            parameters = records.read(_Parameters, metadata.parameters, surplus=True)
            profiles = _one_each(parameters.profiles)
            self._models = Models.of(parameters.top1, profiles)
            self._times = {each.model: Recent.seeded(each.distribution, each.n) for each in profiles}
            self._rule = _rule(str(parameters.policy))
            told = parameters.uploads
            self.ladder = UploadLadder.from_dict(told).of(self._models.names) if told else None
        except (LookupError, TypeError, ValueError, OverflowError, RecursionError, UsageError) as error:
            reason = " ".join(str(error)[:200].split())
            raise replies.wrong(f"what it says of its models is not understood: {reason}") from error
        self.side, self._anytime = parameters.picture_side, parameters.anytime
        self.names = self._models.names
        self.top1 = self._models.top1
        self.best_top1 = float(self.top1.max())

    @classmethod
    async def discover(cls, ask: Ask) -> CnnSelectEndpoint | None:
        """Ask an endpoint for them; None where it has no model that chooses. Raises UpstreamError."""
        try:
            metadata = replies.metadata((await ask(HttpRequest("GET", paths.of_model(cnnselect.NAME)))).body)
        except UpstreamError as error:
            if error.failure in _UNKNOWN:
                return None
            raise
        # A server of one model may tell of that whatever name it is asked for.
        another = metadata.inputs and cnnselect.IMAGE not in metadata.inputs
        return None if another else cls(metadata)

    def record_inference(self, model: str, infer_ms: float) -> None:
        """Learn from a reply."""
        if model in self._times and 0 <= infer_ms < math.inf:
            recent = self._times[model]
            recent.add(infer_ms)
            self._models = self._models.learned(self.names.index(model), recent.distribution)

    async def prepare(self, upload: Upload, context: RequestContext, aside: Aside) -> PreparedRequest:
        """The picture itself, with what else there is to say in the query."""
        return picture_request(upload, context._replace(anytime=min(context.anytime, self._anytime)))

    def read(self, prepared: PreparedRequest, reply: HttpReply) -> ParsedReply:
        """The model that it chose, and its answer. Raises UpstreamError."""
        return read(reply)

    def again(self, prepared: PreparedRequest, error: UpstreamError) -> bool:
        """Never: there is no other way to ask it."""
        return False

    def effective_top1(self, uploads: UploadCandidates, situation: Situation) -> FloatArray:
        """See `EndpointDescription`; the endpoint chooses the model by the same tables."""
        return expected_top1(self._rule, self._models, uploads, situation)


def picture_request(upload: Upload, context: RequestContext) -> PreparedRequest:
    """A picture to an endpoint that chooses."""
    asked = {
        cnnselect.SLA_MS: f"{context.left_ms:.3f}",
        cnnselect.RETURN_MS: f"{context.return_ms:.3f}",
        cnnselect.TOP: f"{context.top}",
        cnnselect.DEVICE_TOP1: f"{context.device_top1:.4f}" if context.device_top1 else "",
        cnnselect.ANYTIME: f"{context.anytime}" if context.anytime > 1 else "",
        cnnselect.REPLY: context.reply.text if context.reply else "",
        cnnselect.UPLOAD: upload.rung.text if upload.rung and upload.told else "",
        cnnselect.CROPPED: f"{upload.cropped:g}" if upload.told and upload.cropped < 1 else "",
    }
    query = "&".join(f"{name}={text}" for name, text in asked.items() if text)
    path = f"{paths.of_model(cnnselect.NAME)}/infer?{query}"
    return PreparedRequest(HttpRequest("POST", path, {"Content-Type": upload.kind}, upload.body), "", context.top)


def _rule(text: str) -> policies.Policy:
    try:
        return policies.find(text)
    except UsageError:
        return policies.find(_LIKELY)


def _one_each(profiles: Sequence[Profile]) -> list[Profile]:
    """A profile for each model, its fastest: 0.1.0 gives one for each place where a model stands."""
    fastest: dict[str, Profile] = {}
    for each in profiles:
        if each.model not in fastest or each.mean_ms < fastest[each.model].mean_ms:
            fastest[each.model] = each
    return list(fastest.values())
