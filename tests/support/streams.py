"""The client's connections to a server, as tests ask on them: the event loop is on a thread of its own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import re
import threading
from collections.abc import Callable, Coroutine, Iterator
from time import perf_counter
from typing import Any, TypeVar

import pytest

from ondevice.client.connection import address as addresses
from ondevice.client.connection.address import ServerAddress
from ondevice.client.connection.http import HttpStream
from ondevice.client.connection.messages import HttpReply, HttpRequest
from ondevice.errors import UpstreamError

T = TypeVar("T")
# A deadline that is to be missed, and one that is not, however busy the machine is.
QUICK_S, PATIENCE_S, LONG_S = 0.3, 30.0, 600.0
PICTURE = HttpRequest("POST", "/v2/models/cnnselect/infer?top=5", {"Content-Type": "image/jpeg"}, bytes(1000))
READY = HttpRequest("GET", "/v2/health/ready")
LARGE = PICTURE._replace(body=bytes(8 << 20))


class Engine:
    """An event loop on a thread, as the client has one."""

    def __init__(self) -> None:
        self.loop = asyncio.SelectorEventLoop()
        self.errors: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self.errors.append(context))
        self._thread = threading.Thread(target=self.loop.run_forever, name="engine")
        self._thread.start()

    def begin(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.begin(work).result(LONG_S)

    def call(self, work: Callable[..., T], *arguments: Any) -> T:
        async def called() -> T:
            return work(*arguments)

        return self.run(called())

    @property
    def watched(self) -> int:
        """How many sockets the loop watches, besides the one that wakes it."""
        return len(self.loop._selector.get_map()) - 1  # type: ignore[attr-defined]

    def close(self) -> None:
        """End it; nothing must be left in it."""
        left = self.call(lambda: asyncio.all_tasks() - {asyncio.current_task()})
        watched = self.call(lambda: self.watched)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE_S)
        self.loop.close()
        assert (left, watched, self.errors) == (set(), 0, [])


_engines: list[Engine] = []


def engine() -> Engine:
    """The one that runs."""
    return _engines[-1]


@contextlib.contextmanager
def running() -> Iterator[Engine]:
    """One that runs meanwhile."""
    _engines.append(Engine())
    try:
        yield engine()
    finally:
        _engines.pop().close()


class Driven:
    """A connection whose event loop is on the engine's thread."""

    def __init__(self, stream: HttpStream) -> None:
        self.stream = stream

    @property
    def usable(self) -> bool:
        return engine().call(lambda: self.stream.usable)

    @property
    def heard(self) -> bool:
        return self.stream.heard

    def close(self) -> None:
        engine().call(self.stream.close)

    def begin(
        self, request: HttpRequest = PICTURE, within_s: float = PATIENCE_S
    ) -> concurrent.futures.Future[HttpReply]:
        """A request that is not waited for; cancelled, it is cancelled there."""
        return engine().begin(self.stream.ask(request, perf_counter() + within_s))


def connect(
    url: str,
    within_s: float = PATIENCE_S,
    token: str | None = None,
    verify: bool | str = True,
    asked_for: str | None = None,
) -> Driven:
    address = ServerAddress.parse(url, asked_for)
    tls = addresses.tls_context(verify) if address.scheme == "https" else None
    return Driven(engine().run(HttpStream.open(address, token, tls, perf_counter() + within_s)))


def ask(
    connection: Driven,
    request: HttpRequest = PICTURE,
    within_s: float = PATIENCE_S,
    each: Callable[[HttpReply], object] = lambda reply: None,
) -> HttpReply:
    return engine().run(connection.stream.ask(request, perf_counter() + within_s, each))


def once(
    url: str, request: HttpRequest = PICTURE, within_s: float = PATIENCE_S, verify: bool | str = True
) -> HttpReply:
    """One request, on a connection of its own."""
    connection = connect(url, within_s, verify=verify)
    try:
        return ask(connection, request, within_s)
    finally:
        connection.close()


def failure(act: Callable[[], object], said: str = ".") -> str:
    """The kind of failure that it ends with, in one line."""
    with pytest.raises(UpstreamError, match=said) as caught:
        act()
    assert re.fullmatch(r"[^\n]{5,300}", str(caught.value))
    return caught.value.failure
