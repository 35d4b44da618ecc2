"""Real pages in Chromium against `ondevice serve`: what a stranger's can do, and one that was let in."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import browser
import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from serving import FAMILY, Endpoint, until

pytestmark = pytest.mark.skipif(browser.CHROMIUM is None, reason="no Chromium to open the pages in")
UNLOAD, SELECT = f"/v2/repository/models/{FAMILY[0]}/unload", "/v2/models/cnnselect/select"
# All that a page can do of itself: what each attempt gave, or the name of the error that it ended in.
PAGE = """<!DOCTYPE html><title>A page</title><link rel="icon" href="data:,"><body><script>
const at = "ENDPOINT", unload = at + "UNLOAD", seen = {};
const attempt = async (name, act) => { try { seen[name] = await act(); } catch (error) { seen[name] = error.name; } };
const happens = (made, how, events) => new Promise(done => {
  for (const event of events) made.addEventListener(event, () => done(event));
  how();
});
const loads = (tag, more) => {
  const made = Object.assign(document.createElement(tag), more);
  return happens(made, () => document.body.append(made), ["load", "error"]);
};
const send = (path, more) => fetch(at + path, { method: "POST", ...more });
const form = (method, enctype) => {
  const frame = Object.assign(document.createElement("iframe"), { name: method + enctype });
  const made = Object.assign(document.createElement("form"), { method, enctype, action: unload, target: frame.name });
  document.body.append(frame, made);
  return happens(frame, () => made.submit(), ["load"]);
};
(async () => {
  await attempt("read", async () => (await (await fetch(at + "/v2")).json()).name);
  await attempt("token", async () => (await fetch(at + "/v2", { headers: { Authorization: "Bearer x" } })).status);
  await attempt("ask", async () => (await send("SELECT", {
    headers: { "Content-Type": "application/json" }, body: "{}" })).status);
  await attempt("opaque", async () => (await (await fetch(at + "/v2", { mode: "no-cors" })).text()).length);
  await attempt("script", () => loads("script", { src: at + "/v2" }));
  await attempt("image", () => loads("img", { src: at + "/metrics" }));
  await attempt("socket", () => happens(new WebSocket(at.replace("http", "ws") + "/v2"), () => 0, ["open", "error"]));
  if (LETS) await attempt("unload", async () => (await send("UNLOAD", { headers: { "X-Any": "1" } })).status);
  else {
    await attempt("simple", async () => (await send("UNLOAD", { mode: "no-cors", body: "{}" })).type);
    await attempt("beacon", async () => navigator.sendBeacon(unload, "{}"));
    for (const kind of ["text/plain", "multipart/form-data", "application/x-www-form-urlencoded"])
      await attempt("form", () => form("post", kind));
  }
  document.body.dataset.done = "yes";
})();
</script>"""


class Site(ThreadingHTTPServer):
    """A stranger's web server, all of whose paths are one page. Its server is told late whom the page is to ask."""

    body = b""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)

    def asks(self, endpoint: Endpoint, lets: bool) -> None:
        """lets: whether the page expects that it may."""
        words = {"ENDPOINT": endpoint.url, "UNLOAD": UNLOAD, "SELECT": SELECT, "LETS": "true" if lets else "false"}
        text = PAGE
        for word, value in words.items():
            text = text.replace(word, value)
        self.body = text.encode()


class _Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as serving:
        threading.Thread(target=serving.serve_forever, args=(0.05,), daemon=True).start()
        yield serving
        serving.shutdown()


def seen(site: Site, name: str, profile: Path) -> Any:
    url = f"http://{name}:{site.server_address[1]}/"
    return browser.look(url, (800, 600), "document.body?.dataset.done === 'yes'", "seen", profile).value


def is_loaded(endpoint: Endpoint) -> bool:
    return endpoint.ask("GET", f"/v2/models/{FAMILY[0]}/ready").status_code == 200


def unloads(endpoint: Endpoint) -> list[int]:
    """The statuses of all that was said to this so far."""
    return [line["status"] for line in endpoint.log("request") if line.get("path") == UNLOAD]


# The first is another port of the endpoint's own address; the second another name of this machine.
@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_a_strangers_page_can_neither_read_nor_change_anything(
    endpoint: Endpoint, site: Site, tmp_path: Path, name: str
) -> None:
    before = len(unloads(endpoint))
    site.asks(endpoint, lets=False)
    assert seen(site, name, tmp_path) == {
        **dict.fromkeys(("read", "token", "ask"), "TypeError"),
        **dict.fromkeys(("script", "image", "socket"), "error"),
        "opaque": 0,
        # These are sent without asking, and tell nothing of what came of it.
        "simple": "opaque",
        "beacon": True,
        "form": "load",
    }
    assert until(lambda: len(unloads(endpoint)) >= before + 5)
    assert unloads(endpoint)[before:] == [403] * 5
    assert is_loaded(endpoint)


def test_a_page_by_a_name_that_leads_here_cannot_either(endpoint: Endpoint, tmp_path: Path) -> None:
    """It is of the origin that it asks: no browser would keep it from reading."""
    asking = """["GET /v2", "GET /metrics", "POST UNLOAD"].map(line => {
      const [method, path] = line.split(" "), asked = new XMLHttpRequest();
      asked.open(method, path, false);
      asked.send();
      return [asked.status, asked.responseText.includes("is not a name of this endpoint")];
    })"""
    url = f"http://evil.example:{endpoint.port}/v2"
    leads_here = "--host-resolver-rules=MAP evil.example 127.0.0.1"
    there = f"location.href === '{url}' && document.readyState === 'complete'"
    found = browser.look(url, (800, 600), there, asking.replace("UNLOAD", UNLOAD), tmp_path, leads_here)
    assert found.value == [[403, True]] * 3
    assert is_loaded(endpoint)


def test_a_page_that_was_named_can(site: Site, tmp_path: Path) -> None:
    origin = f"http://localhost:{site.server_address[1]}"
    with Endpoint(tmp_path, "--models", FAMILY[0], "--cors", origin) as endpoint:
        site.asks(endpoint, lets=True)
        found = seen(site, "localhost", tmp_path / "let in")
        assert (found["read"], found["token"], found["ask"], found["unload"]) == ("ondevice", 200, 200, 200)
        assert not is_loaded(endpoint)
        other = seen(site, "127.0.0.1", tmp_path / "other")
        assert (other["read"], other["unload"]) == ("TypeError", "TypeError")
