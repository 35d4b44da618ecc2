"""A stranger's page against `ondevice serve`, as its reader's browser asks for it; and those who must get in."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from refusals import one_line
from serving import BY_RAY, FAMILY, Endpoint, post, read_reply, status

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
# Starts in half the time.
ONE = ("--models", FAMILY[0])
PAGE, EVIL = "https://photos.example.org", "https://evil.example"
UNLOAD = f"POST /v2/repository/models/{FAMILY[0]}/unload HTTP/1.1"


@pytest.fixture(scope="module")
def open_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """One that others reach, through a proxy too, and that serves a page elsewhere."""
    flags = ("--host", "0.0.0.0", "--open", "--allow-host", "gpu.example.org", "--cors", PAGE, *ONE)
    with Endpoint(tmp_path_factory.mktemp("home"), *flags) as running:
        yield running


def said(endpoint: Endpoint, first: str, **headers: str) -> tuple[int, bytes]:
    """The status, and all that is answered."""
    lines = [first, *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    reply = endpoint.say("\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1"))
    return status(reply), reply


# What browsers send without asking first, and what a name that leads here makes them send.
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": EVIL, "content_type": "text/plain;charset=UTF-8", "content_length": "0"},
        {"origin": "null", "content_type": "application/x-www-form-urlencoded", "content_length": "0"},
        {"origin": "http://localhost:3000", "sec_fetch_site": "same-site"},
        {"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors"},
        {"host": "evil.example:8000", "origin": "http://evil.example:8000"},
        {"host": "evil.example", "sec_fetch_site": "same-origin"},
    ],
)
def test_a_strangers_page_changes_nothing(endpoint: Endpoint, headers: dict[str, str]) -> None:
    found, reply = said(endpoint, UNLOAD, **{"host": f"localhost:{endpoint.port}", **headers})
    assert found == 403
    assert b"access-control" not in reply
    error = json.loads(reply.partition(b"\r\n\r\n")[2])["error"]
    assert "serve with --cors" in error or error.endswith("serve with --allow-host NAME")
    assert endpoint.ask("GET", f"/v2/models/{FAMILY[0]}/ready").status_code == 200


@pytest.mark.parametrize("path", ["/v2", "/metrics", "/v2/models/cnnselect", "/openapi.json", "/v2/nowhere"])
def test_nor_does_it_read_by_a_name_that_leads_here(endpoint: Endpoint, path: str) -> None:
    found, reply = said(endpoint, f"GET {path} HTTP/1.1", host="evil.example:8000")
    assert found == 403
    assert b"cnnselect" not in reply


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        # Of a whole URL the host counts, whatever Host says.
        ("POST http://evil.example{path} HTTP/1.1\r\nHost: localhost", 403),
        ("POST http://localhost@evil.example{path} HTTP/1.1\r\nHost: localhost", 403),
        ("GET http://localhost:1/v2 HTTP/1.1\r\nHost: localhost:1", 200),
        ("POST {path} HTTP/1.1\r\nHost: evil.example\r\nHost: localhost", 400),
        ("POST {path} HTTP/1.1\r\nHost: localhost, evil.example", 400),
        ("POST {path} HTTP/1.1\r\nHost: localhost@evil.example", 400),
        ("POST {path} HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\nOrigin: http://localhost", 403),
        ("POST {path} HTTP/1.0\r\nOrigin: https://evil.example", 403),
        ("OPTIONS * HTTP/1.1\r\nHost: evil.example", 403),
        ("POST /{path} HTTP/1.1\r\nHost: evil.example", 403),
        ("POST /v2/health/live/../..{path} HTTP/1.1\r\nHost: evil.example", 403),
    ],
)
def test_no_other_way_to_say_it_helps(endpoint: Endpoint, head: str, expected: int) -> None:
    path = f"/v2/repository/models/{FAMILY[0]}/unload"
    reply = endpoint.say(f"{head.format(path=path)}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
    # Some of these a replica's proxy refuses by itself, or Ray.
    assert status(reply) in ((expected, 400, 404) if BY_RAY and expected != 200 else (expected,))
    assert endpoint.ask("GET", f"/v2/models/{FAMILY[0]}/ready").status_code == 200


def test_its_preflight_and_its_websocket_are_refused(endpoint: Endpoint) -> None:
    asks = {"host": f"127.0.0.1:{endpoint.port}", "origin": EVIL}
    found, reply = said(endpoint, "OPTIONS /v2 HTTP/1.1", **asks, access_control_request_method="POST")
    assert found == 403
    assert b"access-control" not in reply
    upgrade = {"upgrade": "websocket", "sec_websocket_version": "13", "sec_websocket_key": "AAAAAAAAAAAAAAAAAAAAAA=="}
    assert said(endpoint, "GET /v2 HTTP/1.1", **asks, **upgrade)[0] == 403


@pytest.mark.parametrize("host", ["localhost:{port}", "127.0.0.1:{port}", "127.1", "[::1]:{port}", "192.168.1.5:8000"])
def test_clients_get_in_by_any_address(endpoint: Endpoint, host: str) -> None:
    """Also by one that is not this machine's, as where a container's port is mapped."""
    named = host.format(port=endpoint.port)
    assert said(endpoint, "GET /v2 HTTP/1.1", host=named)[0] == 200
    assert said(endpoint, "GET /v2 HTTP/1.1", host=named, origin=f"http://{named}")[0] == 200


def test_clients_get_in_by_this_machines_name(endpoint: Endpoint) -> None:
    assert said(endpoint, "GET /v2 HTTP/1.1", host=f"{socket.gethostname()}:{endpoint.port}")[0] == 200
    assert said(endpoint, "GET /v2 HTTP/1.0")[0] == 200


@pytest.mark.parametrize("host", ["gpu.example.org", "ondevice:8000", "ondevice.local", "10.0.0.1"])
def test_neighbours_get_in_where_they_may(open_endpoint: Endpoint, host: str) -> None:
    assert said(open_endpoint, "GET /metrics HTTP/1.1", host=host)[0] == 200
    assert said(open_endpoint, UNLOAD, host=host, origin=EVIL)[0] == 403


def test_strangers_names_do_not_even_there(open_endpoint: Endpoint) -> None:
    for host in ("evil.example", "gpu.example.org.evil.example", "www.gpu.example.org"):
        found, reply = said(open_endpoint, "GET /v2 HTTP/1.1", host=host)
        assert found == 403
        assert f"'{host}' is not a name of this endpoint".encode() in reply


def test_a_page_that_was_named_may_read(open_endpoint: Endpoint) -> None:
    asks = {"host": f"127.0.0.1:{open_endpoint.port}", "origin": PAGE, "sec_fetch_site": "cross-site"}
    found, reply = said(open_endpoint, "OPTIONS /v2 HTTP/1.1", **asks, access_control_request_method="POST")
    assert found == 200
    assert b"access-control-allow-headers: *, authorization\r\n" in reply
    for path, expected in (("/v2", 200), ("/nowhere", 404)):
        found, reply = said(open_endpoint, f"GET {path} HTTP/1.1", **asks)
        assert found == expected
        assert f"access-control-allow-origin: {PAGE}\r\n".encode() in reply
        assert b"vary: origin\r\n" in reply


def test_it_may_read_that_its_picture_is_too_large(open_endpoint: Endpoint) -> None:
    with open_endpoint.connect() as client:
        client.sendall(post("/v2/models/cnnselect/infer", b"", "image/jpeg", f"Origin: {PAGE}\r\n", 99_000_000))
        reply = read_reply(client)
    assert status(reply) == 413
    assert f"access-control-allow-origin: {PAGE}\r\n".encode() in reply


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--cors", "photos.example.org"], "--cors takes an origin such as https://photos.example.org, without a path"),
        (["--allow-host", "http://gpu"], "--allow-host takes the name of a host such as gpu.example.org, and no more"),
        (["--tokens", "none", "--allow-host", "gpu"], "--allow-host is for serving without --tokens"),
        (["--host", "128.0.0.1"], "--host 128.0.0.1 lets others in"),
    ],
)
def test_wrong_flags_are_one_line(cli: Cli, flags: list[str], words: str) -> None:
    assert words in one_line(cli("serve", "--port", 0, *flags), 2)


def test_all_of_127_is_loopback(tmp_path: Path) -> None:
    with Endpoint(tmp_path, "--host", "127.0.0.2", *ONE) as running:
        assert running.url.startswith("http://127.0.0.2:")
        assert running.ask("GET", "/v2").status_code == 200
        assert running.ask("GET", "/v2", headers={"Host": "ondevice"}).status_code == 403
