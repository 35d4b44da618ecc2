"""The service without its transport: what each operation answers. Errors are `{"error": …}` in one sentence."""

from __future__ import annotations

import traceback
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from functools import lru_cache
from time import perf_counter
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import orjson

from ondevice._version import __version__
from ondevice.cloud.app import describe, failures, infer, large_pictures, openapi, request_parameters, routes
from ondevice.cloud.app.answers import Answered, answers
from ondevice.cloud.app.attempts import Attempts
from ondevice.cloud.app.incoming import Incoming
from ondevice.cloud.app.infer import DecodedRequest
from ondevice.cloud.app.large_pictures import LargePictures
from ondevice.cloud.app.log import Log
from ondevice.cloud.app.messages import Head, Piece, Request, Response
from ondevice.cloud.app.metrics import Metrics
from ondevice.cloud.app.tokens import Tokens
from ondevice.cloud.backends.backend import Backend, InferenceResult
from ondevice.cloud.backends.states import ModelState
from ondevice.cloud.backends.ticket import Ticket
from ondevice.cloud.select.choice import Choice
from ondevice.cloud.select.parameters import RequestParameters
from ondevice.cloud.select.selector import Arrival, Selector
from ondevice.errors import (
    ModelError,
    NoRouteError,
    OnDeviceError,
    ProtocolError,
    RefusedError,
    ServeError,
    UpstreamError,
)
from ondevice.protocol import cnnselect, headers
from ondevice.protocol.picture import PictureHead
from ondevice.protocol.served import ServedModel, Work

_JSON = ("content-type", headers.JSON)
_PICTURES = ("image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp", "image/tiff")
# As requests have them here, and responses.
_LENGTH, _TIMING = headers.LENGTH.lower(), headers.TIMING.lower()
# Load balancers ask these without a token.
_OPEN = ("live", "ready")
# A query has at most nine parameters of ours; more are an attack on the parser.
_MOST_FIELDS = 20


class Call(NamedTuple):
    """A request on its way: the model in its path, and what the log will say of it."""

    model: str
    request: Request
    fields: dict[str, Any]


class Service:
    """Answers requests with a selector's models. tokens: who may ask, or None for all."""

    def __init__(self, selector: Selector, log: Log, metrics: Metrics, tokens: Tokens | None) -> None:
        self._selector, self._log, self._metrics, self._tokens = selector, log, metrics, tokens
        self._places: dict[str, list[tuple[Backend, ServedModel]]] = {}
        for backend in selector.backends:
            for served in backend.models:
                self._places.setdefault(served.name, []).append((backend, served))
        self._large = LargePictures()
        metrics.gauge("decoding_bytes", "What large pictures take to decode", lambda: self._large.budget.held)
        metrics.gauge("decoding_waiting", "Large pictures that wait for room", lambda: self._large.budget.waiting)
        self.stopping = False

    def flush(self) -> None:
        """Write the log so far; call it a few times a second."""
        self._log.flush()

    def refusal(self, status: int, message: str) -> Response:
        """An error as a reply."""
        self._metrics.request(status, 0.0)
        self._log.request({"status": status, "error": message})
        return failures.refused(status, message)

    def begin(self, head: Head) -> Incoming | Response:
        """The request whose head this is; a refusal where there is no such path, or no token."""
        return self._gate(head) or Incoming(head, self._handle, self._refused)

    def _gate(self, head: Head) -> Response | None:
        try:
            route = routes.find(head.method, head.path)
        except NoRouteError as error:
            allow = (("allow", error.allowed),) if error.allowed else ()
            return self._refused(head, error.status, str(error), *allow)
        if (
            self._tokens
            and route.operation not in _OPEN
            and not self._tokens.allow(head.headers.get("authorization", ""))
        ):
            challenge = "www-authenticate", "Bearer"
            return self._refused(head, 401, "give a valid token: Authorization: Bearer TOKEN", challenge)
        encoding = head.headers.get("content-encoding", "identity")
        if encoding.lower() != "identity":
            return self._refused(head, 415, f"Content-Encoding {encoding[:40]} is not read here: send it uncompressed")
        return None

    def _refused(self, head: Head, status: int, message: str, *headers: tuple[str, str]) -> Response:
        self._metrics.request(status, 0.0)
        fields = {"peer": head.peer, "method": head.method, "path": head.path[:200], "status": status, "error": message}
        self._log.request(fields)
        return failures.refused(status, message, *headers)

    async def _handle(self, request: Request) -> Response:
        fields: dict[str, Any] = {}
        try:
            route = routes.find(request.head.method, request.head.path)
            call = Call(route.model, request, fields)
            response: Response = await getattr(self, f"_on_{route.operation}")(call)
        except failures.EXPECTED as error:
            fields["error"] = str(error)
            if isinstance(error, RefusedError):
                self._metrics.refused()
            response = failures.response(error)
        except Exception:
            self._log.event("internal error", path=request.head.path, traceback=traceback.format_exc())
            response = failures.refused(500, "internal error")
        if isinstance(response.body, bytes):
            self._account(request, response.status, fields)
        return response

    def _account(self, request: Request, status: int, fields: dict[str, Any]) -> None:
        head = request.head
        total_ms = (perf_counter() - head.first_byte) * 1e3
        self._metrics.request(status, total_ms)
        self._log.request({
            "peer": head.peer,
            "method": head.method,
            "path": head.path[:200],
            "status": status,
            "bytes": len(request.body),
            **fields,
            "total_ms": total_ms,
        })  # fmt: skip

    # Operations

    async def _on_server(self, call: Call) -> Response:
        return _reply({"name": "ondevice", "version": __version__, "extensions": list(describe.EXTENSIONS)})

    async def _on_live(self, call: Call) -> Response:
        return Response(200, (), b"")

    async def _on_ready(self, call: Call) -> Response:
        if self.stopping:
            return failures.refused(503, "the server is stopping")
        if not any(backend.ready() for backend in self._selector.backends):
            return failures.refused(503, "no model can be asked now")
        return Response(200, (), b"")

    async def _on_metrics(self, call: Call) -> Response:
        kind, text = self._metrics.text()
        return Response(200, (("content-type", kind),), text)

    async def _on_openapi(self, call: Call) -> Response:
        return _reply(openapi.document([cnnselect.NAME, *self._places]))

    async def _on_index(self, call: Call) -> Response:
        places = (place for places in self._places.values() for place in places)
        return _reply(describe.index(places, self._selector.any_but(())))

    async def _on_model(self, call: Call) -> Response:
        if call.model == cnnselect.NAME:
            return _reply(describe.virtual(self._selector))
        return _reply(describe.model(*self._find(call.model)))

    async def _on_model_ready(self, call: Call) -> Response:
        if self.stopping:
            return failures.refused(503, "the server is stopping")
        if call.model == cnnselect.NAME:
            ready = self._selector.any_but(())
        else:
            backend, served = self._find(call.model)
            ready = backend.ready() and backend.available(served.name)
        return Response(200, (), b"") if ready else failures.refused(503, f"{call.model} is not ready")

    async def _on_load(self, call: Call) -> Response:
        try:
            for backend, served in self._all(call.model):
                await backend.load(served.name)
        except ModelError as error:
            call.fields["error"] = str(error)
            return failures.refused(503, f"{call.model} cannot be loaded: the server's log says why")
        return Response(200, (), b"")

    async def _on_unload(self, call: Call) -> Response:
        for backend, served in self._all(call.model):
            backend.unload(served.name)
        return Response(200, (), b"")

    async def _on_select(self, call: Call) -> Response:
        if call.model != cnnselect.NAME:
            raise NoRouteError(f"{call.model[:100]} selects nothing: ask {cnnselect.NAME}", 404)
        parameters = _object(call.request.body)
        size = request_parameters.size_bytes(parameters)
        arrival = Arrival(
            request_parameters.from_parameters(parameters),
            0.0,
            PictureHead.guessed(size) if size else None,
            call.request.last_byte,
        )
        choice = self._selector.choose(arrival)
        call.fields["selected_model"] = choice.served.name
        return _reply(describe.choice(choice))

    async def _on_infer(self, call: Call) -> Response:
        named = None if call.model == cnnselect.NAME else self._find(call.model)
        asked = self._asked(call.request, named[1] if named else None)
        work = asked.work(named[1] if named else None, call.request.last_byte)
        if work.picture and large_pictures.is_large(work.picture):
            return await self._large.run(work.picture, lambda: self._inferred(call, asked, named, work, most=1))
        return await self._inferred(call, asked, named, work, most=self._selector.rules.anytime)

    async def _inferred(
        self, call: Call, asked: DecodedRequest, named: tuple[Backend, ServedModel] | None, work: Work, most: int
    ) -> Response:
        """The answer, or up to `most`, each of a model that decodes the picture for itself."""
        # The time for which it was held up has passed for its deadline, and says nothing of the network.
        received = call.request.last_byte - call.request.held_s
        arrival = Arrival(asked.parameters, call.request.upload_ms, work.picture, received)
        if named:
            return self._answered(call, asked, *await self._named(*named, arrival, work))
        attempts, several = Attempts(self._selector, arrival, work, self._log.event), asked.plain and most > 1
        choice, *others = self._selector.choose_several(arrival) if several else [self._selector.choose(arrival)]
        if others:
            try:
                return await self._streamed(call, asked, attempts.side_by_side([choice, *others]), attempts)
            except (UpstreamError, ModelError) as error:
                choice = attempts.another(choice, error)
        return self._answered(call, asked, *await attempts.run(choice))

    async def _named(
        self, backend: Backend, served: ServedModel, arrival: Arrival, work: Work
    ) -> tuple[Choice, InferenceResult]:
        state = backend.state(served.name)
        if state in (ModelState.FAILING, ModelState.LOADING):
            raise ModelError(f"{served.name} is {state}", served.name)
        if state is ModelState.GONE:
            raise ProtocolError(f"{served.name} is not loaded: POST /v2/repository/models/{served.name}/load first")
        if not backend.ready():
            raise ServeError(f"{served.name}: {backend.name} is not ready")
        choice = self._selector.admit_named(served, backend, arrival)
        return choice, await backend.run(self._selector.fixed_ticket(choice, arrival, work))

    def _answered(self, call: Call, asked: DecodedRequest, choice: Choice, result: InferenceResult) -> Response:
        body, length = self._encoded(call, asked, choice, result)
        server_ms = self._observed(call, choice, result)
        timing = _timing(
            {
                headers.UPLOAD: call.request.upload_ms,
                headers.QUEUE: result.queue_ms,
                headers.DECODE: result.decode_ms,
                headers.INFER: result.infer_ms,
                headers.TOTAL: server_ms,
            }
        )
        if length is None:
            return Response(200, (_JSON, timing), body)
        binary = (("content-type", headers.BINARY), (_LENGTH, str(length)))
        return Response(200, (*binary, timing), body)

    async def _streamed(
        self, call: Call, asked: DecodedRequest, turns: Sequence[tuple[Choice, Ticket]], attempts: Attempts
    ) -> Response:
        """Several answers, a line each. What goes wrong before the first is an error as for any other request."""

        def lost(choice: Choice, error: OnDeviceError) -> None:
            attempts.exclude(choice, error)
            self._log.event("answer lost", model=choice.served.name, reason=str(error))

        several = answers(turns, lost)
        first = await anext(several)
        kind, timing = ("content-type", headers.LINES), _timing({headers.UPLOAD: call.request.upload_ms})
        return Response(200, (kind, timing), self._lines(call, asked, first, several))

    async def _lines(
        self, call: Call, asked: DecodedRequest, first: Answered, others: AsyncGenerator[Answered, None]
    ) -> AsyncGenerator[Piece, None]:
        try:
            async with aclosing(others):
                yield self._line(call, asked, first)
                async for answer in others:
                    yield self._line(call, asked, answer)
        except Exception:
            self._log.event("internal error", path=call.request.head.path, traceback=traceback.format_exc())
        finally:  # also when the client has left, which is its right
            self._account(call.request, 200, call.fields)

    def _line(self, call: Call, asked: DecodedRequest, answer: Answered) -> Piece:
        choice, result, last = answer
        server_ms = self._observed(call, choice, result)
        call.fields["answers"] = call.fields.get("answers", 0) + 1
        more = {cnnselect.SERVER_MS: round(server_ms, 3), cnnselect.FINAL: last}
        body, _ = self._encoded(call, asked, choice, result, more)
        return Piece(body + b"\n", last)

    def _encoded(
        self, call: Call, asked: DecodedRequest, choice: Choice, result: InferenceResult, more: Mapping[str, float] = {}
    ) -> tuple[bytes, int | None]:
        served = next(s for backend, s in self._places[result.model] if backend is choice.backend)
        parameters = {**describe.result(choice, served, result), **more}
        call.fields.update(parameters)
        return infer.encode(call.model, asked, served, result, parameters)

    def _observed(self, call: Call, choice: Choice, result: InferenceResult) -> float:
        """Learn from an answer; gives the time since its request was whole, ms."""
        server_ms = (perf_counter() - call.request.last_byte) * 1e3
        late = server_ms > choice.budget_ms
        # Who comes before it later is nobody's to foresee: others are let in only as far as it can wait.
        self._selector.observe(choice, server_ms - result.infer_ms - result.overtaken_ms)
        self._metrics.inference(result, late)
        call.fields["on_time"] = not late
        return server_ms

    def _asked(self, request: Request, served: ServedModel | None) -> DecodedRequest:
        kind = request.head.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind.startswith("image/"):
            if kind not in _PICTURES:
                raise ProtocolError(f"{kind[:60]} is not read here: {', '.join(_PICTURES)}")
            if not request.body:
                raise ProtocolError("the body is empty: send a picture")
            return DecodedRequest(_queried(request.head.query), request.body, is_picture=True)
        return infer.decode(request.body, headers.json_length(request.head.headers.get(_LENGTH)), served)

    def _find(self, model: str) -> tuple[Backend, ServedModel]:
        """The model by its name; of several servers that have it, one that is available."""
        places = self._all(model)
        return next(((b, s) for b, s in places if b.ready() and b.available(s.name)), places[0])

    def _all(self, model: str) -> list[tuple[Backend, ServedModel]]:
        if model == cnnselect.NAME:
            others = ", ".join(self._places)
            raise NoRouteError(f"{model} is not loaded or unloaded itself: name one of {others}", 404)
        if model not in self._places:
            raise NoRouteError(f"no model '{model[:100]}': there are {', '.join([cnnselect.NAME, *self._places])}", 404)
        return self._places[model]


def _timing(parts_ms: dict[str, float]) -> tuple[str, str]:
    return _TIMING, headers.timing(parts_ms)


@lru_cache(512)  # a client's requests often ask for the same
def _queried(text: str) -> RequestParameters:
    try:
        query = dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except ValueError as error:
        raise ProtocolError(f"the query has over {_MOST_FIELDS} parameters") from error
    return request_parameters.from_query(query)


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(body or b"{}")
    except ValueError as error:
        raise ProtocolError("the body must be a JSON object of parameters") from error
    if not isinstance(value, dict):
        raise ProtocolError("the body must be a JSON object of parameters")
    return value


def _reply(value: dict[str, Any] | Sequence[Any]) -> Response:
    return Response(200, (_JSON,), orjson.dumps(value))
