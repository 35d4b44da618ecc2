"""What a link does as a whole: its states, outages, counters and port."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import socket
import time
from dataclasses import replace
from typing import Any

import pytest
from serving import until

from ondevice.errors import OnDeviceError, UsageError
from ondevice.lab.link import HOST, Direction, Link, Links, LinkSpec, LinkState, listener
from ondevice.lab.link.relay import Relay
from ondevice.lab.link.toxic import Toxic

PATIENCE_S = 30.0


@pytest.fixture
def link(links: Links, target: socket.socket) -> Link:
    return links.open(LinkSpec(target.getsockname()))


def connect(link: Link, timeout_s: float = PATIENCE_S) -> socket.socket:
    return socket.create_connection((HOST, link.port), timeout_s)


def accept(target: socket.socket) -> socket.socket:
    server = target.accept()[0]
    server.settimeout(PATIENCE_S)
    return server


def passes(link: Link, target: socket.socket) -> bool:
    """A new connection carries a byte each way."""
    with connect(link) as client:
        client.sendall(b"x")
        with accept(target) as server:
            assert server.recv(1) == b"x"
            server.sendall(b"y")
            return client.recv(1) == b"y"


@pytest.mark.parametrize("state", [LinkState.REFUSE, LinkState.HANG])
def test_a_drop_resets_both_ends_of_all_connections(link: Link, target: socket.socket, state: LinkState) -> None:
    pairs = [(connect(link), accept(target)) for _ in range(3)]
    for client, server in pairs:
        client.sendall(b"x")
        assert server.recv(1) == b"x"
    link.change(state=state)
    assert (link.state, link.counts().open) == (state, 0)
    for pair in pairs:
        for end in pair:
            with end, pytest.raises(ConnectionResetError):
                end.recv(1)


def test_a_link_that_refuses_refuses_until_it_is_up(link: Link, target: socket.socket) -> None:
    port = link.port
    link.change(state=LinkState.REFUSE)
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            connect(link)
    link.change(state=LinkState.UP)
    assert passes(link, target)
    assert link.port == port


def test_a_link_that_hangs_takes_connections_and_serves_them_when_it_is_up(link: Link, target: socket.socket) -> None:
    link.change(state=LinkState.HANG)
    with connect(link) as client:
        client.sendall(b"early")
        target.settimeout(0.1)
        with pytest.raises(TimeoutError):
            target.accept()
        link.change(state=LinkState.UP)
        target.settimeout(PATIENCE_S)
        with accept(target) as server:
            assert server.recv(5) == b"early"


def test_who_hangs_is_reset_when_the_link_refuses(link: Link) -> None:
    link.change(state=LinkState.HANG)
    with connect(link) as client:
        until(lambda: link.counts().connections == 1)
        link.change(state=LinkState.REFUSE)
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    assert link.counts().open == 0


def test_an_outage_keeps_connections_and_what_was_sent(link: Link, target: socket.socket) -> None:
    with connect(link) as client, accept(target) as server:
        link.change(state=LinkState.OUTAGE)
        client.sendall(b"late")
        server.settimeout(0.1)
        with pytest.raises(TimeoutError):
            server.recv(1)
        link.change(state=LinkState.UP)
        server.settimeout(PATIENCE_S)
        assert server.recv(4) == b"late"


def test_each_state_follows_each(link: Link, target: socket.socket) -> None:
    for before in LinkState:
        for after in LinkState:
            link.change(state=before)
            link.change(state=after)
            assert link.state is after
    link.change(state=LinkState.UP)
    assert passes(link, target)


def test_planned_outages_come_and_go(links: Links, target: socket.socket) -> None:
    link = links.open(LinkSpec(target.getsockname(), outages=((0.0, 0.2), (0.1, 0.2))))
    until(lambda: link.state is LinkState.OUTAGE)
    assert passes(link, target)
    assert time.monotonic() >= link.opened_s + 0.299
    assert link.state is LinkState.UP


def test_another_target_is_for_new_connections(link: Link, target: socket.socket) -> None:
    with connect(link) as old, accept(target) as server, socket.create_server((HOST, 0)) as second:
        second.settimeout(PATIENCE_S)
        link.change(to=second.getsockname())
        assert passes(link, second)
        old.sendall(b"x")
        assert server.recv(1) == b"x"


def test_a_slower_rate_holds_at_once(link: Link, target: socket.socket) -> None:
    with connect(link) as client, accept(target) as server:
        client.sendall(b"x")
        assert server.recv(1) == b"x"
        link.change(up=Direction(80e3))
        start = time.monotonic()
        client.sendall(bytes(2000))
        left = 2000
        while left:
            left -= len(server.recv(left))
        assert time.monotonic() - start >= 0.199


def test_a_link_counts_what_has_arrived(link: Link, target: socket.socket) -> None:
    with connect(link) as client, accept(target) as server:
        client.sendall(b"12345")
        assert server.recv(5) == b"12345"
        server.sendall(b"123")
        assert client.recv(3) == b"123"
        counts = link.counts()
        assert counts.state is LinkState.UP
        assert (counts.connections, counts.open, counts.up_bytes, counts.down_bytes) == (1, 1, 5, 3)
    until(lambda: link.counts().open == 0)


def test_what_a_toxic_swallows_does_not_count(links: Links, target: socket.socket) -> None:
    link = links.open(LinkSpec(target.getsockname(), Direction(toxics=(Toxic("limit_data", 2),))))
    with connect(link) as client, accept(target) as server:
        client.sendall(b"12345")
        assert server.recv(5) == b"12"
        until(lambda: link.counts().open == 0)
        assert link.counts().up_bytes == 2


def test_toxicity_is_drawn_from_the_seed(links: Links, target: socket.socket) -> None:
    def infected(seed: int) -> list[bool]:
        both = Direction(toxics=(Toxic("limit_data", 1, toxicity=0.5),))
        link = links.open(LinkSpec(target.getsockname(), both, seed=seed))
        return [cut(link) for _ in range(16)]

    def cut(link: Link) -> bool:
        with connect(link) as client, accept(target) as server:
            client.sendall(b"12")
            client.shutdown(socket.SHUT_WR)
            got = b""
            while piece := server.recv(2):
                got += piece
            return got == b"1"

    first = infected(1)
    assert {True, False} == set(first)
    assert infected(1) == first
    assert infected(2) != first


def test_a_port_in_use_is_told(link: Link, links: Links) -> None:
    with pytest.raises(OnDeviceError, match=rf"cannot listen on 127\.0\.0\.1 port {link.port}: address already in use"):
        links.open(replace(link.spec, port=link.port))


def test_a_closed_link_frees_its_port(link: Link, links: Links, target: socket.socket) -> None:
    with connect(link) as client, accept(target):
        link.close()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    link.close()
    assert passes(links.open(replace(link.spec, port=link.port)), target)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"port": 65536}, "from 0 to 65535, not 65536"),
        ({"port": 80, "to": (HOST, 0)}, "from 1 to 65535, not 0"),
        ({"outages": ((-1, 1),)}, "an outage starts at 0 s or later and lasts above 0 s, not -1 and 1"),
        ({"outages": ((0, 0),)}, "not 0 and 0"),
        ({"outages": ((float("nan"), 1),)}, "not nan"),
    ],
)
def test_wrong_settings_are_told(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        LinkSpec(**{"to": (HOST, 80), **settings})


@pytest.mark.parametrize("turns", range(8))
@pytest.mark.parametrize("state", [LinkState.UP, LinkState.HANG])
def test_a_connection_that_comes_as_the_link_closes_is_ended(turns: int, state: LinkState) -> None:
    """In whichever turn of the event loop: asyncio's own server loses one that it has accepted just then."""

    async def main() -> None:
        relay = Relay(LinkSpec((HOST, 9)))
        relay.listen()
        await relay.change(relay.spec, state)
        with socket.create_connection((HOST, relay.port), PATIENCE_S) as client:
            for _ in range(turns):
                await asyncio.sleep(0)
            await asyncio.wait_for(relay.close(), PATIENCE_S)
            assert relay.counts().open == 0
            with contextlib.suppress(ConnectionResetError):
                assert client.recv(1) == b""
        gc.collect()  # what was left open would be told of now

    asyncio.run(main())


def test_out_of_files_a_link_waits_for_some(link: Link, target: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_PAUSE_S", 0.01)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = []
    with socket.socket() as client:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, limit[1]))
        try:
            with contextlib.suppress(OSError):
                while True:
                    held.append(os.dup(0))
            client.connect((HOST, link.port))
            time.sleep(0.1)  # in which it could be accepted
            assert link.counts().connections == 0
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limit)
            for number in held:
                os.close(number)
        assert until(lambda: link.counts().connections == 1)
