"""Which `Host` is the endpoint itself."""

from __future__ import annotations

import pytest

from ondevice.cloud.app.own_hosts import OwnHosts, host_name
from ondevice.errors import UsageError

ALONE, AMONG = OwnHosts(["Gpu", "photos.example.org."], False), OwnHosts(["gpu"], True)
# As a browser writes them, as curl does, and as people type them.
ADDRESSES = (
    "127.0.0.1",
    "192.168.1.5:8000",
    "127.1:8000",
    "2130706433",
    "[::1]:8000",
    "[FE80::1%25eth0]",
    "[::ffff:1.2.3.4]:1",
)
NAMES = ("localhost", "LOCALHOST:8000", "localhost.:8000", "a.localhost:1", "gpu", "GPU.:8000", "gpu:")
STRANGERS = (
    "evil.example",
    "evil.example:8000",
    "gpu.evil.example",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "localhost@evil.example",
    "evil.example@localhost",
    "localhost:8000@evil.example",
    "evil.example#localhost",
    "evil.example/localhost",
    "evil.example, localhost",
    "localhost, evil.example",
    "localhost evil.example",
    "localhost:80x",
    "localhost:8000:8000",
    "http://localhost",
    "[::1].evil.example",
    "[evil.example]",
    "[127.0.0.1]",
    "::1",
    "127.0.0.1..",
    "localhost..",
    ".localhost.evil",
    "l\xf6calhost",
    "localhost\x00",
    ".",
    ":8000",
    "1.2.3.4.5",
)


@pytest.mark.parametrize("host", [*ADDRESSES, *NAMES, "photos.example.org", "photos.example.org.:443", ""])
def test_addresses_and_its_own_names_are(host: str) -> None:
    assert ALONE.include(host)


@pytest.mark.parametrize("hosts", [ALONE, AMONG])
@pytest.mark.parametrize("host", STRANGERS)
def test_strangers_names_and_what_only_begins_like_its_own_are_not(hosts: OwnHosts, host: str) -> None:
    assert not hosts.include(host)


@pytest.mark.parametrize("host", ["notlocalhost", "ondevice:8000", "ondevice.local", "a.b.internal", "gpu.home.arpa."])
def test_a_private_networks_names_are_where_that_network_gets_in(host: str) -> None:
    assert AMONG.include(host)
    assert not ALONE.include(host)


def test_a_name_alone_can_be_allowed() -> None:
    assert host_name(" Gpu.Example.org ") == "gpu.example.org"
    for text in ("gpu:8000", "http://gpu", "gpu/", "*", "*.example.org", "", "a b"):
        with pytest.raises(UsageError, match=r"takes the name of a host such as .*, and no more, not"):
            host_name(text)
