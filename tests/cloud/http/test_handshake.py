"""Encryption: connections count while they shake hands, and what is not TLS ends."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from pathlib import Path

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from certificates import self_signed
from http_line import Line, Timed, rest
from http_server import CLOSE, get, running
from serving import read_all, status, until

from ondevice.cloud.http.address import Certificate
from ondevice.cloud.http.handshake import Handshake, accepted


def trusting(cert: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=cert)
    context.check_hostname = False
    return context


def test_connections_that_only_shake_hands_count_and_lock_nobody_out(tmp_path: Path) -> None:
    cert, key = self_signed(tmp_path)
    with running(tls=Certificate(cert, key)) as server, contextlib.ExitStack() as stack:
        silent = [stack.enter_context(server.connect()) for _ in range(12)]
        until(lambda: len(server.connections.open) == 4)
        for _ in range(3):
            with trusting(cert).wrap_socket(server.connect()) as client:
                client.sendall(get("/a", CLOSE).encode())
                assert status(read_all(client)) == 200
        assert read_all(silent[0]) == b"", "the oldest gave way"
        assert server.connections.gave_way >= 8


def test_what_is_not_tls_ends_and_counts_no_more(tmp_path: Path) -> None:
    cert, key = self_signed(tmp_path)
    with running(tls=Certificate(cert, key)) as server:
        for junk in (get("/a").encode(), b"\x16\x03\x01\x02\x00\x01\x00", b""):
            with server.connect() as client, contextlib.suppress(ConnectionError):
                client.sendall(junk)
                client.shutdown(socket.SHUT_WR)
                assert b"HTTP" not in read_all(client)
        until(lambda: not server.connections.open)


def test_where_all_are_busy_one_more_is_told_so_through_tls(tmp_path: Path) -> None:
    cert, key = self_signed(tmp_path)
    with running(tls=Certificate(cert, key)) as server, contextlib.ExitStack() as stack:
        for _ in range(4):
            client = stack.enter_context(trusting(cert).wrap_socket(server.connect()))
            client.sendall(get("/slow").encode())
        until(lambda: len(server.seen) == 4)
        with trusting(cert).wrap_socket(server.connect()) as one_more:
            assert status(one_more.recv(65536)) == 503


def test_what_comes_with_the_end_of_the_handshake_is_answered_encrypted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def play() -> None:
        encrypted, server = Line(), Timed()
        server.connections.tls = Certificate(*self_signed(tmp_path))

        async def start_tls(plain: Line, protocol: Handshake, *_: object, **__: object) -> Line:
            assert not plain.reading
            protocol.data_received(get("/a").encode())
            return encrypted

        monkeypatch.setattr(asyncio.get_running_loop(), "start_tls", start_tls)
        plain, one = Line(), accepted(server.connections)
        one.connection_made(plain)
        await rest()
        await rest()
        assert (plain.written, encrypted.written[:15]) == (b"", b"HTTP/1.1 200 OK")

    asyncio.run(play())
