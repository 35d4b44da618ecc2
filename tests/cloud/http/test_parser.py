"""What the bytes say, without a connection: however they are cut, they say the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from http_server import CLOSE, SMALL, Asked, Gathered, get, post

from ondevice.cloud.app.messages import Head, Request, Response
from ondevice.cloud.http.early import EarlyReplyError
from ondevice.cloud.http.parser import RequestParser
from ondevice.cloud.http.transaction import Transaction
from ondevice.resilience.budget import Budget


async def unused(request: Request) -> Response:
    raise AssertionError("here nothing is answered")


class Said:
    """What a parser makes of bytes; each body is gathered."""

    def __init__(self) -> None:
        self.whole: list[Transaction] = []
        self.parser = RequestParser(Asked(unused), SMALL, self._take_in, self.whole.append)

    def _take_in(self, transaction: Transaction) -> None:
        assert transaction.request is None
        method, path = transaction.method.decode(), transaction.url.decode()
        head = Head(method, path, "", transaction.headers, None, "", transaction.first_byte)
        transaction.request = Gathered(head, unused)
        chunked = "transfer-encoding" in transaction.headers
        transaction.length = None if chunked else int(transaction.headers.get("content-length", "0"))
        if chunked:
            transaction.share = Budget(1 << 20).take(1 << 10, lambda: None)

    def feed(self, data: bytes, now: float = 0.0) -> None:
        at = 0
        while at < len(data):
            at = self.parser.advance(data, at, now)

    @property
    def requests(self) -> list[tuple[str, str, bytes, bool]]:
        gathered = [(transaction.request, transaction.keep) for transaction in self.whole]
        return [(r.head.method, r.head.path, r.body, keep) for r, keep in gathered if isinstance(r, Gathered)]


TWO = (post("/a", "one", "X-Y: Z\r\n") + get("/b", "Connection: close\r\n")).encode()
SAID = [("POST", "/a", b"one", True), ("GET", "/b", b"", False)]


def cuts(data: bytes) -> Iterator[list[bytes]]:
    yield [data]
    yield [data[n : n + 1] for n in range(len(data))]
    yield from ([data[:n], data[n:]] for n in range(1, len(data)))


def test_however_the_bytes_are_cut_they_say_the_same() -> None:
    for pieces in cuts(TWO):
        said = Said()
        for piece in pieces:
            said.feed(piece)
        assert said.requests == SAID
        assert said.whole[0].headers == {"host": "x", "content-length": "3", "x-y": "Z"}
        assert said.parser.transaction is None


def test_a_body_is_not_parsed_before_its_head_was_taken_in() -> None:
    said = Said()
    data = post("/a", "x" * 900).encode() + get("/b").encode()
    head = said.parser.advance(data, 0, 0.0)
    assert data[:head].endswith(b"\r\n\r\n")
    body = said.parser.advance(data, head, 0.0)
    assert (data[head:body], said.requests) == (b"x" * 900, [("POST", "/a", b"x" * 900, True)])


def test_little_is_parsed_at_a_time_where_it_may_be_many_requests() -> None:
    said = Said()
    many = get("/").encode() * 1000
    said.parser.advance(many, 0, 0.0)
    assert len(said.requests) == 1
    said.feed(many[len(get("/")) :])
    assert len(said.requests) == 1000


def test_a_protocol_to_upgrade_to_is_not_followed() -> None:
    said = Said()
    said.feed((get("/a", "Upgrade: h2c\r\nConnection: Upgrade\r\n") + get("/b")).encode())
    assert said.requests == [("GET", "/a", b"", True), ("GET", "/b", b"", True)]


OFFER = "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n"
CHUNKED = "POST {} HTTP/1.1\r\nHost: x\r\n{}Transfer-Encoding: chunked\r\n\r\n{}"
CHUNKS = "1\r\no\r\n2;x=y\r\nne\r\n0\r\nX-Trailer: yes\r\nX-Trailer: no\r\n\r\n"


def test_the_body_of_who_offers_another_protocol_is_read_however_it_is_cut() -> None:
    first, second = post("/a", "one", OFFER), post("/b", "GET /", OFFER)
    for pieces in cuts((first + second + CHUNKED.format("/c", OFFER, CHUNKS) + get("/d", CLOSE)).encode()):
        said = Said()
        for piece in pieces:
            said.feed(piece)
        assert said.requests == [
            ("POST", "/a", b"one", True),
            ("POST", "/b", b"GET /", True),
            ("POST", "/c", b"one", True),
            ("GET", "/d", b"", False),
        ]


def test_trailers_are_no_headers_of_the_next_request() -> None:
    for pieces in cuts((CHUNKED.format("/a", "", CHUNKS) + get("/b")).encode()):
        said = Said()
        for piece in pieces:
            said.feed(piece)
        assert [transaction.headers for transaction in said.whole] == [
            {"host": "x", "transfer-encoding": "chunked"},
            {"host": "x"},
        ]


def test_after_the_last_request_nothing_is_read() -> None:
    for pieces in cuts((post("/a", "one", CLOSE) + "\r\nGET /b rubbish").encode()):
        said = Said()
        for piece in pieces:
            said.feed(piece)
        assert said.requests == [("POST", "/a", b"one", False)]


def test_who_speaks_http_2_from_the_start_is_told_what_to_speak() -> None:
    """As gRPC clients do, and `curl --http2-prior-knowledge`."""
    with pytest.raises(EarlyReplyError) as error:
        Said().feed(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert error.value.response.body == b"HTTP/2 and gRPC are not spoken here: ask in HTTP/1.1"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00", 400),
        (get("/", "X: " + "a" * 3000 + "\r\n").encode(), 431),
        (b"GET /" + b"a" * 3000, 431),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (CHUNKED.format("/", "Transfer-Encoding: gzip\r\n", "0\r\n\r\n").encode(), 501),
        (CHUNKED.format("/", "", "zz\r\n").encode(), 400),
        (CHUNKED.format("/", OFFER, "zz\r\n").encode(), 400),
    ],
    ids=[
        "TLS", "a long head", "a head without end", "no host", "another coding", "no chunk", "none after an offer",
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_once_and_early(sent: bytes, status: int) -> None:
    said = Said()
    with pytest.raises(EarlyReplyError) as error:
        said.feed(sent)
    assert error.value.response.status == status
    assert said.requests == []


@pytest.mark.parametrize("before", ["", CHUNKED.format("/a", "", CHUNKS)])
@pytest.mark.parametrize(("length", "too_long"), [(1990, False), (2010, True)])
def test_a_head_is_as_long_as_it_is_wherever_it_begins(before: str, length: int, too_long: bool) -> None:
    said = Said()
    data = (before + get("/", f"X: {'a' * (length - 16)}\r\n")).encode()
    if too_long:
        with pytest.raises(EarlyReplyError):
            said.feed(data)
    else:
        said.feed(data)
        assert said.requests[-1][1] == "/"


def test_a_fault_of_ours_is_not_called_the_clients() -> None:
    def broken(transaction: Transaction) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        RequestParser(Asked(unused), SMALL, broken, lambda transaction: None).advance(get("/").encode(), 0, 0.0)


def test_each_request_begins_at_its_first_byte_and_ends_with_its_last() -> None:
    said = Said()
    for now, piece in ((1.0, b"PO"), (1.5, TWO[2:-5]), (2.25, TWO[-5:])):
        said.feed(piece, now)
    assert [(transaction.first_byte, transaction.last_byte) for transaction in said.whole] == [(1.0, 1.5), (1.5, 2.25)]
