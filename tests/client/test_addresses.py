"""A name that stands for several addresses, and one that takes no connections, through the client."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from asker import Asker, failure
from good_endpoint import described, endpoint
from ports import full_port
from rude import HOST, Rude, answering
from serving import PICTURE

from ondevice import OffloadClient
from ondevice.client.connection.http import HttpStream
from ondevice.client.endpoint.cnnselect import CnnSelectEndpoint

LONG_MS = 20_000.0


@pytest.fixture
def dual() -> Iterator[tuple[Rude, Rude]]:
    """Two servers on one port number, over IPv6 and over IPv4."""
    with contextlib.ExitStack() as stack:
        six = None
        for _ in range(20):  # the port may be taken over the other
            four = Rude(answering(endpoint))
            try:
                six = Rude(answering(endpoint), "::1", four.port)
            except OSError:
                four.close()
                continue
            stack.callback(four.close)
            stack.callback(six.close)
            break
        if six is None:
            pytest.skip("no IPv6 here")
        yield six, four


def resolved(port: int, *hosts: str) -> list[tuple[Any, ...]]:
    """As the system's resolver gives them."""
    families = {host: socket.AF_INET6 if ":" in host else socket.AF_INET for host in hosts}
    kind = socket.SOCK_STREAM, socket.IPPROTO_TCP, ""
    return [(family, *kind, (host, port, 0, 0)[: 4 if ":" in host else 2]) for host, family in families.items()]


def test_ipv6_falling_back_to_ipv4_is_the_same_network(
    dual: tuple[Rude, Rude], monkeypatch: pytest.MonkeyPatch
) -> None:
    six, four = dual
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: resolved(four.port, "::1", HOST))
    with OffloadClient(f"http://endpoint.example:{four.port}", (), LONG_MS, "cloud") as client:
        assert client.cloud
        network = client.cloud.link.network
        for _ in range(5):
            client.classify(PICTURE)
        assert (len(four.visits), network.count) == (0, 5)
        six.close()  # IPv6 leads nowhere from now on
        client.classify(PICTURE)
        assert four.visits
        assert network.count == 6, "what was learned stays"


def test_another_address_of_this_device_is_another_network(monkeypatch: pytest.MonkeyPatch) -> None:
    real = HttpStream.__init__
    at = [HOST]

    def here(self: HttpStream, *arguments: Any) -> None:
        real(self, *arguments)
        self.local = at[0]

    monkeypatch.setattr(HttpStream, "__init__", here)
    with Rude(answering(endpoint)) as server, OffloadClient(server.url, (), LONG_MS, "cloud") as client:
        assert client.cloud
        for _ in range(5):
            client.classify(PICTURE)
        at[0] = "10.0.0.7"
        server.hang_up()
        client.classify(PICTURE)
        assert client.cloud.link.network.count == 1


def test_a_connection_that_nobody_takes_is_told_as_what_it_is() -> None:
    """With the time that it had, and not as an answer that has not come."""
    with full_port() as port:
        asker = Asker(SimpleNamespace(url=f"http://{HOST}:{port}"))  # type: ignore[arg-type]
        asker.discovery.endpoint = CnnSelectEndpoint(described())
        try:
            said = asker.ask(sla_ms=1000)
        finally:
            asker.close()
    assert failure(said) == "late"
    assert re.fullmatch(r"127\.0\.0\.1:\d+: no connection within (1|0\.\d+) s", str(said))
