"""Replies whose bodies come in pieces."""

from __future__ import annotations

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from http_server import CLOSE, HASTY, get, running, undated
from serving import until

CHUNKED = b"4\r\none\n\r\n4\r\ntwo\n\r\n15\r\n" + b"x" * 20 + b"\n\r\n0\r\n\r\n"


@pytest.mark.parametrize("path", ["/pieces", "/pieces/known"])
def test_a_body_in_pieces_and_the_connection_stays(path: str) -> None:
    with running() as server:
        first, body, second = server.say(get(path) + get("/next", CLOSE)).partition(CHUNKED)
        assert undated(first) == b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        assert body
        assert b"x-path: /next" in second
        assert server.ended == [path]


def test_each_piece_comes_when_it_is_there() -> None:
    with running() as server, server.connect() as client:
        client.sendall(get("/pieces/slow").encode())
        got = b""
        while b"one" not in got:
            got += client.recv(1000)
        assert b"two" not in got
        server.let_go()
        while not got.endswith(b"0\r\n\r\n"):
            got += client.recv(1000)
        assert got.endswith(CHUNKED)


def test_who_waits_to_be_told_to_send_is_not_told_between_the_pieces() -> None:
    waits = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
    with running() as server, server.connect() as client:
        client.sendall((get("/pieces/slow") + waits).encode())
        server.let_go()
        got = b""
        while b"100 Continue" not in got:
            got += client.recv(1000)
        assert got.endswith(CHUNKED + b"HTTP/1.1 100 Continue\r\n\r\n")


def test_a_client_that_knows_no_chunks_reads_to_the_end() -> None:
    with running() as server:
        said = server.say("GET /pieces HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert undated(said) == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\none\ntwo\n" + b"x" * 20 + b"\n"


def test_pieces_end_when_their_client_leaves() -> None:
    with running() as server:
        with server.connect() as client:
            client.sendall(get("/pieces/slow").encode())
            assert client.recv(1000)
        until(lambda: server.ended == ["/pieces/slow"])


def test_pieces_wait_for_a_client_that_does_not_read_and_end_when_that_takes_too_long() -> None:
    with running(HASTY) as server, server.connect() as client:
        client.sendall(get("/pieces/for/ever").encode())
        until(lambda: server.ended == ["/pieces/for/ever"])
        assert not server.connections.open
