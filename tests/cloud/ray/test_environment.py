"""What Ray is told by variables."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from ondevice.cloud.ray import environment
from ondevice.errors import ServeError

FOLDER = Path("/tmp/ondevice-12345678")


def test_a_ray_that_asks_for_no_token_is_refused() -> None:
    with pytest.raises(ServeError, match="RAY_AUTH_MODE=disabled lets anybody who reaches Ray's ports run code"):
        environment.refuse_without_tokens({"RAY_AUTH_MODE": "disabled"})
    environment.refuse_without_tokens({"RAY_AUTH_MODE": "token"})
    environment.refuse_without_tokens({})


def told(monkeypatch: pytest.MonkeyPatch, haproxy: bool) -> dict[str, str]:
    """With HAProxy or without, whatever is installed here."""
    monkeypatch.setattr(environment, "find_spec", lambda name: haproxy or None)
    return environment.embedded(FOLDER, FOLDER / "token", connections=7, send_s=30.0, idle_s=75.4)


def test_all_its_files_lie_in_its_folder_and_its_ports_are_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = told(monkeypatch, haproxy=True)
    paths = [value for value in variables.values() if value.startswith("/")]
    assert len(paths) == 6
    assert all(Path(path).is_relative_to(FOLDER) for path in paths)
    assert variables["RAY_AUTH_MODE"] == "token"
    ports = [value for name, value in variables.items() if name.endswith("_PORT")]
    assert len(set(ports)) == 4
    limits = variables["RAY_SERVE_HAPROXY_MAXCONN"], variables["RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S"]
    assert limits == ("7", "75")


def test_what_others_can_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = told(monkeypatch, haproxy=True)
    pages = environment.listening_beyond_loopback(variables, "127.0.0.1")
    assert {port for _, port in pages} < {value for name, value in variables.items() if name.endswith("_PORT")}
    assert len(environment.listening_beyond_loopback(variables, "0.0.0.0")) == len(pages) + 1


def test_without_haproxy_ray_has_its_own_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = told(monkeypatch, haproxy=False)
    assert not [name for name in variables if "HAPROXY" in name or "HA_PROXY" in name]
    assert environment.listening_beyond_loopback(variables, "localhost") == []


def test_a_port_that_somebody_has_is_told_before_ray_starts() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        with pytest.raises(ServeError, match=f"^cannot listen on 127.0.0.1 port {port}: "):
            environment.check_free("127.0.0.1", port)
    environment.check_free("127.0.0.1", port)


def test_free_ports_are_free_and_different() -> None:
    ports = environment.free_ports(3)
    assert len(set(ports)) == 3
    for port in ports:
        with socket.socket() as one:
            one.bind(("", port))
