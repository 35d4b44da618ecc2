"""What Ray is told by variables."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from ondevice.cloud.ray import environment
from ondevice.errors import ServeError


def test_a_ray_that_asks_for_no_token_is_refused() -> None:
    with pytest.raises(ServeError, match="RAY_AUTH_MODE=disabled lets anybody who reaches Ray's ports run code"):
        environment.refuse_without_tokens({"RAY_AUTH_MODE": "disabled"})
    environment.refuse_without_tokens({"RAY_AUTH_MODE": "token"})
    environment.refuse_without_tokens({})


def test_all_its_files_lie_in_its_folder_and_its_ports_are_its_own() -> None:
    folder = Path("/tmp/ondevice-12345678")
    told = environment.embedded(folder, folder / "token", connections=7, send_s=30.0, idle_s=75.4)
    paths = [value for value in told.values() if value.startswith("/")]
    assert len(paths) == 6
    assert all(Path(path).is_relative_to(folder) for path in paths)
    assert told["RAY_AUTH_MODE"] == "token"
    ports = [value for name, value in told.items() if name.endswith("_PORT")]
    assert len(set(ports)) == 4
    assert (told["RAY_SERVE_HAPROXY_MAXCONN"], told["RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S"]) == ("7", "75")
    assert {str(port) for _, port in environment.listening_beyond_loopback(told)} < set(ports)


def test_free_ports_are_free_and_different() -> None:
    ports = environment.free_ports(3)
    assert len(set(ports)) == 3
    for port in ports:
        with socket.socket() as one:
            one.bind(("", port))
