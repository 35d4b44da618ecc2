"""HTTP as curl, Java's client and ApacheBench speak it, to a running endpoint; their heads are recorded."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from serving import BY_RAY, PICTURE, Endpoint, not_by_ray, post

INFER = "/v2/models/cnnselect/infer"
# Of curl 7.88.1 with --http2, and with `-T -` too; of Java 17's HttpClient with ofByteArray and ofInputStream; of
# ApacheBench 2.3 with -k. Each is followed by its body, which is given here.
CURL = """Host: 127.0.0.1:8000|User-Agent: curl/7.88.1|Accept: */*|{}Connection: Upgrade, HTTP2-Settings|Upgrade: h2c|\
HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA|Content-Type: image/png"""
JAVA = """Connection: Upgrade, HTTP2-Settings|{}Host: 127.0.0.1:8000|\
HTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA|{}Upgrade: h2c|User-Agent: Java-http-client/17.0.15|\
Content-Type: image/png"""
LENGTH = f"Content-Length: {len(PICTURE)}|"
OFFERS = {
    "curl": (f"{CURL.format('')}|{LENGTH}", False),
    "curl, chunked": (f"{CURL.format('Transfer-Encoding: chunked|')}|", True),
    "Java": (f"{JAVA.format(LENGTH, '')}|", False),
    "Java, chunked": (f"{JAVA.format('', 'Transfer-encoding: chunked|')}|", True),
}
BENCH = f"""Connection: Keep-Alive|Content-length: {len(PICTURE)}|Content-type: image/png|Host: 127.0.0.1:8000|\
User-Agent: ApacheBench/2.3|Accept: */*|"""


def request(lines: str, version: str = "1.1", chunked: bool = False, method: str = "POST", path: str = INFER) -> bytes:
    """A head as it was recorded, and a picture as its body."""
    head = f"{method} {path} HTTP/{version}\r\n{lines}\r\n".replace("|", "\r\n").encode()
    return head + (b"%x\r\n%b\r\n0\r\n\r\n" % (len(PICTURE), PICTURE) if chunked else PICTURE)


class Conversation:
    """Replies as they are read from one connection, by their Content-Length."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.socket: socket.socket = endpoint.connect()
        self._reader = self.socket.makefile("rb")

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, *error: object) -> None:
        self._reader.close()
        self.socket.close()

    def asked(self, data: bytes, head_only: bool = False) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the next reply."""
        self.socket.sendall(data)
        status = int(self._reader.readline().split()[1])
        lines = iter(lambda: self._reader.readline().decode().strip(), "")
        headers = dict(line.split(": ", 1) for line in lines)
        return status, headers, b"" if head_only else self._reader.read(int(headers["content-length"]))

    def over(self) -> bool:
        """Whether the endpoint has said all that it will; waits for that."""
        return self._reader.read() == b""


@pytest.fixture
def talk(endpoint: Endpoint) -> Iterator[Conversation]:
    with Conversation(endpoint) as conversation:
        yield conversation


@pytest.mark.parametrize("client", OFFERS)
def test_who_offers_http_2_is_answered_and_asks_on_the_same_connection_again(client: str, talk: Conversation) -> None:
    lines, chunked = OFFERS[client]
    for _ in range(3):
        status, headers, body = talk.asked(request(lines, chunked=chunked))
        assert (status, b'"selected_model"' in body, "connection" in headers) == (200, True, False)
    assert talk.asked(request(lines, chunked=chunked, path="/nowhere"))[0] == 404
    assert talk.asked(request(lines, chunked=chunked))[0] == 200


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("flags", ["--http1.0", "--http1.1", "--http2", "--http2 -HTransfer-Encoding:chunked", "-T-"])
def test_curl_is_answered(flags: str, endpoint: Endpoint) -> None:
    sent = [] if flags == "-T-" else ["--data-binary", "@-"]
    format_ = ["-H", "Content-Type: image/png", "-sS", "-m", "30", "-w", "%{http_code}", "-X", "POST"]
    done = subprocess.run(
        ["curl", *flags.split(), *sent, *format_, endpoint.url + INFER], input=PICTURE, capture_output=True, check=True
    )
    assert done.stdout.endswith(b"200")
    assert b'"selected_model"' in done.stdout


def test_apache_bench_keeps_its_connection_and_is_told_so(talk: Conversation) -> None:
    for _ in range(3):
        status, headers, _ = talk.asked(request(BENCH, "1.0"))
        assert (status, headers["connection"]) == (200, "keep-alive")
    status, headers, _ = talk.asked(request(BENCH.replace("Keep-Alive", "close"), "1.0"))
    assert (status, headers["connection"], talk.over()) == (200, "close", True)


@pytest.mark.skipif(shutil.which("ab") is None, reason="needs ApacheBench, of apache2-utils")
def test_apache_bench_ends(endpoint: Endpoint) -> None:
    command = ["ab", "-k", "-q", "-n", "20", "-c", "2", f"{endpoint.url}/v2/health/ready"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60, text=True)
    assert re.search(r"Keep-Alive requests: +20\n", done.stdout)


@not_by_ray("its proxy passes that on")
def test_a_client_of_1_0_is_not_told_to_go_on(talk: Conversation) -> None:
    status, _, body = talk.asked(request(BENCH + "Expect: 100-continue|", "1.0"))
    assert (status, b'"selected_model"' in body) == (200, True)


@not_by_ray("its proxy refuses what is no HTTP, with a page of its own")
def test_a_good_request_is_answered_before_the_refusal_of_the_next_one(talk: Conversation) -> None:
    assert talk.asked(post(INFER, PICTURE) + b"rubbish\r\n\r\n")[0] == 200
    assert (talk.asked(b"")[0], talk.over()) == (400, True)


def test_refusals_of_head_have_no_body(talk: Conversation) -> None:
    for path, status in (("/nowhere", 404), (INFER, 405)):
        asked = f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        assert talk.asked(asked, head_only=True)[0] == status
    assert talk.asked(b"GET /v2/health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n")[0] == 200
    assert talk.asked(b"HEAD /v2 HTTP/1.1\r\n\r\n", head_only=True)[0] == 400
    assert BY_RAY or talk.over(), "a proxy keeps its connections"


@not_by_ray("its proxy reads it first, refuses a part, and keeps its connections")
@pytest.mark.parametrize(
    ("lines", "status", "said"),
    [
        ("", 400, "give a Host header"),
        ("Host: localhost|Host: localhost|", 400, "Host is given more than once"),
        ("Host: local host|", 400, "the Host header is not"),
        ("Host: localhost|Authorization: Bearer a|Authorization: Bearer b|", 400, "Authorization is given more"),
        ("Host: localhost|Content-Encoding: gzip|content-encoding: identity|", 400, "Content-Encoding is given more"),
        ("Host: localhost|Transfer-Encoding: gzip, chunked|", 501, "Transfer-Encoding gzip, chunked is not read here"),
        ("Host: localhost|Transfer-Encoding: gzip|Transfer-Encoding: chunked|", 501, "Transfer-Encoding gzip, chunked"),
    ],
)  # fmt: skip
def test_what_a_proxy_might_read_otherwise_is_refused(lines: str, status: int, said: str, talk: Conversation) -> None:
    refused, headers, body = talk.asked(request(lines, chunked="chunked" in lines))
    assert (refused, headers["connection"], said in body.decode()) == (status, "close", True)
    assert talk.over()


def test_every_reply_says_when_it_was_made(talk: Conversation) -> None:
    for path in ("/v2/health/live", "/v2/models/cnnselect", "/nowhere"):
        _, headers, _ = talk.asked(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert parsedate_to_datetime(headers["date"]).tzname() == "UTC"


@pytest.mark.parametrize("asked", [f"POST {INFER}x", f"PUT {INFER}"])
def test_what_is_refused_by_its_head_keeps_its_connection(asked: str, talk: Conversation) -> None:
    method, path = asked.split()
    for _ in range(2):
        status, headers, _ = talk.asked(request(f"Host: localhost|{LENGTH}", method=method, path=path))
        assert (status, "connection" in headers) == (405 if method == "PUT" else 404, False)
    assert talk.asked(request(f"Host: localhost|{LENGTH}"))[0] == 200
