"""The connections to another server: one request at a time there and back, with whatever can go wrong named."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from ondevice import words
from ondevice.errors import FailureKind, UpstreamError
from ondevice.protocol import headers, replies

if TYPE_CHECKING:
    import aiohttp

# A thousand classes in FP64 and JSON take some 20 kB; other outputs of classifiers are not megabytes either.
MAX_REPLY_BYTES = 16 << 20
_CONNECT_S = 1.0
# Under the 5 s after which many servers close what is idle, perhaps just when a request is sent.
_KEEP_S = 4.0


class UpstreamRequest(NamedTuple):
    """What is asked; timeout_s: how long the whole may take."""

    method: str
    path: str
    timeout_s: float
    body: bytes | None = None
    headers: Mapping[str, str] = {}


class UpstreamReply(NamedTuple):
    """What came back, with the status 200."""

    headers: Mapping[str, str]
    body: bytes


class UpstreamSession:
    """A pool of connections to the server at `base`, http(s)://host:port and perhaps a path. token: the bearer token it
    wants, or None. host: the Host that it is asked for, and whose certificate it must have, or None for its own.

    Usable from `open` to `close`, in one event loop.
    """

    def __init__(self, base: str, token: str | None, host: str | None = None) -> None:
        self._base, self._tls_name = base, headers.host_name(host) if host else None
        self._headers = {"Accept-Encoding": "identity", **({"Authorization": f"Bearer {token}"} if token else {})}
        if host:
            self._headers["Host"] = host
        self._session: aiohttp.ClientSession
        self._keeper: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Make the pool; nothing is sent yet."""
        opened = asyncio.get_running_loop().create_future()
        self._keeper = asyncio.get_running_loop().create_task(self._keep(opened))
        self._session = await opened

    def close(self) -> None:
        """Have all connections closed as soon as the event loop goes on, or ends."""
        if self._keeper:
            self._keeper.cancel()

    async def ask(self, request: UpstreamRequest) -> UpstreamReply:
        """The reply, if its status is 200. Whatever fails raises UpstreamError, one line without the address."""
        import aiohttp

        try:
            async with asyncio.timeout(request.timeout_s):
                return await self._send_twice(request)
        except aiohttp.ClientConnectorError as error:
            # aiohttp's own numbers and words are of several kinds of error; what it was is its cause.
            cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
            raise UpstreamError(f"no connection: {words.reason(cause)}", FailureKind.REFUSED) from error
        except TimeoutError as error:
            raise UpstreamError(f"no answer within {request.timeout_s:g} s", FailureKind.LATE) from error
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, OSError) as error:
            raise UpstreamError("the connection was lost before the answer was whole", FailureKind.CUT) from error
        except (aiohttp.ClientError, ValueError) as error:
            raise UpstreamError("its answer is not HTTP", FailureKind.WRONG) from error

    async def _keep(self, opened: asyncio.Future[aiohttp.ClientSession]) -> None:
        """Hold the session open until cancelled: closing it takes a task that the event loop waits for at its end."""
        import aiohttp

        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_S),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        ) as session:
            opened.set_result(session)
            await asyncio.Event().wait()

    async def _send_twice(self, request: UpstreamRequest) -> UpstreamReply:
        """Send it, and again if the connection is closed: it may have been idle for too long just then.

        No request here does harm when it is done twice. Of a server that has died, the second finds that out.
        """
        import aiohttp

        try:
            return await self._send(request)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientConnectionResetError, aiohttp.ClientOSError):
            return await self._send(request)

    async def _send(self, request: UpstreamRequest) -> UpstreamReply:
        from yarl import URL

        url = URL(self._base + request.path, encoded=True)
        async with self._session.request(
            request.method,
            url,
            data=request.body,
            headers=request.headers,
            allow_redirects=False,
            server_hostname=self._tls_name,
        ) as response:
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise UpstreamError("its answer is compressed, though it was asked not to", FailureKind.WRONG)
            body = await _body(response)
            if response.status != 200:
                raise replies.refusal("it", response.status, body, response.headers)
            return UpstreamReply(response.headers, body)


async def _body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MAX_REPLY_BYTES:
            raise UpstreamError(f"its answer is over {MAX_REPLY_BYTES >> 20} MiB", FailureKind.WRONG)
    return bytes(body)
