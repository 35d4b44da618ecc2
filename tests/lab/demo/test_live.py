"""The demo's page: what its server gives to whom, and what a browser makes of it."""

from __future__ import annotations

import http.client
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browser
import pytest
from demo_runs import SCENARIO, runs
from serving import until

from ondevice.errors import UsageError
from ondevice.lab.demo.live import LivePage
from ondevice.lab.demo.run import MODES
from ondevice.lab.link import HOST

PATIENCE_S = 30.0


@pytest.fixture
def live() -> Iterator[LivePage]:
    with LivePage(SCENARIO) as served:
        yield served


def ask(
    live: LivePage, path: str, method: str = "GET", headers: dict[str, str] | None = None
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection(HOST, live.port, timeout=PATIENCE_S)
    connection.request(method, path, headers=headers or {})
    reply = connection.getresponse()
    found = reply.status, reply.headers, reply.read()
    connection.close()
    return found


def open_events(live: LivePage) -> socket.socket:
    """A reader of the events that has sent its request."""
    reader = socket.create_connection((HOST, live.port), timeout=PATIENCE_S)
    reader.sendall(f"GET /events HTTP/1.1\r\nHost: {HOST}:{live.port}\r\n\r\n".encode())
    return reader


def messages(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix("data: ")) for line in body.decode().splitlines() if line.startswith("data: ")]


def show_all(live: LivePage) -> None:
    for run in runs():
        for record in run.records:
            live.show(record)
    live.end("what it all means")


def test_the_page_allows_its_own_script_alone(live: LivePage) -> None:
    status, headers, body = ask(live, "/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")
    (nonce,) = set(re.findall(r"'nonce-([^']+)'", policy))
    page = body.decode()
    assert page.count(f'nonce="{nonce}"') == 2
    assert len(re.findall(r"<(?:script|style)", page)) == 2
    assert "http:" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "https:" not in page


def test_no_two_pages_have_the_same_nonce(live: LivePage) -> None:
    with LivePage(SCENARIO) as other:
        assert ask(live, "/")[1]["Content-Security-Policy"] != ask(other, "/")[1]["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/favicon.ico", "/events/", "/?x", "/../etc/passwd", "/live.html"])
def test_there_is_nothing_else(live: LivePage, path: str) -> None:
    status, headers, body = ask(live, path)
    assert (status, body) == (404, b"")
    assert headers["Content-Security-Policy"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "CONNECT"])
def test_only_get(live: LivePage, method: str) -> None:
    status, _, body = ask(live, "/", method)
    assert (status, body) == (501, b"")


@pytest.mark.parametrize("host", ["evil.example", "", HOST, "localhost", "127.0.0.1:1"])
@pytest.mark.parametrize("path", ["/", "/events"])
def test_other_names_of_this_machine_are_refused(live: LivePage, host: str, path: str) -> None:
    status, _, body = ask(live, path, headers={"Host": host})
    assert (status, body) == (421, b"")


def test_its_own_names_are_served(live: LivePage) -> None:
    for name in (HOST, "localhost"):
        assert ask(live, "/", headers={"Host": f"{name}:{live.port}"})[0] == 200


@pytest.mark.parametrize(
    "said", [b"\x16\x03\x01 hello there\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"x" * 70_000 + b"\r\n"]
)
def test_what_is_no_http_is_given_nothing(live: LivePage, said: bytes) -> None:
    with socket.create_connection((HOST, live.port), timeout=PATIENCE_S) as client:
        client.sendall(said)
        assert b"<html" not in _rest(client)
    assert ask(live, "/")[0] == 200


def test_the_events_are_all_told_in_order_to_whoever_comes_late() -> None:
    with LivePage(SCENARIO) as live:
        early = open_events(live)
        show_all(live)
        late = open_events(live)
        # Both are being read to before the end comes.
        first = [reader.recv(10) for reader in (early, late)]
    bodies = [begin + _rest(reader) for begin, reader in zip(first, (early, late), strict=True)]
    told = [messages(body) for body in bodies]
    assert told[0] == told[1]
    scenario, *records, end = told[0]
    assert (scenario["kind"], scenario["requests"], scenario["sla_ms"]) == (
        "scenario",
        SCENARIO.requests,
        SCENARIO.sla_ms,
    )
    assert scenario["modes"] == [str(mode) for mode in MODES]
    assert len(scenario["mbps"]) * scenario["rate_ms"] >= SCENARIO.lasts_ms
    assert end == {"kind": "end", "meaning": "what it all means"}
    all_records = [(record.mode, record.number) for run in runs() for record in run.records]
    assert [(record["mode"], record["number"]) for record in records] == all_records


def _rest(reader: socket.socket) -> bytes:
    pieces = []
    with reader:
        while piece := reader.recv(65536):
            pieces.append(piece)
    return b"".join(pieces)


def test_what_happened_is_told_of_auto_alone() -> None:
    with LivePage(SCENARIO) as live:
        reader = open_events(live)
        first = reader.recv(10)
        show_all(live)
    told = [message for message in messages(first + _rest(reader)) if message["kind"] == "record"]
    assert {message["mode"] for message in told if message["events"]} == {"auto"}
    assert told[-1]["events"] == [[1.0, "sent"], [119.0, "cloud answer"], [120.0, "answered"]]


def test_a_browser_that_reads_nothing_does_not_hold_up_the_end() -> None:
    with LivePage(SCENARIO) as live:
        stuck = open_events(live)
        show_all(live)
    with stuck, pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, live.port), timeout=PATIENCE_S)


def test_more_pages_than_one_person_opens_are_refused(live: LivePage) -> None:
    readers = [open_events(live) for _ in range(16)]
    for reader in readers:
        assert reader.recv(10)
    assert ask(live, "/events")[0] == 503
    assert ask(live, "/")[0] == 200
    for reader in readers:
        reader.close()

    def taken() -> bool:
        live.show(runs()[0].records[0])  # a reader is seen to be gone when something is told
        with open_events(live) as again:
            return again.recv(12).endswith(b"200")

    until(taken)


def test_a_port_that_is_taken(live: LivePage) -> None:
    with pytest.raises(UsageError, match=f"port {live.port} cannot be used"):
        LivePage(SCENARIO, live.port)


@pytest.mark.skipif(browser.CHROMIUM is None, reason="no Chromium to open the page in")
@pytest.mark.parametrize("size", [(1280, 800), (390, 844)])
def test_a_browser_shows_every_request_and_the_totals(live: LivePage, tmp_path: Path, size: tuple[int, int]) -> None:
    show_all(live)
    seen = browser.look(live.url, size, "document.body?.dataset.ended === 'yes'", SHOWN, tmp_path)
    assert seen.complaints == []
    assert seen.value == {
        "bars": ["cloud", "cloud", "device", "cloud"],
        "shares": ["50 %", "50 %", "75 %", "100 %"],
        "last": ["4", "7", "cloud", "120 ms \u2713", "cloud expected: 0.9 against 0.8"],
        "why": "the cloud fails: <b>refused</b>",
        "meaning": "what it all means",
        "dots": 0,
        "overflow": 0,
    }


SHOWN = """({
  bars: [...document.querySelectorAll("#chart rect")].map(bar => bar.getAttribute("class")),
  shares: [...document.querySelectorAll(".share")].map(share => share.textContent),
  last: [...$("list").firstChild.children].map(cell => cell.textContent),
  why: $("list").children[1].lastChild.textContent,
  meaning: $("meaning").textContent,
  dots: document.querySelectorAll(".dot").length,
  overflow: Math.max(0, document.documentElement.scrollWidth - innerWidth),
})"""
