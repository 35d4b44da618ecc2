"""The wire: a real server that does all that servers do; a reply or one failure comes of it, by the deadline."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path
from time import perf_counter
from typing import Any, NoReturn

import pytest
import rude
from foreign import bare, kinds, name
from hypothesis import given
from hypothesis import strategies as st
from rude import HOST, MANNERS, Rude, answering, chunked, dripping, http, in_turn, leaving, refusal, stalling
from serving import until

from ondevice.client import connection as connections
from ondevice.client.connection import MAX_REPLY_BYTES, HttpConnection, HttpReply, HttpRequest, ServerAddress
from ondevice.errors import FailureKind, UpstreamError, UsageError

# A deadline that is to be missed, and one that is not, however busy the machine is.
QUICK_S, PATIENCE_S, LONG_S = 0.3, 30.0, 600.0
PICTURE = HttpRequest("POST", "/v2/models/cnnselect/infer?top=5", {"Content-Type": "image/jpeg"}, bytes(1000))
READY = HttpRequest("GET", "/v2/health/ready")
LARGE = PICTURE._replace(body=bytes(8 << 20))


def connect(
    url: str, within_s: float = PATIENCE_S, token: str | None = None, verify: bool | str = True
) -> HttpConnection:
    address = ServerAddress.parse(url)
    tls = connections.tls_context(verify) if address.scheme == "https" else None
    return HttpConnection(address, token, tls, perf_counter() + within_s)


def ask(connection: HttpConnection, request: HttpRequest = PICTURE, within_s: float = PATIENCE_S) -> HttpReply:
    return connection.ask(request, perf_counter() + within_s)


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


def said_by(url: str) -> str:
    with pytest.raises(UsageError) as caught:
        ServerAddress.parse(url)
    return str(caught.value)


# Addresses


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://localhost:8000", ("http", "localhost", 8000, "")),
        ("http://localhost", ("http", "localhost", 80, "")),
        ("https://Example.org/", ("https", "example.org", 443, "")),
        ("https://example.org:8443/vision/", ("https", "example.org", 8443, "/vision")),
        ("http://10.0.0.7:1/a/b", ("http", "10.0.0.7", 1, "/a/b")),
        ("http://[::1]:8000", ("http", "::1", 8000, "")),
        ("http://localhost/my models/ä%20", ("http", "localhost", 80, "/my%20models/%C3%A4%20")),
    ],
)
def test_an_address(url: str, address: tuple[str, str, int, str]) -> None:
    assert ServerAddress.parse(url) == address


def test_the_host_header() -> None:
    assert ServerAddress.parse("http://localhost").host_header == "localhost:80"
    assert ServerAddress.parse("http://[fe80::1]:8000").host_header == "[fe80::1]:8000"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("localhost:8000", "no scheme; did you mean http://localhost:8000"),
        ("", "did you mean http://localhost:8000"),
        ("ftp://localhost", "give http"),
        ("http://", "give http"),
        ("http://:8000", "give http"),
        ("http://localhost:port", "is not a URL"),
        ("http://localhost:99999", "is not a URL"),
        ("http://localhost:-1", "is not a URL"),
        ("http://[::1", "is not a URL"),
        ("http://a..b", "is not a URL"),
        (f"http://{'a' * 64}.org", "is not a URL"),
        ("http://localhost?token=secret", "give http"),
        ("http://localhost#top", "give http"),
        ("http://me:secret@localhost", "give a bearer token instead"),
        ("http://me@localhost", "give a bearer token instead"),
    ],
)
def test_what_is_no_address_is_one_line_that_says_what_to_give(url: str, said: str) -> None:
    shown = said_by(url)
    assert said in shown
    assert "\n" not in shown
    if "me:" in url:
        assert "secret" not in shown


# Good replies


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
        leaving(http(BODY).replace(b"200 ParsedReply", b"200")),
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
        assert failure(lambda: once(server.url, over), "over 4 MiB") == "wrong"


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


def test_the_address_that_takes_connections_is_found_among_several(monkeypatch: pytest.MonkeyPatch) -> None:
    with Rude(answering(http(b"here"))) as server, closed_port() as closed, full_port() as full:
        good, bad, hanging = (found(port) for port in (server.port, closed, full))
        strange = (-5, socket.SOCK_STREAM, 6, "", ("", 0))
        for several in ([bad, strange, good], [good, bad], [hanging, good]):
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, several=several, **__: several)
            assert once("http://example.org", within_s=1.0).body == b"here"


def found(port: int) -> tuple[Any, ...]:
    """As looking up a name finds it."""
    return socket.AF_INET, socket.SOCK_STREAM, 6, "", (HOST, port)


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """A port of this machine where nothing listens, and nothing else will."""
    with socket.socket() as bound:
        bound.bind((HOST, 0))
        yield bound.getsockname()[1]


@contextlib.contextmanager
def full_port() -> Iterator[int]:
    """A port where connections are never taken: as many wait as the kernel lets wait, and some."""
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind((HOST, 0))
        full.listen(0)
        for _ in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        time.sleep(0.1)
        yield full.getsockname()[1]


# Failures


@pytest.mark.parametrize("name", MANNERS)
def test_bad_manners_are_one_failure_by_the_deadline(name: str) -> None:
    behaviour, expected = MANNERS[name]
    request = LARGE if name == "reads nothing" or ("before the body" in name and name[0] in "14") else PICTURE
    start = perf_counter()
    with Rude(behaviour) as server:
        assert failure(lambda: once(server.url, request, QUICK_S if expected == "late" else PATIENCE_S)) == expected
        assert perf_counter() - start < PATIENCE_S


@pytest.fixture(scope="module")
def echo() -> Iterator[HttpConnection]:
    with Rude(answering(lambda asked: http(asked.body))) as server:
        connection = connect(server.url, within_s=LONG_S)
        yield connection
        connection.close()


@given(st.binary() | st.sampled_from(list(rude.NONSENSE.values())))
def test_what_is_said_is_not_judged_here(echo: HttpConnection, body: bytes) -> None:
    assert ask(echo, PICTURE._replace(body=body)).body == body


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (refusal(401, "give a valid token"), "answers 401: give a valid token"),
        (refusal(503, "a\nb\x1b[31mc"), r"answers 503: a b \[31mc"),
        (refusal(500, "x" * 10_000), r"answers 500: x{200}$"),
        (http(b'{"error": 5}', 500), "answers 500$"),
        (http(b'"error"', 500), "answers 500$"),
        (http(b"[" * 100_000, 500), "answers 500$"),
        (http(b"<html>", 502), " answers 502$"),
    ],
)
def test_a_refusal_is_told_in_a_line(reply: bytes, said: str) -> None:
    with Rude(answering(reply)) as server:
        failure(lambda: once(server.url), said)


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


def test_a_connection_that_is_never_taken() -> None:
    with full_port() as port:
        start = perf_counter()
        assert failure(lambda: connect(f"http://{HOST}:{port}", QUICK_S), "no answer in time") == "late"
        assert perf_counter() - start < PATIENCE_S


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
        assert server.visits[0].gone.wait(PATIENCE_S)


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
        assert server.visits[0].gone.wait(PATIENCE_S)
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
        connection.close()


# Giving up


@pytest.mark.parametrize(
    ("behaviour", "request_"),
    [(stalling(http(b"body"), 0), PICTURE), (stalling(http(b"body"), -1), PICTURE), (rude.deaf, LARGE)],
    ids=["before any byte", "before the last byte", "in sending"],
)
def test_cancelling_ends_a_waiting_request_at_once(behaviour: rude.Behaviour, request_: HttpRequest) -> None:
    with Rude(behaviour) as server:
        connection = connect(server.url)
        timer = threading.Timer(0.1, connection.cancel)
        timer.start()
        start = perf_counter()
        failure(lambda: ask(connection, request_, within_s=60))
        assert perf_counter() - start < PATIENCE_S
        timer.join()
        assert connection.cancelled
        assert not connection.usable


def test_cancelling_tells_the_server() -> None:
    with Rude(stalling(http(), 0)) as server:
        connection = connect(server.url)
        thread = threading.Thread(target=lambda: failure(lambda: ask(connection, within_s=60)))
        thread.start()
        until(lambda: server.asked)
        connection.cancel()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
        assert server.visits[0].gone.wait(PATIENCE_S)


def test_cancelling_what_is_over() -> None:
    with Rude(answering(http())) as server:
        connection = connect(server.url)
        connection.close()
        connection.cancel()
        assert connection.cancelled


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return rude.certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def encrypted(certificate: tuple[Path, Path]) -> Iterator[Rude]:
    with Rude(answering(http(b"secret")), tls=rude.serving(*certificate)) as server:
        yield server


def test_https_by_the_authority_in_a_file(encrypted: Rude, certificate: tuple[Path, Path]) -> None:
    assert once(encrypted.url, verify=str(certificate[0])).body == b"secret"
    assert encrypted.asked[0].headers["host"] == f"{HOST}:{encrypted.port}"


def test_https_whoever_it_is(encrypted: Rude) -> None:
    assert once(encrypted.url, verify=False).body == b"secret"


def test_https_that_nobody_vouches_for(encrypted: Rude) -> None:
    said = "certificate is refused: self.signed certificate; give the file of its authority"
    assert failure(lambda: connect(encrypted.url), said) == "untrusted"
    assert not encrypted.asked


def test_https_with_another_s_certificate(tmp_path: Path) -> None:
    cert, key = rude.certificate(tmp_path, host="10.1.2.3")
    with Rude(answering(http()), tls=rude.serving(cert, key)) as server:
        said = "certificate is refused: IP address mismatch"
        assert failure(lambda: connect(server.url, verify=str(cert)), said) == "untrusted"


def test_an_encrypted_connection_is_kept(encrypted: Rude) -> None:
    connection = connect(encrypted.url, verify=False)
    for _ in range(3):
        time.sleep(0.05)  # for the server's session tickets, which come unasked
        assert connection.usable
        assert ask(connection).body == b"secret"
    encrypted.hang_up()
    assert encrypted.visits[0].gone.wait(PATIENCE_S)
    assert not connection.usable
    connection.close()


@pytest.mark.parametrize("name", ["stalls", "stalls in the body", "reads nothing", "drips"])
def test_the_deadline_holds_over_tls(certificate: tuple[Path, Path], name: str) -> None:
    behaviour, expected = MANNERS[name]
    with Rude(behaviour, tls=rude.serving(*certificate)) as server:
        connection = connect(server.url, verify=False)
        start = perf_counter()
        assert failure(lambda: ask(connection, LARGE, within_s=QUICK_S)) == expected
        assert perf_counter() - start < PATIENCE_S


@pytest.mark.parametrize("name", ["closes at once", "closes in the body", "resets", "a body without end", "500"])
def test_failures_over_tls(certificate: tuple[Path, Path], name: str) -> None:
    behaviour, expected = MANNERS[name]
    with Rude(behaviour, tls=rude.serving(*certificate)) as server:
        assert failure(lambda: once(server.url, verify=False)) == expected


def test_cancelling_over_tls(certificate: tuple[Path, Path]) -> None:
    with Rude(stalling(http(), 3), tls=rude.serving(*certificate)) as server:
        connection = connect(server.url, verify=False)
        timer = threading.Timer(0.1, connection.cancel)
        timer.start()
        start = perf_counter()
        failure(lambda: ask(connection, within_s=60))
        assert perf_counter() - start < PATIENCE_S
        timer.join()
        assert not connection.usable


def test_plain_http_to_the_tls_port(encrypted: Rude) -> None:
    assert failure(lambda: once(encrypted.url.replace("https", "http"))) in ("wrong", "cut")
    assert not encrypted.asked


def test_https_to_the_plain_port() -> None:
    def behave(visit: rude.Visit) -> None:
        visit.send(refusal(400, "no HTTP"))

    with Rude(behave) as server:
        url = server.url.replace("http", "https")
        assert failure(lambda: connect(url), "is it http:// there?") == "wrong"


@pytest.mark.parametrize(
    "behaviour", [lambda visit: None, lambda visit: visit.pause(0.05), lambda visit: visit.reset()]
)
def test_a_handshake_that_is_cut(behaviour: rude.Behaviour) -> None:
    with Rude(behaviour) as server:
        url = server.url.replace("http", "https")
        assert failure(lambda: connect(url), "lost before the answer was whole") == "cut"


def test_a_handshake_that_stalls() -> None:
    with Rude(rude.deaf) as server:
        url = server.url.replace("http", "https")
        start = perf_counter()
        assert failure(lambda: connect(url, QUICK_S), "no answer in time") == "late"
        assert perf_counter() - start < PATIENCE_S


def test_a_file_that_holds_no_certificates(tmp_path: Path) -> None:
    for content in (None, b"", b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"):
        path = tmp_path / "authority.pem"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(UsageError, match=r"authority\.pem: not a file of certificates"):
            connections.tls_context(str(path))


# The token


@pytest.mark.parametrize(
    ("token", "sent"), [(None, None), ("", None), (" \n", None), ("abc", "abc"), ("a.b-c=\r\n", "a.b-c=")]
)
def test_the_line_break_that_a_file_ends_in_is_no_part_of_the_token(token: str | None, sent: str | None) -> None:
    assert connections.bearer(token) == sent


@pytest.mark.parametrize("token", ["a\r\nX-More: yes", "a\nb", "a\tb", "grün", "\ud800", "a\0"])
def test_what_is_no_token_is_not_shown(token: str) -> None:
    with pytest.raises(UsageError, match="token holds other characters") as caught:
        connections.bearer(token)
    assert token not in str(caught.value)


# Whatever Python's own modules raise, one error of ours comes of it


@pytest.mark.parametrize("kind", kinds(OSError, ssl.SSLError, socket.gaierror, HTTPException, ValueError), ids=name)
def test_nothing_of_sockets_and_http_leaks_out(kind: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> NoReturn:
        raise bare(kind)

    monkeypatch.setattr(socket, "getaddrinfo", broken)
    assert failure(lambda: connect(f"http://{HOST}:9")) in list(FailureKind)
