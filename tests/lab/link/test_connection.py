"""One connection through a link, both of its ends in the test's hands: streams, ends, resets, toxics."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ondevice.lab.link import HOST, Direction, Link, Links, LinkSpec
from ondevice.lab.link.toxic import Toxic

PATIENCE_S = 30.0

Ends = tuple[socket.socket, socket.socket]
Join = Callable[..., "contextlib.AbstractContextManager[Ends]"]


@pytest.fixture
def join(links: Links, target: socket.socket) -> Join:
    """The two ends of a connection through a new link with these settings, or through this one."""

    @contextlib.contextmanager
    def join(link: Link | None = None, **settings: Any) -> Iterator[Ends]:
        through = link or links.open(LinkSpec(target.getsockname(), **settings))
        with connect(through) as client, target.accept()[0] as server:
            server.settimeout(PATIENCE_S)
            yield client, server

    return join


def connect(link: Link) -> socket.socket:
    return socket.create_connection((HOST, link.port), PATIENCE_S)


def read(end: socket.socket, size: int | None = None) -> bytes:
    """So many bytes, or all until the stream ends."""
    data = bytearray()
    while size is None or len(data) < size:
        if not (piece := end.recv(1 << 16)):
            break
        data += piece
    return bytes(data)


def is_reset(end: socket.socket) -> bool:
    """The connection was reset, not ended."""
    try:
        return end.recv(1) == b"never"
    except ConnectionResetError:
        return True


def test_bytes_pass_unchanged_both_ways(join: Join) -> None:
    with join(up=Direction(50e6, latency_ms=1), down=Direction(latency_ms=1)) as (client, server):
        there, back = bytes(range(256)) * 400, bytes(reversed(range(256))) * 400
        client.sendall(there)
        server.sendall(back)
        assert read(server, len(there)) == there
        assert read(client, len(back)) == back


def test_half_a_close_is_passed_on_and_the_other_half_stays_open(join: Join) -> None:
    with join() as (client, server):
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        assert read(server) == b"question"
        server.sendall(b"answer")
        server.shutdown(socket.SHUT_WR)
        assert read(client) == b"answer"


def test_the_server_may_end_first(join: Join) -> None:
    with join() as (client, server):
        server.shutdown(socket.SHUT_WR)
        assert read(client) == b""
        client.sendall(b"still here")
        client.close()
        assert read(server) == b"still here"


@pytest.mark.parametrize("end", [0, 1])
def test_a_reset_is_passed_on(join: Join, end: int) -> None:
    with join() as ends:
        ends[0].sendall(b"x")
        assert read(ends[1], 1) == b"x"
        ends[end].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
        ends[end].close()
        assert is_reset(ends[1 - end])


def test_latency_is_on_each_way(join: Join) -> None:
    with join(up=Direction(latency_ms=100), down=Direction(latency_ms=50), handshake=False) as (
        client,
        server,
    ):
        start = time.monotonic()
        client.sendall(b"x")
        assert read(server, 1) == b"x"
        assert time.monotonic() - start >= 0.099
        start = time.monotonic()
        server.sendall(b"y")
        assert read(client, 1) == b"y"
        assert time.monotonic() - start >= 0.049


def test_the_kernel_holds_no_small_packets_back(links: Links, target: socket.socket, join: Join) -> None:
    link = links.open(LinkSpec(target.getsockname()))
    with join(link) as (client, server):
        client.sendall(b"x")
        assert read(server, 1) == b"x"
        sides = [side for connection in link._relay._connections for side in connection._live]
        sockets = [side.transport.get_extra_info("socket") for side in sides if side.transport]
        assert len(sockets) == 2
        assert all(each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for each in sockets)


@pytest.mark.parametrize(("handshake", "least_s"), [(True, 0.3), (False, 0.1)])
def test_the_first_byte_waits_for_the_handshake(
    links: Links, target: socket.socket, *, handshake: bool, least_s: float
) -> None:
    both = Direction(latency_ms=100)
    link = links.open(LinkSpec(target.getsockname(), both, both, handshake=handshake))
    start = time.monotonic()
    with connect(link) as client:
        client.sendall(b"x")
        with target.accept()[0] as server:
            server.settimeout(PATIENCE_S)
            assert read(server, 1) == b"x"
        assert time.monotonic() - start >= least_s - 0.001


def test_a_server_that_speaks_first_waits_for_the_third_packet(join: Join) -> None:
    both = Direction(latency_ms=50)
    start = time.monotonic()
    with join(up=both, down=both) as (client, server):
        server.sendall(b"220 hello")
        assert read(client, 9) == b"220 hello"
    assert time.monotonic() - start >= 0.199


@pytest.mark.parametrize("handshake", [True, False])
def test_a_target_that_is_not_there_is_a_reset(links: Links, target: socket.socket, *, handshake: bool) -> None:
    link = links.open(LinkSpec(target.getsockname(), handshake=handshake))
    target.close()
    with pytest.raises(ConnectionResetError), connect(link) as client:
        client.recv(1)
    end = time.monotonic() + PATIENCE_S
    while link.counts().open:
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_host_that_is_none_is_a_reset(links: Links) -> None:
    link = links.open(LinkSpec(("a..b", 80)))
    with pytest.raises(ConnectionResetError), connect(link) as client:
        client.recv(1)


def test_a_sender_is_held_back_by_a_full_link(join: Join) -> None:
    with join(up=Direction(8e3, buffer_bytes=64 << 10)) as (client, _):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 << 10)
        client.settimeout(0.3)
        assert pushed(client) < 1 << 20


def test_a_sender_is_held_back_by_a_reader_that_does_not_read(join: Join) -> None:
    with join() as (client, server):
        client.settimeout(0.3)
        size = pushed(client)
        assert size < 32 << 20  # what all the sockets on the way hold
        server.settimeout(PATIENCE_S)
        assert len(read(server, size)) == size


def pushed(client: socket.socket) -> int:
    """How many bytes can be sent until nothing goes for a while."""
    size = 0
    with contextlib.suppress(TimeoutError):
        while size < 64 << 20:
            size += client.send(bytes(1 << 16))
    return size


def test_all_that_was_sent_arrives_before_the_end(join: Join) -> None:
    with join(down=Direction(40e6, latency_ms=30)) as (client, server):
        server.sendall(bytes(500_000))
        server.close()
        assert len(read(client)) == 500_000


# Toxics


def test_limit_data_ends_both_sides(join: Join) -> None:
    with join(down=Direction(toxics=(Toxic("limit_data", 1000),))) as (client, server):
        server.sendall(bytes(1500))
        assert read(client) == bytes(1000)
        assert read(server) == b""


def test_reset_peer_resets_both_sides(join: Join) -> None:
    with join(up=Direction(toxics=(Toxic("reset_peer", 0),))) as (client, server):
        client.sendall(b"x")
        assert is_reset(client)
        assert is_reset(server)


def test_timeout_swallows_and_closes(join: Join) -> None:
    with join(up=Direction(toxics=(Toxic("timeout", 50),))) as (client, server):
        client.sendall(b"lost")
        assert read(client) == b""
        assert read(server) == b""


def test_slow_close_is_late(join: Join) -> None:
    with join(down=Direction(toxics=(Toxic("slow_close", 100),))) as (client, server):
        start = time.monotonic()
        server.sendall(b"last")
        server.shutdown(socket.SHUT_WR)
        assert read(client) == b"last"
        assert time.monotonic() - start >= 0.099


def test_the_end_passes_one_toxic_after_the_other(join: Join) -> None:
    both = (Toxic("slow_close", 60), Toxic("slow_close", 50))
    with join(down=Direction(toxics=both)) as (client, server):
        start = time.monotonic()
        server.shutdown(socket.SHUT_WR)
        assert read(client) == b""
        assert time.monotonic() - start >= 0.109


def test_a_toxic_comes_and_goes_while_the_connection_lives(links: Links, target: socket.socket, join: Join) -> None:
    link = links.open(LinkSpec(target.getsockname()))
    with join(link) as (client, server):
        link.change(up=Direction(toxics=(Toxic("limit_data", 3),)))
        client.sendall(b"ab")
        assert read(server, 2) == b"ab"
        link.change(up=Direction())
        client.sendall(b"cdef")
        assert read(server, 4) == b"cdef"
        link.change(up=Direction(toxics=(Toxic("timeout"),)))
        client.sendall(b"lost")
        link.change(up=Direction())
        assert read(server) == b""


def test_who_is_spared_a_toxic_stays_spared(links: Links, target: socket.socket, join: Join) -> None:
    toxics = (Toxic("timeout", toxicity=0.0),)
    link = links.open(LinkSpec(target.getsockname(), Direction(toxics=toxics), seed=1))
    half = (Toxic("timeout", toxicity=0.5),)
    with contextlib.ExitStack() as stack:
        ends = [stack.enter_context(join(link)) for _ in range(20)]
        for latency_ms in (0, 1, 2, 3, 4, 5):
            link.change(up=Direction(latency_ms=latency_ms, toxics=half))
        for client, _ in ends:
            client.sendall(b"x")
        link.change(up=Direction())  # which ends the connections that it held back
        spared = sum(heard(server) for _, server in ends)
    # Of 20 halves; drawn again with each change, about one in 64 would be left.
    assert 4 <= spared <= 16


def heard(end: socket.socket) -> bool:
    with contextlib.suppress(ConnectionError):
        return end.recv(1) == b"x"
    return False
