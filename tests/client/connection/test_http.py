"""The wire: a real server that does all that servers do; a reply comes of it, or none once it is given up."""

from __future__ import annotations

import contextlib
import math
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
import rude
import streams
from ports import closed_port, full_port
from rude import HOST, Rude, answering, chunked, dripping, http, leaving, refusal, stalling
from serving import until
from streams import LARGE, LONG_S, PATIENCE_S, PICTURE, READY, ask, connect, failure, once

from ondevice.client.connection.address import ServerAddress
from ondevice.client.connection.http import HttpStream
from ondevice.client.connection.messages import HttpReply, HttpRequest
from ondevice.client.connection.parser import MAX_REPLY_BYTES
from ondevice.errors import FailureKind, UpstreamError
from ondevice.protocol.headers import LINES


def test_a_request_as_it_stands_on_the_wire() -> None:
    with Rude(answering(http(b"{}"))) as server:
        connection = connect(f"{server.url}/vision", token="open-sesame")
        ask(connection)
        ask(connection, READY)
        connection.close()
        posted, got = server.asked
    assert (posted.method, posted.path) == ("POST", "/vision/v2/models/cnnselect/infer?top=5")
    assert posted.body == PICTURE.body
    assert posted.headers == {
        "host": f"{HOST}:{server.port}",
        "authorization": "Bearer open-sesame",
        "accept-encoding": "identity",
        "content-type": "image/jpeg",
        "content-length": "1000",
    }
    assert (got.method, got.path, got.body) == ("GET", "/vision/v2/health/ready", b"")
    assert "content-length" not in got.headers


def test_no_token_no_authorization() -> None:
    with Rude(answering(http())) as server:
        once(server.url)
    assert "authorization" not in server.asked[0].headers


BODY = b'{"some": "json"}' * 100


@pytest.mark.parametrize(
    "behaviour",
    [
        answering(http(BODY)),
        answering(http(BODY, headers={"Connection": "close"})),
        leaving(http(BODY)),
        leaving(http(BODY, length=-1)),
        answering(chunked(BODY)),
        answering(chunked(BODY, size=1)),
        answering(b"HTTP/1.1 100 Continue\r\n\r\n" + http(BODY)),
        answering(http(BODY).replace(b"\r\n", b"\n", 3)),
        leaving(http(BODY).replace(b"HTTP/1.1", b"HTTP/1.0")),
        leaving(http(BODY).replace(b"200 Said", b"200")),
    ],
    ids=[
        "length", "says it closes", "closes", "until it closes", "chunks", "small chunks", "continue",
        "bare line feeds", "HTTP 1.0", "no reason",
    ],
)  # fmt: skip
def test_a_reply_in_each_form(behaviour: rude.Behaviour) -> None:
    with Rude(behaviour) as server:
        assert once(server.url).body == BODY


def test_a_reply_s_headers() -> None:
    with Rude(answering(http(headers={"Server-Timing": "total;dur=3.5", "X-Words": "grün"}))) as server:
        headers = once(server.url).headers
    assert headers["server-timing"] == "total;dur=3.5"
    assert headers["content-length"] == "0"


def test_a_dripping_reply_that_is_there_in_time() -> None:
    with Rude(dripping(http(b"{}"), every_s=0.001)) as server:
        assert once(server.url).body == b"{}"


@pytest.mark.parametrize("form", [http, lambda body: chunked(body, size=1 << 16)], ids=["length", "chunks"])
def test_as_much_as_is_read_and_no_more(form: Callable[[bytes], bytes]) -> None:
    with Rude(answering(lambda asked: form(bytes(int(asked.body))))) as server:
        almost, over = (PICTURE._replace(body=b"%d" % (MAX_REPLY_BYTES + more)) for more in (-5000, 1))
        assert len(once(server.url, almost).body) == MAX_REPLY_BYTES - 5000
        assert failure(lambda: once(server.url, over), "over 1 MiB") == "wrong"


def test_one_connection_for_many_requests() -> None:
    with Rude(answering(lambda asked: http(asked.body))) as server:
        connection = connect(server.url)
        for number in range(20):
            body = b"%d" % number * number
            assert connection.usable
            assert ask(connection, PICTURE._replace(body=body)).body == body
        connection.close()
        assert len(server.visits) == 1
    assert not connection.usable


def test_a_server_that_says_it_closes_is_not_asked_again_even_if_it_does_not() -> None:
    with Rude(answering(http(headers={"Connection": "close"}))) as server:
        connection = connect(server.url)
        ask(connection)
        assert not connection.usable


def test_a_large_body_is_sent_whole() -> None:
    with Rude(answering(lambda asked: http(b"%d" % len(asked.body)))) as server:
        assert once(server.url, LARGE).body == b"%d" % len(LARGE.body)


def test_ipv6() -> None:
    try:
        server = Rude(answering(lambda asked: http(asked.headers["host"].encode())), host="::1")
    except OSError:
        pytest.skip("no IPv6 here")
    with server:
        assert once(server.url).body == f"[::1]:{server.port}".encode()


# Several addresses


def test_the_address_that_takes_connections_is_found_among_several(monkeypatch: pytest.MonkeyPatch) -> None:
    with Rude(answering(http(b"here"))) as server, closed_port() as closed, full_port() as full:
        good, bad, hanging = (found(port) for port in (server.port, closed, full))
        strange = (-5, socket.SOCK_STREAM, 6, "", ("", 0))
        for several in (
            [bad, strange, good],
            [good, bad],
            [hanging, good],
            [hanging, hanging, good],
            [hanging, bad, good],
        ):
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, several=several, **__: several)
            assert once("http://example.org", within_s=1.0).body == b"here"


def found(port: int, host: str = HOST) -> tuple[Any, ...]:
    """As looking up a name finds it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return family, socket.SOCK_STREAM, 6, "", (host, port)


def test_a_dead_ipv6_costs_a_moment_and_not_its_share_of_the_time(
    engine: streams.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(Rude(answering(http(b"here"))))
        try:
            dead = stack.enter_context(full_port("::1"))
        except OSError:
            pytest.skip("no IPv6 here")
        several = [found(dead, "::1")] * 3 + [found(server.port)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: several)
        address = ServerAddress.parse("http://example.org")
        begun = time.perf_counter()
        stream = engine.begin(HttpStream.open(address, None, None, begun + LONG_S)).result(PATIENCE_S)
        took_ms = (time.perf_counter() - begun) * 1e3
        assert (stream.family, stream.local) == (socket.AF_INET, HOST)
        assert stream.connect_ms < took_ms - 240, "the round trip of the address that took it"
        engine.call(stream.close)


# Reading while sending


def refusing_early(visit: rude.Visit) -> None:
    """Refuse at the head, and read none of the body."""
    if visit.head():
        visit.send(refusal(413, "too large"))
        visit.wait()


def test_a_refusal_is_heard_while_the_request_is_still_sent() -> None:
    with Rude(refusing_early) as server:
        connection = connect(server.url)
        assert failure(lambda: ask(connection, LARGE), "answers 413: too large") == "rejected"
        assert not connection.usable, "a part of the request is missing on it"


def test_an_answer_before_all_was_sent_is_one() -> None:
    def behave(visit: rude.Visit) -> None:
        visit.head()
        visit.send(http(b"enough"))
        visit.wait()

    with Rude(behave) as server:
        connection = connect(server.url)
        assert ask(connection, LARGE).body == b"enough"
        assert not connection.usable


def test_nothing_more_is_sent_to_who_refuses() -> None:
    huge, received = PICTURE._replace(body=bytes(64 << 20)), list[int]()

    def behave(visit: rude.Visit) -> None:
        visit.head()
        visit.send(refusal(413, "too large")[:-1])
        visit.pause(0.5)
        while piece := visit.piece():
            received.append(len(piece))

    with Rude(behave) as server:
        connection = connect(server.url)
        assert failure(lambda: ask(connection, huge, within_s=2.0), "no whole answer within 2 s") == "late"
        assert server.visit(0).gone.wait(PATIENCE_S)
    assert sum(received) < len(huge.body) / 2, "what the kernel had of it already"


# Answers of several lines


def test_each_line_is_there_when_it_comes() -> None:
    heard: list[bytes] = []

    def behave(visit: rude.Visit) -> None:
        visit.next()
        visit.send(http(headers={"Content-Type": LINES}, length=6))
        for line in (b"1\n", b"2\n", b"3\n"):
            visit.send(line)
            until(lambda line=line: heard[-1:] == [line.strip()])
        visit.pause()

    with Rude(behave) as server:
        connection = connect(server.url)
        assert ask(connection, each=lambda reply: heard.append(reply.body)).body == b"3"
        assert heard == [b"1", b"2", b"3"]
        assert connection.usable
        connection.close()


def test_what_is_raised_for_a_line_ends_the_request_and_the_connection() -> None:
    def wrong(reply: HttpReply) -> None:
        raise UpstreamError(f"no {reply.body!r}", FailureKind.WRONG)

    with Rude(answering(http(b"1\n2\n", headers={"Content-Type": LINES}))) as server:
        connection = connect(server.url)
        assert failure(lambda: ask(connection, each=wrong), "^no b'1'$") == "wrong"
        assert not connection.usable


def test_other_statuses_are_not_given_to_who_takes_answers() -> None:
    heard: list[HttpReply] = []
    with Rude(answering(refusal(503, "busy"))) as server:
        connection = connect(server.url)
        assert failure(lambda: ask(connection, each=heard.append)) == "busy"
        connection.close()
    assert heard == []


# Giving up


@pytest.mark.parametrize(
    ("behaviour", "request_"),
    [(stalling(http(b"body"), 0), PICTURE), (stalling(http(b"body"), -1), PICTURE), (rude.deaf, LARGE)],
    ids=["before any byte", "before the last byte", "in sending"],
)
def test_cancelling_ends_a_waiting_request_and_closes_its_connection(
    behaviour: rude.Behaviour, request_: HttpRequest
) -> None:
    with Rude(behaviour) as server:
        connection = connect(server.url)
        asked = connection.begin(request_)
        time.sleep(0.1)
        assert asked.cancel()
        until(lambda: not connection.usable)
        connection.close()


@pytest.mark.parametrize("request_", [PICTURE, LARGE], ids=["waiting", "sending"])
def test_cancelling_tells_the_server(request_: HttpRequest) -> None:
    with Rude(stalling(http(), 0)) as server:
        connection = connect(server.url)
        asked = connection.begin(request_)
        until(lambda: server.visits)
        time.sleep(0.05)
        assert not server.visits[0].gone.is_set()
        asked.cancel()
        assert server.visit(0).gone.wait(PATIENCE_S)


def test_cancelling_opening(engine: streams.Engine) -> None:
    with full_port() as port:
        opening = engine.begin(HttpStream.open(ServerAddress.parse(f"http://{HOST}:{port}"), None, None, math.inf))
        until(lambda: engine.watched)
        opening.cancel()
        until(lambda: not engine.watched)
        assert opening.cancelled()


def test_closing_ends_what_waits_on_it() -> None:
    with Rude(stalling(http(), 0)) as server:
        connection = connect(server.url)
        asked = connection.begin()
        until(lambda: server.asked)
        connection.close()
        assert failure(lambda: asked.result(PATIENCE_S)) == "cut"
