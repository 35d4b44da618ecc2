"""The wire: a real server with bad manners, or none; one failure comes of it, by the deadline."""

from __future__ import annotations

import socket
import ssl
import tracemalloc
from collections.abc import Callable, Iterator
from typing import NoReturn

import pytest
import rude
from foreign import bare, kinds, name
from hypothesis import given
from hypothesis import strategies as st
from lookups import asleep
from manners import MANNERS, NONSENSE
from ports import closed_port, full_port
from rude import HOST, Rude, answering, http, in_turn, leaving, refusal, stalling
from serving import until
from streams import LARGE, LONG_S, PATIENCE_S, PICTURE, QUICK_S, Driven, ask, connect, failure, once

from ondevice.client.connection.messages import HttpRequest
from ondevice.errors import FailureKind, UpstreamError


@pytest.mark.parametrize("name", MANNERS)
def test_bad_manners_are_one_failure_by_the_deadline(name: str) -> None:
    behaviour, expected = MANNERS[name]
    request = LARGE if name == "reads nothing" or ("before the body" in name and name[0] in "14") else PICTURE
    with Rude(behaviour) as server:
        assert failure(lambda: once(server.url, request, QUICK_S if expected == "late" else PATIENCE_S)) == expected


@pytest.fixture(scope="module")
def echo() -> Iterator[Driven]:
    with Rude(answering(lambda asked: http(asked.body))) as server:
        connection = connect(server.url, within_s=LONG_S)
        yield connection
        connection.close()


@given(st.binary() | st.sampled_from(list(NONSENSE.values())))
def test_what_is_said_is_not_judged_here(echo: Driven, body: bytes) -> None:
    assert ask(echo, PICTURE._replace(body=body)).body == body


@pytest.mark.parametrize(
    ("reply", "said", "kind"),
    [
        (refusal(401, "give a valid token"), "answers 401: give a valid token", "denied"),
        (refusal(503, "a\nb\x1b[31mc"), r"answers 503: a b \[31mc", "busy"),
        (refusal(500, "x" * 10_000), r"answers 500: x{200}$", "wrong"),
        (http(b'{"error": 5}', 500), "answers 500$", "wrong"),
        (http(b'"error"', 500), "answers 500$", "wrong"),
        (http(b"[" * 100_000, 500), "answers 500$", "wrong"),
        (http(b"<html>", 502), " answers 502$", "wrong"),
    ],
)
def test_a_refusal_is_told_in_a_line(reply: bytes, said: str, kind: str) -> None:
    with Rude(answering(reply)) as server:
        assert failure(lambda: once(server.url), said) == kind


def test_a_refusal_tells_when_to_come_back() -> None:
    with Rude(answering(refusal(503, "no time", {"Retry-After": "1", "Retry-After-Ms": "250"}))) as server:
        connection = connect(server.url)
        with pytest.raises(UpstreamError) as caught:
            ask(connection)
        connection.close()
    assert caught.value.retry_after_ms == 250


def test_nothing_listens() -> None:
    with closed_port() as port:
        assert failure(lambda: connect(f"http://{HOST}:{port}"), "is `ondevice serve` running there?") == "refused"


def test_a_server_that_has_ended() -> None:
    with Rude(answering(http())) as server:
        connection = connect(server.url)
        ask(connection)
    assert not connection.usable
    assert failure(lambda: ask(connection)) == "cut"
    assert failure(lambda: connect(server.url)) == "refused"


def test_no_such_host() -> None:
    assert failure(lambda: connect("http://no-such-host.invalid"), "no such host") == "refused"


def waiting_for_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with asleep(monkeypatch):
        connect("http://name.example", QUICK_S)


def waiting_for_a_connection(_: object) -> None:
    with full_port() as port:
        connect(f"http://{HOST}:{port}", QUICK_S)


def waiting_for(behaviour: rude.Behaviour, request: HttpRequest = PICTURE) -> Callable[[object], None]:
    def wait(_: object) -> None:
        with Rude(behaviour) as server:
            ask(connect(server.url), request, QUICK_S)

    return wait


@pytest.mark.parametrize(
    ("wait", "said"),
    [
        (waiting_for_a_name, "no answer from the name server"),
        (waiting_for_a_connection, "no connection"),
        (waiting_for(rude.deaf, LARGE), "the request was not sent"),
        (waiting_for(stalling(http(), 0)), "no answer"),
        (waiting_for(stalling(http(), 5)), "no whole answer"),
    ],
)  # fmt: skip
def test_what_is_late_is_told(wait: Callable[[object], None], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert failure(lambda: wait(monkeypatch), f"^[a-z0-9.]+:[0-9]+: {said} within 0.[23][0-9]* s$") == "late"


def test_only_so_many_words_before_an_answer_are_listened_to() -> None:
    def behave(visit: rude.Visit) -> None:
        visit.next()
        while True:
            visit.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            visit.pause(0.01)

    with Rude(behave) as server:
        assert failure(lambda: once(server.url), "its answer is not HTTP: it says over 8 times") == "wrong"


def test_who_reads_nothing_has_us_hold_nothing_besides_the_body() -> None:
    with Rude(rude.deaf) as server:
        connection = connect(server.url)
        tracemalloc.start()
        try:
            assert failure(lambda: ask(connection, LARGE, QUICK_S), "the request was not sent") == "late"
            most_bytes = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert most_bytes < len(LARGE.body) / 4


@pytest.mark.parametrize("within_s", [0.0, -1.0])
def test_a_deadline_that_is_past(within_s: float) -> None:
    with Rude(answering(http())) as server:
        assert failure(lambda: connect(server.url, within_s)) == "late"
        connection = connect(server.url)
        assert failure(lambda: ask(connection, within_s=within_s)) == "late"
        assert not connection.usable


def test_a_failure_closes_the_connection() -> None:
    with Rude(answering(http(b"garbage", length=1 << 40))) as server:
        connection = connect(server.url)
        failure(lambda: ask(connection, within_s=QUICK_S))
        assert not connection.usable
        assert server.visit(0).gone.wait(PATIENCE_S)


def test_a_refusal_leaves_it_open() -> None:
    with Rude(answering(refusal(503, "no time"))) as server:
        connection = connect(server.url)
        assert failure(lambda: ask(connection)) == failure(lambda: ask(connection)) == "busy"
        assert connection.usable
        connection.close()
        assert len(server.visits) == 1


def test_heard_tells_whether_anything_had_come_back() -> None:
    with Rude(in_turn(leaving(http(), after=1), rude.cutting(http(b"body"), 5))) as server:
        kept = connect(server.url)
        ask(kept)
        assert failure(lambda: ask(kept)) == "cut"
        assert not kept.heard
        answered = connect(server.url)
        assert failure(lambda: ask(answered)) == "cut"
        assert answered.heard


def test_a_connection_that_its_server_has_closed_is_not_usable() -> None:
    with Rude(leaving(http())) as server:
        connection = connect(server.url)
        ask(connection)
        assert server.visit(0).gone.wait(PATIENCE_S)
        assert not connection.usable
        connection.close()


def test_a_connection_on_which_something_came_unasked_is_not_usable() -> None:
    def behave(visit: rude.Visit) -> None:
        visit.next()
        visit.send(http())
        visit.pause(0.05)
        visit.send(http(b"once more"))
        visit.pause()

    with Rude(behave) as server:
        connection = connect(server.url)
        ask(connection)
        until(lambda: not connection.usable)
        assert not connection.usable
        connection.close()


# Whatever Python's own modules raise, one error of ours comes of it


@pytest.mark.parametrize("kind", kinds(OSError, ssl.SSLError, socket.gaierror, ValueError), ids=name)
def test_nothing_of_sockets_and_names_leaks_out(kind: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> NoReturn:
        raise bare(kind)

    monkeypatch.setattr(socket, "getaddrinfo", broken)
    for host in (HOST, "name.example"):
        assert failure(lambda host=host: connect(f"http://{host}:9")) in list(FailureKind)
