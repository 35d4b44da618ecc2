"""By which names this machine is known."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from ondevice.host.names import is_loopback, names


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(socket, "gethostname", lambda: "Gpu")
    return tmp_path / "hosts"


def test_its_host_name_is_and_what_the_hosts_file_says(hosts: Path) -> None:
    hosts.write_text(
        "127.0.0.1 localhost\n"
        "192.168.1.5\tgpu.example.org gpu  # this machine\n"
        "127.0.0.1 photos.test\n"
        "192.168.1.6 other.example.org\n"
        "\n"
        "0.0.0.0 stranger.example.com\n"
    )
    assert names(hosts) == {"gpu", "gpu.example.org", "localhost", "photos.test"}


def test_a_long_host_name_has_a_short_one(hosts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "gpu.example.org")
    assert names(hosts) == {"gpu", "gpu.example.org"}


def test_a_list_of_what_is_blocked_names_nobody(hosts: Path) -> None:
    hosts.write_text("".join(f"127.0.0.1 ads{n}.example.com\n" for n in range(5000)))
    assert names(hosts) == {"gpu"}


def test_any_bytes_are_read(hosts: Path) -> None:
    hosts.write_bytes(b"\xff\xfe\0junk\n::1\n# \xe4\n127.0.0.1 good\n")
    assert names(hosts) == {"gpu", "good"}


@pytest.mark.parametrize(
    "host", ["localhost", "LocalHost", "127.0.0.1", "127.0.0.2", "127.255.255.254", "::1", "0:0::1"]
)
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "0.0.0.0", "::", "192.168.1.5", "128.0.0.1", "::2", "127.0.0.1.example.com", "gpu"]
)
def test_all_else_is_not_loopback(host: str) -> None:
    assert not is_loopback(host)
