"""Another server of the Open Inference Protocol, which has models and chooses none."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Protocol

import numpy as np
from accepting import accepting, spinning
from aiohttp import web

from ondevice.errors import ImageError, ProtocolError
from ondevice.protocol.request import InferRequest, decode_request
from ondevice.protocol.response import encode_response
from ondevice.protocol.tensor import Tensor, datatype_of
from ondevice.runner import Runner


class Site(Protocol):
    """What listens. prefix: what stands before its paths."""

    prefix: str

    def app(self) -> web.Application: ...


class Server:
    """An OIP server of digits models. pictures: whether it takes pictures, as `ondevice serve` does, or tensors alone.

    prefix, host: what stands before /v2, and the Host without which nothing is found, as an ingress has it. rows: of
    its repository index, instead of one for each model. extensions: what it lists. unframed: the status that it gives
    to a message in the binary extension, where it does not have it. spoil: for a model, what it does instead of
    answering well: from the good response to the one that is sent.
    """

    def __init__(self, *names: str, pictures: bool = True) -> None:
        self.runners = {name: Runner(name) for name in names}
        self.extra: dict[str, dict[str, Any]] = {}
        self.pictures = pictures
        self.spoil: dict[str, Callable[[web.Response], Awaitable[web.Response]]] = {}
        self.ready, self.token, self.indexed = True, "", True
        self.profile: dict[str, Any] | None = None
        self.prefix, self.host = "", ""
        self.rows: list[dict[str, str]] | None = None
        self.extensions = ["binary_tensor_data"]
        self.unframed: int | None = None
        self.asked: list[str] = []
        # The bodies of questions after the index, and the versions that were named.
        self.indexes: list[Any] = []
        self.versions: list[str] = []

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._gate])
        app.router.add_get(f"{self.prefix}/v2", self._about)
        app.router.add_get(f"{self.prefix}/v2/health/ready", self._ready)
        app.router.add_post(f"{self.prefix}/v2/repository/index", self._index)
        for model in ("{name}", "{name}/versions/{version}"):
            app.router.add_get(f"{self.prefix}/v2/models/{model}", self._metadata)
            app.router.add_post(f"{self.prefix}/v2/models/{model}/infer", self._infer)
        return app

    @web.middleware
    async def _gate(self, request: web.Request, handler: Callable[..., Awaitable[web.Response]]) -> web.StreamResponse:
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response({"error": "give a valid token"}, status=401)
        if self.host and request.headers["Host"] != self.host:
            return web.Response(status=404)
        version = request.match_info.get("version")
        if version is not None:
            self.versions.append(version)
        return _missing(f"version {version}") if version not in (None, "1") else await handler(request)

    async def _about(self, request: web.Request) -> web.Response:
        return web.json_response({"name": "tests", "version": "1", "extensions": self.extensions})

    async def _ready(self, request: web.Request) -> web.Response:
        return web.Response(status=200 if self.ready else 503)

    async def _index(self, request: web.Request) -> web.Response:
        if not self.indexed:
            raise web.HTTPNotFound
        self.indexes.append(await request.json())
        if self.rows is not None:
            return web.json_response(self.rows)
        rows = [{"name": name, "version": "1", "state": "READY"} for name in [*self.runners, *self.extra, "cnnselect"]]
        return web.json_response([*rows, {"name": "asleep", "version": "1", "state": "UNAVAILABLE"}])

    async def _metadata(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self.runners and name not in self.extra:
            return _missing(name)
        return web.json_response(self.extra[name] if name in self.extra else self.of(name))

    def of(self, name: str) -> dict[str, Any]:
        runner = self.runners[name]
        ends = [end(x.name, x.shape, x.dtype) for x in (runner.model.input, runner.model.output)]
        metadata: dict[str, Any] = {"name": name, "versions": ["1"], "inputs": ends[:1], "outputs": ends[1:]}
        if self.pictures:
            assert runner.card is not None
            assert runner.card.accuracy is not None
            metadata["inputs"].append({"name": "image", "datatype": "BYTES", "shape": [1]})
            for name, datatype in (("label", "BYTES"), ("score", "FP32"), ("index", "INT32")):
                metadata["outputs"].append({"name": name, "datatype": datatype, "shape": [-1]})
            metadata["parameters"] = {
                "top1": runner.card.accuracy.top1, "accuracy_data": runner.card.accuracy.data, "precision": "int8",
                "background": False, "labels": list(runner.labels.names), "profile": self.profile,
            }  # fmt: skip
        return metadata

    async def _infer(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self.runners:
            return _missing(name)
        self.asked.append(name)
        length = request.headers.get("Inference-Header-Content-Length")
        if length is not None and self.unframed is not None:
            return web.json_response({"error": "it is not JSON"}, status=self.unframed)
        asked = decode_request(await request.read(), None if length is None else int(length))
        try:
            response = self._inferred(name, asked, binary=length is not None)
        except (ImageError, ProtocolError) as error:
            response = web.json_response({"error": str(error)}, status=400)
        return await self.spoil[name](response) if name in self.spoil else response

    def _inferred(self, name: str, asked: InferRequest, binary: bool) -> web.Response:
        runner, data = self.runners[name], asked.inputs[0].data
        if asked.inputs[0].name == "image":
            assert self.pictures
            assert isinstance(data, list)
            tensor = runner.prepare(data[0] if binary else base64.b64decode(data[0]))
        else:
            assert asked.inputs[0].name == runner.model.input.name
            assert isinstance(data, np.ndarray)
            assert data.shape == runner.model.input.shape
            tensor = data
        stored = runner.model.invoke(tensor)
        best = runner.best(stored, asked.parameters.get("top", 5))
        made = {
            "label": Tensor.of("label", [p.label.encode() for p in best]),
            "score": Tensor.of("score", np.array([p.score for p in best], np.float32)),
            "index": Tensor.of("index", np.array([p.index for p in best], np.int32)),
            runner.model.output.name: Tensor.of(runner.model.output.name, stored.reshape(runner.model.output.shape)),
        }
        wanted = [output.name for output in asked.outputs]
        body, length = encode_response(name, "1", [made[output] for output in wanted], binary=wanted if binary else ())
        lengths = {} if length is None else {"Inference-Header-Content-Length": str(length)}
        return web.Response(body=body, headers=lengths)


def _missing(name: str) -> web.Response:
    return web.json_response({"error": f"no model {name}"}, status=404)


def end(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype_of(dtype), "shape": list(shape)}


@contextlib.asynccontextmanager
async def listening(server: Site, port: int = 0, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    runner = web.AppRunner(server.app(), shutdown_timeout=0.1)
    await runner.setup()
    assert runner.server
    async with accepting(runner.server, port, tls) as site:
        try:
            yield f"{'https' if tls else 'http'}://127.0.0.1:{site.port}{server.prefix}"
        finally:
            site.close()
            await runner.cleanup()


@contextlib.contextmanager
def running(server: Site, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """It listens, on a thread of its own; gives its URL."""
    loop = asyncio.new_event_loop()
    with spinning(loop):
        context = listening(server, tls=tls)
        try:
            yield asyncio.run_coroutine_threadsafe(context.__aenter__(), loop).result()
        finally:
            asyncio.run_coroutine_threadsafe(context.__aexit__(None, None, None), loop).result()


async def _serve(port: int, names: list[str]) -> None:
    async with listening(Server(*names), port) as url:
        print(url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), sys.argv[2:]))
