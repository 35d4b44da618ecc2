"""An endpoint of the Open Inference Protocol that has models but chooses none: then the client chooses."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from time import perf_counter

import numpy as np

from ondevice import remote
from ondevice.answer import Prediction
from ondevice.client.connection.messages import HttpReply, HttpRequest
from ondevice.client.endpoint.description import Aside, Ask, PreparedRequest, RequestContext
from ondevice.client.endpoint.reply import ParsedReply, response, timing
from ondevice.client.picture import Upload
from ondevice.errors import UNREACHED, FailureKind, ModelError, UpstreamError
from ondevice.preprocess import Preprocessor
from ondevice.protocol import headers, paths, replies
from ondevice.protocol.framing import Framing
from ondevice.protocol.served import Work
from ondevice.remote import RemoteModel
from ondevice.selection.ladder import UploadLadder
from ondevice.selection.uploads import Situation, UploadCandidates
from ondevice.timing.arrays import FloatArray
from ondevice.timing.distribution import Distributions
from ondevice.timing.recent import Recent

_log = logging.getLogger("ondevice.client")

# The times, ms, of a model of which none is known: as a mobile CNN takes on an idle, a used and a busy server.
_FIRST_MS = (20.0, 50.0, 100.0)


class GenericEndpoint:
    """The models of such an endpoint of which labels and accuracy are known: from itself or from the zoo.

    A server that says nothing of its own times has all of a request's time counted as the model's. framing: of the
    messages to it.
    """

    def __init__(self, models: Sequence[RemoteModel], framing: Framing) -> None:
        self._framing = framing
        self._models = {model.served.name: model for model in models}
        self.top1 = np.array([model.served.top1 or 0.0 for model in models])
        self._times = [_known(model) for model in models]
        self._decoders: dict[str, Preprocessor] = {}
        self.best_top1 = float(self.top1.max())
        self.side = max(max(model.served.input.shape[1:]) for model in models)
        self.ladder: UploadLadder | None = None

    @classmethod
    async def discover(cls, ask: Ask) -> GenericEndpoint:
        """Ask an endpoint what it has. Raises UpstreamError where it has nothing of use."""
        usable = [model for name in await _names(ask) if (model := await _described(ask, name))]
        if not usable:
            reason = "it has no cnnselect, and no image classifier of known labels and accuracy"
            raise UpstreamError(reason, FailureKind.MISSING)
        models = [model for model in usable if model.served.labels == usable[0].served.labels]
        names = ", ".join(model.served.name for model in models)
        _log.warning("the endpoint has no cnnselect: its models are chosen among here (%s)", names)
        return cls(models, await _framing(ask))

    async def prepare(self, upload: Upload, context: RequestContext, aside: Aside) -> PreparedRequest:
        """The model with the greatest expected effective accuracy, asked by its native name. Raises ImageError."""
        gains = self._gains_top1(context.left_ms, context.overhead_ms(), context.device_top1)
        model = list(self._models.values())[int(np.argmax(gains))]
        payload, picture = upload.body, model.feed is None
        if not picture:
            payload = (await aside(self._decoder(model).prepare, upload.body)).tobytes()
        work = Work(payload, picture, context.top, False, perf_counter())
        body, length = model.request(work, self._framing.binary)
        name = model.served.name
        path = f"{paths.of_model(name)}/infer"
        return PreparedRequest(HttpRequest("POST", path, headers.of_body(length), body), name, context.top)

    def read(self, prepared: PreparedRequest, reply: HttpReply) -> ParsedReply:
        """Its answer. Raises UpstreamError."""
        model, parts_ms = self._models[prepared.model], timing(reply)
        work = Work(b"", model.feed is None, prepared.top, False, 0.0)
        ranked, _ = model.read(response(reply), work)
        self._framing.understood(_is_binary(prepared))
        labels = model.served.labels
        top = tuple(Prediction(index, labels[index], score) for index, score in ranked)
        queue_ms, decode_ms, infer_ms = (
            parts_ms.get(part, 0.0) for part in (headers.QUEUE, headers.DECODE, headers.INFER)
        )
        server_ms, upload_ms = parts_ms.get(headers.TOTAL), parts_ms.get(headers.UPLOAD)
        return ParsedReply(top, prepared.model, model.served.top1, queue_ms, decode_ms, infer_ms, server_ms, upload_ms)

    def again(self, prepared: PreparedRequest, error: UpstreamError) -> bool:
        """In JSON, where it was in binary and nobody knows whether the server takes that."""
        return self._framing.again(_is_binary(prepared), error.failure)

    def record_inference(self, model: str, infer_ms: float) -> None:
        """Learn how long one of its models took."""
        self._times[list(self._models).index(model)].add(infer_ms)

    def effective_top1(self, uploads: UploadCandidates, situation: Situation) -> FloatArray:
        """See `EndpointDescription`; the choice is made here, before the upload is known."""
        within_ms, _, device_top1 = situation
        gains = [self._gains_top1(within_ms, overhead_ms, device_top1).max() for overhead_ms in uploads.overhead_ms]
        return device_top1 + np.array(gains)

    def _decoder(self, model: RemoteModel) -> Preprocessor:
        """What decodes pictures for a model that takes none."""
        name = model.served.name
        if name not in self._decoders:
            self._decoders[name] = remote.preprocessor(remote.preparation(model))
        return self._decoders[name]

    def _gains_top1(self, within_ms: float, overhead_ms: FloatArray, device_top1: float) -> FloatArray:
        """For each model what it adds to the device's answer."""
        times = Distributions.of([recent.distribution for recent in self._times])
        on_time: FloatArray = times.cdf((within_ms - overhead_ms)[:, None]).mean(axis=0)
        return on_time * np.maximum(self.top1 - device_top1, 0.0) + 1e-9 * on_time


def _known(model: RemoteModel) -> Recent:
    """What is known of its time before the first request."""
    return Recent.seeded(model.published.distribution, model.published.n) if model.published else Recent(_FIRST_MS)


def _is_binary(prepared: PreparedRequest) -> bool:
    return headers.LENGTH in prepared.request.headers


async def _framing(ask: Ask) -> Framing:
    """What is known of how messages to it are framed."""
    framing = Framing()
    try:
        framing.listed(replies.extensions((await ask(HttpRequest("GET", "/v2"))).body))
    except UpstreamError as error:
        if error.failure in UNREACHED:
            raise
    return framing


async def _names(ask: Ask) -> list[str]:
    """The models that are ready; those that KServe's server lists, which has no repository index."""
    index = HttpRequest("POST", "/v2/repository/index", headers.of_body(None), b'{"ready":true}')
    try:
        return replies.ready_models((await ask(index)).body)
    except UpstreamError as error:
        if error.failure in UNREACHED:
            raise
        try:
            return replies.listed_models((await ask(HttpRequest("GET", "/v2/models"))).body)
        except UpstreamError:
            raise error from None


async def _described(ask: Ask, name: str) -> RemoteModel | None:
    """A model, if enough is known of it; of any other the log says what is missing."""
    try:
        reply = await ask(HttpRequest("GET", paths.of_model(name)))
        found = remote.describe(name, replies.metadata(reply.body), "endpoint")
    except (ModelError, UpstreamError) as error:
        if isinstance(error, UpstreamError) and error.failure in UNREACHED:
            raise
        _log.warning("%s is not used: %s", name, error)
        return None
    if found.served.top1 is None:
        _log.warning("%s is not used: its accuracy is not known", name)
        return None
    return found
