"""Links as a program uses them: several at once, from several threads, in front of a real server."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from ondevice.errors import UsageError
from ondevice.lab import link as link_room
from ondevice.lab.link import HOST, Direction, Link, Links, LinkSpec, LinkState
from ondevice.lab.link.networks import find

PATIENCE_S = 30.0
Address = tuple[str, int]


class Web(BaseHTTPRequestHandler):
    """Answers a GET with as many bytes as its path says, a POST with the size of its body."""

    protocol_version = "HTTP/1.1"

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # a link was cut
            super().handle()

    def do_GET(self) -> None:
        self._answer(bytes(int(self.path[1:])))

    def do_POST(self) -> None:
        size = int(self.headers["Content-Length"])
        self._answer(str(len(self.rfile.read(size))).encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="module")
def web() -> Iterator[Address]:
    with ThreadingHTTPServer((HOST, 0), Web) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield (HOST, server.server_port)
        server.shutdown()
        thread.join()


def get(link: Link, size: int) -> float:
    """How long it takes to get so many bytes, s."""
    start = time.monotonic()
    reply = requests.get(f"http://{HOST}:{link.port}/{size}", timeout=PATIENCE_S)
    assert len(reply.content) == size
    return time.monotonic() - start


def test_a_named_network_before_a_server(web: Address, links: Links) -> None:
    up, down = find("wifi", seed=4)
    link = links.open(LinkSpec(web, Direction(up, latency_ms=20), Direction(down, latency_ms=20), seed=4))
    # The handshake's round trip, and the request's.
    assert get(link, 50_000) >= 0.079
    assert requests.post(f"http://{HOST}:{link.port}/", data=bytes(70_000), timeout=PATIENCE_S).text == "70000"
    assert link.counts().up_bytes > 70_000
    assert link.counts().down_bytes > 50_000


def test_links_are_apart(web: Address, links: Links) -> None:
    slow = links.open(LinkSpec(web, down=Direction(400e3, latency_ms=50)))
    fast = links.open(LinkSpec(web))
    with ThreadPoolExecutor(2) as threads:
        took = threads.submit(get, slow, 20_000)
        assert all(get(fast, 20_000) < PATIENCE_S for _ in range(5))
        assert took.result() >= 0.399 + 0.05
    assert (slow.counts().connections, fast.counts().connections) == (1, 5)


def test_connections_share_a_links_rate(web: Address, links: Links) -> None:
    link = links.open(LinkSpec(web, down=Direction(2e6)))
    start = time.monotonic()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(get, [link] * 4, [25_000] * 4))
    assert time.monotonic() - start >= 100_000 * 8 / 2e6 - 0.001


def test_a_change_while_it_runs(web: Address, links: Links) -> None:
    link = links.open(LinkSpec(web))
    link.change(up=replace(link.spec.up, latency_ms=60), down=replace(link.spec.down, capacity=1e6))
    assert (link.spec.up.latency_ms, link.spec.down.capacity) == (60, 1e6)
    assert get(link, 10_000) >= 0.12 + 0.08 - 0.001


def test_drop_and_heal(web: Address, links: Links) -> None:
    link = links.open(LinkSpec(web))
    with requests.Session() as session:
        url = f"http://{HOST}:{link.port}/10"
        assert session.get(url, timeout=PATIENCE_S).ok
        link.change(state=LinkState.REFUSE)
        with pytest.raises(requests.ConnectionError):
            session.get(url, timeout=PATIENCE_S)
        link.change(state=LinkState.HANG)
        with pytest.raises(requests.Timeout):
            session.get(url, timeout=0.1)
        link.change(state=LinkState.UP)
        assert session.get(url, timeout=PATIENCE_S).ok


def test_many_connections_at_once(web: Address, links: Links) -> None:
    link = links.open(LinkSpec(web, Direction(latency_ms=5, jitter_ms=5), Direction(20e6, latency_ms=5)))
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(get, [link] * 64, range(64)))
    assert link.counts().connections == 64


def test_leaving_the_context_ends_everything(web: Address) -> None:
    with Links() as links:
        link = links.open(LinkSpec(web))
        with socket.create_connection((HOST, link.port), PATIENCE_S) as client:
            client.sendall(b"GET /1 HTTP/1.1\r\n\r\n")
            assert client.recv(1)
    assert "links" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, link.port), PATIENCE_S)
    for late in (lambda: links.open(link.spec), lambda: link.change(state=LinkState.UP)):
        with pytest.raises(UsageError, match="inside of `with Links"):
            late()


def test_a_client_that_is_still_there_does_not_keep_the_context_open(web: Address) -> None:
    with socket.socket() as client:
        with Links() as links:
            link = links.open(LinkSpec(web, down=Direction(8e3)))
            client.connect((HOST, link.port))
            client.sendall(b"GET /1000000 HTTP/1.1\r\n\r\n")
            assert client.recv(1)
        with pytest.raises(ConnectionResetError):
            list(iter(lambda: client.recv(1 << 16), b""))


def test_the_room_has_the_names_that_0_1_0_documented() -> None:
    assert (link_room.Way, link_room.State) == (Direction, LinkState)
    assert set(link_room.__all__) >= {"HOST", "Counts", "Link", "LinkSpec", "Links"}
