"""What the bytes of a reply say, whole, one by one, and cut anywhere; and that nothing else is taken for a reply."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rude import chunked, http

from ondevice.client.connection.parser import MAX_REPLY_BYTES, ReplyParser
from ondevice.errors import UpstreamError

BODY = b'{"some": "json"}'
LINES = b'{"a": 1}\n{"b": 2}\n'
NDJSON = {"Content-Type": "application/x-ndjson; charset=utf-8"}
STATUS = b"HTTP/1.1 200 OK\r\n"


class Said(NamedTuple):
    """What a parser makes of bytes. kept: whether the connection stays."""

    status: int
    bodies: list[bytes]
    done: bool
    kept: bool


def parsed(pieces: Iterable[bytes], ends: bool = False) -> Said:
    parser, bodies = ReplyParser("there"), []
    for piece in pieces:
        parser.feed(piece)
        bodies += parser.bodies()
    if ends:
        parser.eof()
    return Said(parser.status, bodies + parser.bodies(), parser.done, parser.keep_alive)


def each(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def fault(data: bytes, ends: bool = False) -> tuple[str, str]:
    """The kind of failure and the words, which are the same whole and byte by byte."""
    found = set()
    for pieces in ([data], each(data)):
        with pytest.raises(UpstreamError, match=r"^there: ") as caught:
            parsed(pieces, ends)
        found.add((str(caught.value.failure), str(caught.value)))
    ((kind, said),) = found
    assert "\n" not in said
    return kind, said


def head(*lines: str, status: str = "HTTP/1.1 200 OK") -> bytes:
    return "\r\n".join([status, *lines, "", ""]).encode()


# Forms of a reply: its bytes, and whether the connection then stays.
FORMS = {
    "length": (http(BODY), True),
    "nothing": (http(), True),
    "chunks": (chunked(BODY), True),
    "chunks of one byte": (chunked(BODY, size=1), True),
    "chunks in capitals": (head("TRANSFER-ENCODING: Chunked") + b"10\r\n" + BODY + b"\r\n0\r\n\r\n", True),
    "chunks with blanks behind": (head("Transfer-Encoding: chunked") + b"10  \r\n" + BODY + b"\r\n00\r\n\r\n", True),
    "chunks and a length": (head("Content-Length: 3", "Transfer-Encoding: chunked") + b"0\r\n\r\n", False),
    "says it closes": (http(BODY, headers={"Connection": "Keep-Alive, Close"}), False),
    "another option": (http(BODY, headers={"Connection": "upgrade"}), True),
    "continue": (b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + http(BODY), True),
    "early hints": (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 7\r\n\r\n" + http(BODY), True),
    "bare line feeds": (http(BODY).replace(b"\r\n", b"\n"), True),
    "no reason": (http(BODY).replace(b"200 Said", b"200"), True),
    "HTTP/1.0": (http(BODY).replace(b"HTTP/1.1", b"HTTP/1.0"), False),
    "HTTP/1.0 that stays": (http(BODY, headers={"Connection": "keep-alive"}).replace(b"/1.1", b"/1.0"), True),
    "HTTP/1.0 in chunks": (
        chunked(BODY).replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"\r\n", b"\r\nConnection: keep-alive\r\n", 1),
        False,
    ),
    "a later 1.x": (http(BODY).replace(b"HTTP/1.1", b"HTTP/1.2"), True),
    "a length twice": (head("Content-Length: 16", "Content-Length: 16") + BODY, True),
    "a length as a list": (head("Content-Length: 16, 16") + BODY, True),
    "a header in two lines": (head("X-Long: a", "\tb", "Content-Length: 16") + BODY, True),
    "blanks around a name and a value": (head("Content-Length : \t16 ") + BODY, True),
    "no coding": (head("Transfer-Encoding: identity", "Content-Length: 16") + BODY, True),
    "many lines": (http(LINES, headers=NDJSON), True),
    "lines in chunks": (chunked(LINES, size=3).replace(b"application/json", b"application/x-ndjson"), True),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_reply_in_each_form(form: str) -> None:
    data, kept = FORMS[form]
    whole = parsed([data])
    assert whole[::2] == (200, True)
    assert whole.kept == kept
    assert parsed(each(data)) == whole
    assert all(parsed([data[:at], data[at:]]) == whole for at in range(len(data)))
    if b"ndjson" in data:
        assert whole.bodies == LINES.splitlines()
    else:
        assert b"".join(whole.bodies) in (BODY, b"")


@pytest.mark.parametrize("form", FORMS)
def test_a_reply_that_is_cut_anywhere(form: str) -> None:
    data, _ = FORMS[form]
    for at in range(len(data)):
        with pytest.raises(UpstreamError, match="lost before the answer was whole") as caught:
            parsed([data[:at]], ends=True)
        assert caught.value.failure == "cut"


@given(st.sampled_from(sorted(FORMS)), st.data())
def test_a_reply_in_any_pieces(form: str, data: st.DataObject) -> None:
    said, _ = FORMS[form]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(said)))))
    assert parsed(said[a:b] for a, b in zip([0, *cuts], [*cuts, len(said)], strict=True)) == parsed([said])


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda some: STATUS + some), st.booleans())
def test_whatever_comes_it_is_a_reply_or_one_failure(data: bytes, ends: bool) -> None:
    outcomes = []
    for pieces in ([data], each(data)):
        try:
            outcomes.append(str(parsed(pieces, ends)[:3]))
        except UpstreamError as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]


def test_a_body_until_the_connection_ends() -> None:
    data = head("Content-Type: application/json") + BODY
    assert not parsed([data]).done
    assert parsed([data], ends=True) == Said(200, [BODY], True, False)
    lines = head("Content-Type: application/x-ndjson") + LINES + b"{"
    assert parsed([lines]).bodies == LINES.splitlines()
    assert parsed([lines], ends=True).bodies == [*LINES.splitlines(), b"{"]


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_statuses_that_have_no_body(status: str) -> None:
    said = head("Content-Length: 5", status=f"HTTP/1.1 {status}")
    assert parsed([said]) == Said(int(status[:3]), [b""], True, True)
    said = head("Transfer-Encoding: chunked", status=f"HTTP/1.1 {status}")
    assert parsed([said]) == Said(int(status[:3]), [b""], True, True)


def test_headers_by_name_in_any_case() -> None:
    parser = ReplyParser("there")
    parser.feed(
        head("Server-Timing: a;dur=1", "X-Words: gr\u00fcn", "server-timing: b;dur=2", "Empty:", "Content-Length: 0")
    )
    assert parser.headers["SERVER-TIMING"] == parser.headers.get("server-timing") == "a;dur=1, b;dur=2"
    assert (parser.headers.get("Empty"), parser.headers.get("Absent"), parser.headers.get("X", "y")) == ("", None, "y")
    assert parser.headers["x-words"].encode("latin-1").decode() == "gr\u00fcn"
    assert "CONTENT-length" in parser.headers
    assert [*parser.headers] == ["server-timing", "x-words", "empty", "content-length"]


def test_lines_are_there_as_they_come() -> None:
    parser = ReplyParser("there")
    parser.feed(head("Content-Type: Application/X-NDJSON", "Transfer-Encoding: chunked"))
    assert parser.bodies() == []
    parser.feed(b'4\r\n{"a"\r\n')
    assert parser.bodies() == []
    parser.feed(b"6\r\n: 1}\n{\r\n")
    assert parser.bodies() == [b'{"a": 1}']
    parser.feed(b"4\r\n}\n\n \r\n0\r\n\r\n")
    assert (parser.bodies(), parser.done) == ([b"{}"], True), "an empty one says nothing"


def test_lines_that_came_before_a_fault() -> None:
    parser = ReplyParser("there")
    with pytest.raises(UpstreamError, match="a chunk has no size"):
        parser.feed(head("Content-Type: application/x-ndjson", "Transfer-Encoding: chunked") + b"3\r\n{}\n\r\nx\r\n")
    assert parser.bodies() == [b"{}"]


def test_lines_of_another_status_are_its_body() -> None:
    said = http(LINES, 503, headers=NDJSON)
    assert parsed([said]) == Said(503, [LINES], True, True)


@pytest.mark.parametrize("more", [b"x", b"\r\n", http(BODY)])
@pytest.mark.parametrize("form", ["length", "chunks"])
def test_what_comes_behind_a_reply_is_nobody_s(form: str, more: bytes) -> None:
    data, _ = FORMS[form]
    for pieces in ([data + more], [data, more], each(data + more)):
        assert parsed(pieces) == parsed([data])._replace(kept=False)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\r\n" + http(BODY), "begin with a status"),
        (b"HTTP/2 200 OK\r\n\r\n", "begin with a status"),
        (b"HTTP/2", "begin with a status"),
        (b"S", "begin with a status"),
        (b"http/1.1 200 OK\r\n\r\n", "begin with a status"),
        (b"HTTP/1.1\r\n\r\n", "begin with a status"),
        (b"HTTP/1.1 20 OK\r\n\r\n", "begin with a status"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "begin with a status"),
        (b"HTTP/1.1 099 OK\r\n\r\n", "begin with a status"),
        ("HTTP/1.1 \u0662\u0660\u0660 OK\r\n\r\n".encode(), "begin with a status"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n", "goes over to another protocol"),
        (head("X"), "not a header"),
        (head(": value"), "not a header"),
        (head(" X: value"), "not a header"),
        (head("X: a\rY: b"), "not a header"),
        (head("X: a\0b"), "not a header"),
        (head(*["X: y"] * 101), "over 100 headers"),
        (head("Content-Length: 5", "Content-Length: 6"), "its length is not one number"),
        (head("Content-Length: 5, 6"), "its length is not one number"),
        (head("Content-Length: -1"), "its length is not one number"),
        (head("Content-Length: +5"), "its length is not one number"),
        (head("Content-Length: 0x5"), "its length is not one number"),
        (head("Content-Length: 1_0"), "its length is not one number"),
        (head("Content-Length: \u0665"), "its length is not one number"),
        (head("Content-Length: 5.0"), "its length is not one number"),
        (head("Content-Length:"), "its length is not one number"),
        (head("Content-Length: 5,"), "its length is not one number"),
        (head("Content-Length: " + "9" * 40), "its length is not one number"),
        (head("Transfer-Encoding: gzip, chunked"), "transfer coding is not known"),
        (head("Transfer-Encoding: chunked, chunked"), "transfer coding is not known"),
        (head("Transfer-Encoding: gzip"), "transfer coding is not known"),
        *[
            (head("Transfer-Encoding: chunked") + size + b"\r\n", "a chunk has no size")
            for size in (b"", b"zz", b"-1", b"+1", b"0x1", b" 1", b"1_0", b"1 1", b";a", b"1" * 17)
        ],
        (head("Transfer-Encoding: chunked") + b"2\r\nabc\r\n", "a chunk is longer than it says"),
    ],
)  # fmt: skip
def test_what_is_not_http(data: bytes, said: str) -> None:
    kind, words = fault(data)
    assert kind == "wrong"
    assert words.startswith("there: its answer is not HTTP: ")
    assert said in words


def words_of(data: bytes) -> str:
    with pytest.raises(UpstreamError) as caught:
        parsed([data])
    return str(caught.value)


def test_only_so_much_is_said_before_the_reply() -> None:
    interim = b"HTTP/1.1 102 Processing\r\n\r\n"
    assert parsed([interim * 8 + http(BODY)]).bodies == [BODY]
    kind, said = fault(interim * 9)
    assert kind == "wrong"
    assert "its answer is not HTTP: it says over 8 times" in said


def test_only_so_long_lines() -> None:
    for start in (STATUS + b"X: ", STATUS + b"X: y\r\n" * 99 + b"X: "):
        assert not parsed([start + b"y" * 60_000]).done
        assert "its head is over 64 KiB" in words_of(start + b"y" * 70_000)
        assert "its head is over 64 KiB" in words_of(start + b"y" * 70_000 + b"\r\n\r\n")
    begun = head("Transfer-Encoding: chunked") + b"1;"
    assert parsed([begun + b"a" * 4000 + b"\r\nx\r\n0\r\n\r\n"]).bodies == [b"x"]
    assert "a line of it is over 4 KiB" in words_of(begun + b"a" * 5000)
    trailer = head("Transfer-Encoding: chunked") + b"0\r\n" + b"X: yes\r\n" * 8000
    assert parsed([trailer + b"\r\n"]).done
    assert "its trailer is over 64 KiB" in words_of(trailer + b"X: yes\r\n" * 2000)


@pytest.mark.parametrize("begin", [head(), head("Transfer-Encoding: chunked") + b"ffffffffffff\r\n"])
def test_only_so_large_a_body(begin: bytes) -> None:
    parser = ReplyParser("there")
    parser.feed(begin)
    for _ in range(MAX_REPLY_BYTES // 65536 - 1):
        parser.feed(bytes(65536))
    with pytest.raises(UpstreamError, match="there: its answer is over 1 MiB") as caught:
        parser.feed(bytes(65536))
    assert caught.value.failure == "wrong"


def test_a_body_that_is_announced_as_too_large_is_not_waited_for() -> None:
    with pytest.raises(UpstreamError, match="there: its answer is over 1 MiB"):
        parsed([head(f"Content-Length: {MAX_REPLY_BYTES + 1}")])
    assert not parsed([head(f"Content-Length: {MAX_REPLY_BYTES}")]).done
