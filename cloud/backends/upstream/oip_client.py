"""A client of another Open Inference Protocol server, which trusts nothing that comes back."""

from __future__ import annotations

from ondevice.cloud.backends.upstream.session import UpstreamRequest, UpstreamSession
from ondevice.protocol import headers, paths, replies
from ondevice.protocol.metadata import ModelMetadata
from ondevice.protocol.response import InferResponse

# Of a repository index only the rows of what is ready; Triton's has all else without a state.
_READY = b'{"ready":true}'


class OipClient:
    """Asks a server in a session that is open. Whatever fails raises UpstreamError, one line without the address.

    version: of the models; None: the one that the server chooses, Triton's the latest that is ready.
    """

    def __init__(self, session: UpstreamSession, version: str | None = None) -> None:
        self._session, self._version = session, version

    async def ready(self, timeout_s: float) -> None:
        """Ask whether it is ready; it is if this does not raise."""
        await self._session.ask(UpstreamRequest("GET", "/v2/health/ready", timeout_s))

    async def extensions(self, timeout_s: float) -> frozenset[str]:
        """What it offers beside the required protocol."""
        return replies.extensions((await self._session.ask(UpstreamRequest("GET", "/v2", timeout_s))).body)

    async def ready_models(self, timeout_s: float) -> list[str]:
        """The models in its repository that are ready."""
        request = UpstreamRequest("POST", "/v2/repository/index", timeout_s, _READY, headers.of_body(None))
        return replies.ready_models((await self._session.ask(request)).body)

    async def listed_models(self, timeout_s: float) -> list[str]:
        """The models that a server without a repository index has, as KServe's list them."""
        return replies.listed_models((await self._session.ask(UpstreamRequest("GET", "/v2/models", timeout_s))).body)

    async def metadata(self, model: str, timeout_s: float) -> ModelMetadata:
        """What it says of a model."""
        return replies.metadata((await self._session.ask(UpstreamRequest("GET", self._path(model), timeout_s))).body)

    async def infer(self, model: str, body: bytes, header_length: int | None, timeout_s: float) -> InferResponse:
        """Its response to a request as `encode_request` makes it."""
        request = UpstreamRequest("POST", f"{self._path(model)}/infer", timeout_s, body, headers.of_body(header_length))
        reply = await self._session.ask(request)
        return replies.response(reply.body, reply.headers.get(headers.LENGTH))

    def _path(self, model: str) -> str:
        return paths.of_model(model, self._version)
