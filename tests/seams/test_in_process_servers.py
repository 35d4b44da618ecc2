"""The servers that tests run in their own process leave nothing behind, whatever their clients do as they end."""

from __future__ import annotations

import contextlib
import gc
import socket
import ssl
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("aiohttp", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

import http_server
import oip_server
from certificates import self_signed, server_context
from rude import HOST, Rude, answering, http

# Of so many ends of a server of asyncio's own, every second left connections behind.
_ENDS = 15
# Connections that a client holds, with requests that it has begun.
_KEPT = 100
# A connection that finds the server's queue full is tried anew so soon; the system would try it after 1, 3 and 7 s.
_IMPATIENCE_S = 0.05
# Between connections, in which the server, a thread of this process, has the interpreter.
_APART_S = 0.0005


Serve = Callable[[ssl.SSLContext | None], AbstractContextManager[Any]]


def _oip(tls: ssl.SSLContext | None) -> AbstractContextManager[Any]:
    return oip_server.running(oip_server.Server(), tls)


def _http(tls: ssl.SSLContext | None) -> AbstractContextManager[Any]:
    assert tls is None
    return http_server.running()


def _rude(tls: ssl.SSLContext | None) -> AbstractContextManager[Any]:
    return Rude(answering(http()), tls=tls)


def _port(server: Any) -> int:
    return urlsplit(server).port or 0 if isinstance(server, str) else server.port


@contextlib.contextmanager
def knocking(port: int) -> Iterator[None]:
    """A client connects there again and again, from when the first connection stands."""
    over, one = threading.Event(), threading.Event()
    clients: deque[socket.socket] = deque()

    def knock() -> None:
        while not over.wait(_APART_S):
            with contextlib.suppress(OSError):
                clients.append(socket.create_connection((HOST, port), _IMPATIENCE_S))
                clients[-1].sendall(b"GET /v2 HTTP/1.1\r\n")
                one.set()
            if len(clients) > _KEPT:
                clients.popleft().close()

    thread = threading.Thread(target=knock)
    thread.start()
    try:
        assert one.wait(30)
        yield
    finally:
        over.set()
        thread.join()
        for client in clients:
            client.close()


def unclosed(serve: Callable[[], AbstractContextManager[Any]]) -> list[str]:
    """What is left of servers that end while a client knocks."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for _ in range(_ENDS):
            with contextlib.ExitStack() as client, serve() as server:
                client.enter_context(knocking(_port(server)))
            gc.collect()
    return [str(warning.message) for warning in told]


@pytest.mark.parametrize("serve", [_oip, _http, _rude])
def test_nothing_is_left_of_a_server_that_ends_while_clients_come(serve: Serve) -> None:
    assert unclosed(lambda: serve(None)) == []


@pytest.mark.parametrize("serve", [_oip, _rude])
def test_nor_of_one_that_waits_for_their_handshakes(serve: Serve, tmp_path: Path) -> None:
    context = server_context(*self_signed(tmp_path))
    assert unclosed(lambda: serve(context)) == []
