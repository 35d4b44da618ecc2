"""One inference's way: what is asked, the choice, the run, another model where one fails, the answer."""

from __future__ import annotations

from collections.abc import Callable

from ondevice.cloud.app import describe, infer, large_pictures, request_parameters, responses
from ondevice.cloud.app.attempts import Attempts
from ondevice.cloud.app.calls import Call, InferenceCall
from ondevice.cloud.app.directory import Directory, ModelPlace
from ondevice.cloud.app.large_pictures import LargePictures
from ondevice.cloud.app.messages import Response
from ondevice.cloud.app.replies import InferenceReplies
from ondevice.cloud.app.streams import AnswerStreams
from ondevice.cloud.backends.backend import Backend, InferenceResult
from ondevice.cloud.backends.states import ModelState
from ondevice.cloud.select.arrival import Arrival
from ondevice.cloud.select.choice import Choice
from ondevice.cloud.select.parameters import RequestParameters
from ondevice.cloud.select.selector import Selector
from ondevice.errors import ModelError, NoRouteError, OnDeviceError, ProtocolError, ServeError, UpstreamError
from ondevice.protocol import cnnselect
from ondevice.protocol.picture import PictureFormat, PictureHead
from ondevice.protocol.served import ServedModel
from ondevice.selection.ladder import usual_bytes


class Inference:
    """By a named model of the directory, or by those that the selector chooses. tell: called with an event and its
    fields.
    """

    def __init__(
        self,
        selector: Selector,
        directory: Directory,
        replies: InferenceReplies,
        streams: AnswerStreams,
        tell: Callable[..., None],
    ) -> None:
        self._selector, self._directory, self._tell = selector, directory, tell
        self._replies, self._streams = replies, streams
        self.large = LargePictures()

    async def select(self, call: Call) -> Response:
        """The choice alone."""
        if call.model != cnnselect.NAME:
            raise NoRouteError(f"{call.model[:100]} selects nothing: ask {cnnselect.NAME}", 404)
        given = request_parameters.of_question(call.request.head.query, call.request.body)
        parameters, size = request_parameters.from_parameters(given), request_parameters.size_bytes(given)
        arrival = Arrival(parameters, 0.0, _not_sent_yet(parameters, size), call.request.last_byte)
        choice = self._selector.choose(arrival)
        call.fields.update({"selected_model": choice.served.name, **_said(parameters)})
        return responses.of(describe.choice(choice))

    async def infer(self, call: Call) -> Response:
        """The answer, or several of them, each of a model that decodes the picture for itself."""
        try:
            return await self._infer(call)
        except OnDeviceError:
            self._replies.none(call)
            raise

    async def _infer(self, call: Call) -> Response:
        named, request = None if call.model == cnnselect.NAME else self._directory.find(call.model), call.request
        served = named[1] if named else None
        decoded = infer.read(request, served)
        work = decoded.work(served, request.last_byte)
        # The time for which it was held up has passed for its deadline, and says nothing of the network.
        received = request.last_byte - request.held_s
        arrival = Arrival(decoded.parameters, request.upload_ms, work.picture, received)
        call.fields.update(_said(decoded.parameters))
        asked = InferenceCall(call, decoded, arrival, work)
        if work.picture and large_pictures.is_large(work.picture):
            return await self.large.run(work.picture, lambda: self._answered(asked, named, several=False))
        return await self._answered(asked, named, several=decoded.plain and self._selector.rules.anytime > 1)

    async def _answered(self, asked: InferenceCall, named: ModelPlace | None, several: bool) -> Response:
        if named:
            return self._replies.whole(asked, *await self._run_named(asked, *named))
        arrival = asked.arrival
        attempts = Attempts(self._selector, arrival, asked.work, self._tell)
        choice, *others = self._selector.choose_several(arrival) if several else [self._selector.choose(arrival)]
        if others:
            try:
                return await self._streams.begin(asked, attempts.side_by_side([choice, *others]), attempts)
            except (UpstreamError, ModelError) as error:
                choice = attempts.another(choice, error)
        return self._replies.whole(asked, *await attempts.run(choice))

    async def _run_named(
        self, asked: InferenceCall, backend: Backend, served: ServedModel
    ) -> tuple[Choice, InferenceResult]:
        if not (backend.available(served.name) and backend.ready()):
            raise _unavailable(backend, served.name)
        choice = self._selector.admit_named(served, backend, asked.arrival)
        return choice, await backend.run(self._selector.fixed_ticket(choice, asked.arrival, asked.work))


def _said(given: RequestParameters) -> dict[str, str]:
    """What the log is to say of what was sent."""
    return {cnnselect.UPLOAD: given.upload.text} if given.upload else {}


def _not_sent_yet(given: RequestParameters, size_bytes: int) -> PictureHead | None:
    """The picture that a question is about; None where it says neither what it was made nor how large it is, or 0."""
    if given.upload:
        side, _, compression = given.upload
        size_bytes = size_bytes or round(usual_bytes(given.upload))
        return PictureHead(PictureFormat(compression), side, side, size_bytes, given.cropped)
    return PictureHead.guessed(size_bytes)._replace(cropped=given.cropped) if size_bytes else None


def _unavailable(backend: Backend, model: str) -> OnDeviceError:
    """Why a model cannot be asked for now."""
    state = backend.state(model)
    if state is ModelState.GONE:
        return ProtocolError(f"{model} is not loaded: POST /v2/repository/models/{model}/load first")
    if state is not ModelState.AVAILABLE:
        return ModelError(f"{model} is {state}", model)
    return ServeError(f"{model}: {backend.name} is not ready")
