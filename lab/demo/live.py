"""The demo's live page: each request as it flies, in a browser on this machine."""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ondevice import words
from ondevice.client.planning.plan import Mode
from ondevice.errors import UsageError
from ondevice.lab.demo import pages
from ondevice.lab.demo.run import MODES, RequestRecord
from ondevice.lab.demo.scenario import RATE_MS, Scenario
from ondevice.lab.link import HOST

# A browser that takes nothing for so long is let go: on this machine it takes all in ms, unless its tab sleeps.
_STUCK_S = 5.0
# So long readers are waited for at the end, which is when the terminal's prompt comes back.
_PARTING_S = 2.0
# Pages open at once: more than one person opens, and few enough that each may have a thread.
_MOST_READERS = 16
_Message = dict[str, Any]


class LivePage:
    """Serves the page on `url` from entering the context on; leaving it ends the streams of events.

    port: 0 for any that is free. Raises UsageError where it is taken. Whoever opens the page late is shown all from the
    beginning.
    """

    def __init__(self, scenario: Scenario, port: int = 0) -> None:
        self._log = _MessageLog()
        self._log.add(_scenario_message(scenario))
        page = _Page()
        try:
            self._server = ThreadingHTTPServer((HOST, port), partial(_Handler, page, self._log))
        except OSError as error:
            raise UsageError(f"port {port} cannot be used: {words.reason(error)}") from error
        self._server.daemon_threads = True
        page.hosts = {f"{name}:{self.port}" for name in (HOST, "localhost")}

    @property
    def port(self) -> int:
        """The port that the page is served on, to this machine alone."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """The address to open in the browser."""
        return f"http://{HOST}:{self.port}/"

    def show(self, record: RequestRecord) -> None:
        """Show a request."""
        self._log.add(_record_message(record))

    def end(self, meaning: str) -> None:
        """Show that there are no more, and what it all means; the page keeps that."""
        self._log.add({"kind": "end", "meaning": meaning})

    def __enter__(self) -> LivePage:
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="live", daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._log.close()
        self._server.shutdown()
        self._server.server_close()


class _MessageLog:
    """All messages to the page, for as many readers as come, each at its own pace."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._lines: list[str] = []
        self._closed = False
        self._readers = 0

    def add(self, message: _Message) -> None:
        """Have readers get one message more."""
        with self._changed:
            self._lines.append(json.dumps(message))
            self._changed.notify_all()

    def close(self) -> None:
        """No more comes; returns when all readers have what there is, or have had time enough."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._readers == 0, _PARTING_S)

    @contextlib.contextmanager
    def reader(self) -> Iterator[bool]:
        """Count one reader more, unless there are too many: False then."""
        with self._changed:
            admitted = self._readers < _MOST_READERS
            self._readers += admitted
        try:
            yield admitted
        finally:
            with self._changed:
                self._readers -= admitted
                self._changed.notify_all()

    def stream(self, write: Callable[[bytes], object]) -> None:
        """Write all messages as server-sent events, from the first to the last, as they come."""
        count = 0
        while lines := self._lines_from(count):
            write("".join(f"data: {line}\n\n" for line in lines).encode())
            count += len(lines)

    def _lines_from(self, begin: int) -> list[str]:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._lines) > begin)
            return self._lines[begin:]


class _Page:
    """The page, the policy that it comes with, and the names of the server that it is given to."""

    def __init__(self) -> None:
        self.hosts: set[str] = set()
        nonce = secrets.token_urlsafe(16)
        self.body = pages.load("live.html").replace("NONCE", nonce).encode()
        self.policy = (
            f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; "
            "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )


class _Handler(BaseHTTPRequestHandler):
    """GET of the page and of its events, by this machine's browsers; nothing else."""

    timeout = _STUCK_S
    server_version, sys_version = "ondevice", ""

    def __init__(self, page: _Page, log: _MessageLog, *rest: Any) -> None:
        self._page, self._log = page, log
        super().__init__(*rest)

    def do_GET(self) -> None:
        """The page, or its events."""
        # Another site's name that leads here (DNS rebinding) is not ours.
        if self.headers.get("Host", "") not in self._page.hosts:
            self._head(HTTPStatus.MISDIRECTED_REQUEST, "text/plain")
        elif self.path == "/":
            self._head(HTTPStatus.OK, "text/html; charset=utf-8")
            self.wfile.write(self._page.body)
        elif self.path == "/events":
            self._events()
        else:
            self._head(HTTPStatus.NOT_FOUND, "text/plain")

    def _events(self) -> None:
        with self._log.reader() as admitted:
            if not admitted:
                self._head(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain")
                return
            self._head(HTTPStatus.OK, "text/event-stream")
            self._log.stream(self.wfile.write)

    def _head(self, status: HTTPStatus, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Security-Policy", self._page.policy)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.end_headers()

    def handle(self) -> None:
        """Serve a browser, which may leave when it likes."""
        try:
            super().handle()
        except OSError:
            self.close_connection = True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what is not a GET, or not HTTP, without the usual page."""
        self._head(HTTPStatus(code), "text/plain")

    def log_message(self, *_: object) -> None:
        """Say nothing: the terminal is the demo's."""


_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def _scenario_message(scenario: Scenario) -> _Message:
    return {
        "kind": "scenario",
        "modes": list(MODES),
        "device": scenario.device,
        "sla_ms": scenario.sla_ms,
        "every_ms": scenario.every_ms,
        "requests": scenario.requests,
        "lasts_ms": scenario.lasts_ms,
        "rate_ms": RATE_MS,
        "mbps": [round(float(mbps), 3) for mbps in scenario.uplink_mbps()],
    }


def _record_message(record: RequestRecord) -> _Message:
    """What the page wants of a request; what happened to it only of auto's, whose flights it draws."""
    message = record._asdict()
    message["events"] = [[event.at_ms, event.what] for event in record.events] if record.mode is Mode.AUTO else []
    return {"kind": "record", **message}
