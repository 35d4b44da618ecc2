"""Who is let in by a token, and what one client may take: its bodies, its time, its connections."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from serving import FAMILY, PICTURE, Endpoint, not_by_ray, post, read_all, read_reply, sentence, status, until

INFER = "/v2/models/cnnselect/infer"
TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    home: Path = tmp_path_factory.mktemp("home")
    (home / "tokens").write_text(f"# phones\n{TOKEN}\n")
    limits = ("--max-body", "20kB", "--send-timeout", 1.0, "--max-connections", 6)
    with Endpoint(home, "--tokens", home / "tokens", "--models", FAMILY[0], *limits) as running:
        yield running


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "Content-Type": "image/png"}


def test_the_right_token_is_served(guarded: Endpoint) -> None:
    assert guarded.ask("POST", INFER, data=PICTURE, headers=bearer(TOKEN)).status_code == 200


@pytest.mark.parametrize("headers", [{}, bearer(TOKEN[:-1]), bearer(""), {"Authorization": f"Basic {TOKEN}"}])
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", INFER), ("GET", "/v2"), ("GET", "/metrics"), ("GET", "/openapi.json"), ("POST", "/v2/repository/index")],
)
def test_without_it_nothing_is(guarded: Endpoint, headers: dict[str, str], method: str, path: str) -> None:
    reply = guarded.ask(method, path, headers=headers)
    assert (reply.status_code, reply.headers["www-authenticate"]) == (401, "Bearer")
    assert TOKEN not in sentence(reply)


def test_health_is_open_to_all(guarded: Endpoint) -> None:
    assert guarded.ask("GET", "/v2/health/live").status_code == 200
    assert guarded.ask("GET", "/v2/health/ready").status_code == 200


def test_a_refused_client_is_logged_with_where_it_comes_from(guarded: Endpoint) -> None:
    guarded.ask("GET", "/v2/models/cnnselect/versions/1")
    line = until(lambda: [line for line in guarded.log("request") if line["path"].endswith("/versions/1")])[0]
    assert (line["status"], line["peer"], line["method"]) == (401, "127.0.0.1", "GET")
    assert TOKEN not in guarded.stderr


def test_without_a_token_the_body_is_not_even_read(guarded: Endpoint) -> None:
    with guarded.connect() as client:
        client.sendall(post(INFER, b"", length=15_000))
        assert status(read_reply(client)) == 401


def test_a_body_over_the_limit_is_refused_before_it_is_read(guarded: Endpoint) -> None:
    with guarded.connect() as client:
        client.sendall(post(INFER, b"", length=20_001, extra=f"Authorization: Bearer {TOKEN}\r\n"))
        reply = read_reply(client)
    assert status(reply) == 413
    assert b"the body is over 20000 bytes" in reply
    assert guarded.ask("POST", INFER, data=bytes(20_000), headers=bearer(TOKEN)).status_code == 400


def test_a_slow_sender_is_told_so(guarded: Endpoint) -> None:
    with guarded.connect() as client:
        client.sendall(post(INFER, PICTURE, extra=f"Authorization: Bearer {TOKEN}\r\n")[:-1])
        reply = read_reply(client)
    assert status(reply) == 408
    assert b"took over 1 s to arrive" in reply


@not_by_ray("connections are its proxy's, in which more wait")
def test_where_all_are_busy_one_more_is_refused_and_the_next_is_served(guarded: Endpoint) -> None:
    unfinished = post(INFER, PICTURE, extra=f"Authorization: Bearer {TOKEN}\r\n")[:-1]

    def refused() -> bool:
        with contextlib.ExitStack() as stack:
            for _ in range(6):
                stack.enter_context(guarded.connect()).sendall(unfinished)
            return b"too many connections" in guarded.say()

    until(refused)
    until(lambda: guarded.say(b"GET /v2/health/live HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200"))


@not_by_ray("connections are its proxy's, in which more wait")
def test_idle_connections_lock_nobody_out(guarded: Endpoint) -> None:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(guarded.connect()) for _ in range(12)]
        for _ in range(10):
            assert guarded.say(b"GET /v2/health/live HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200")
        assert read_all(held[0]) == b"", "the oldest gave way"


@not_by_ray("its proxy ends such a connection without a word")
def test_trailers_without_end_are_refused(guarded: Endpoint) -> None:
    headers = f"Host: x\r\nAuthorization: Bearer {TOKEN}\r\nTransfer-Encoding: chunked\r\n"
    head = f"POST {INFER} HTTP/1.1\r\n{headers}\r\n0\r\n"
    with guarded.connect() as client:
        client.sendall(head.encode())
        for _ in range(4):
            time.sleep(0.1)
            client.sendall(b"".join(b"x-%d: %s\r\n" % (n, b"a" * 500) for n in range(100)))
        assert status(read_all(client)) == 431
