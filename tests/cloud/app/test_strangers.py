"""Where anybody may ask, a stranger's page may not: what its browser says of it, and whom that must not keep out."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from answering import Answering, Asked

from ondevice.cloud.app.origins import AllowedOrigins
from ondevice.cloud.app.own_hosts import OwnHosts
from ondevice.cloud.app.strangers import Strangers
from ondevice.cloud.backends.states import ModelState

PAGE = "https://photos.example.org"
UNLOAD = "/v2/repository/models/small/unload"
OURS = {"host": "localhost:8000"}


@pytest.fixture
def backend() -> Answering:
    return Answering(small=0.5)


@pytest.fixture
def asked(backend: Answering) -> Asked:
    return Asked(backend, may_ask=Strangers(OwnHosts([], False), AllowedOrigins([PAGE]), False))


@pytest.mark.parametrize(
    "headers",
    [
        {},  # HTTP/1.0
        OURS,
        {**OURS, "origin": "http://localhost:8000"},
        {**OURS, "origin": PAGE, "sec_fetch_site": "cross-site"},
        {**OURS, "sec_fetch_site": "same-origin"},
        {**OURS, "sec_fetch_site": "none"},  # typed, or a bookmark
        {**OURS, "sec_fetch_mode": "cors"},  # node says so much
        {**OURS, "sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"},  # a link
    ],
)
def test_clients_and_pages_that_may_are_answered(asked: Asked, headers: dict[str, str]) -> None:
    assert asked.ask("GET", "/v2", **headers)[0] == 200
    assert asked.ask("POST", UNLOAD, **headers)[0] == 200


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"host": "evil.example:8000"}, "'evil.example:8000' is not a name of this endpoint: ask its IP address, or"),
        ({**OURS, "origin": "https://evil.example"}, "pages of 'https://evil.example' may not ask here"),
        (
            {**OURS, "origin": "http://localhost:3000", "sec_fetch_site": "same-site"},
            "pages of 'http://localhost:3000'",
        ),
        ({**OURS, "origin": "null"}, "pages of 'null' may not ask here: to let them, serve with --cors ORIGIN"),
        ({**OURS, "origin": ""}, "pages of ''"),
        ({**OURS, "origin": "null", "sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}, "pages of 'null'"),
        ({"origin": "http://localhost:8000"}, "pages of 'http://localhost:8000'"),
        ({**OURS, "sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors"}, "pages of other sites may not ask"),
        ({**OURS, "sec_fetch_site": "same-site"}, "pages of other sites may not ask"),
    ],
)
def test_all_others_are_refused_before_their_body_is_read(
    asked: Asked, backend: Answering, headers: dict[str, str], said: str
) -> None:
    for method, path in (("POST", UNLOAD), ("GET", "/v2"), ("GET", "/metrics"), ("GET", "/nowhere"), ("PUT", "/v2")):
        status, body = asked.ask(method, path, **headers)
        assert status == 403
        error = json.loads(body)["error"]
        assert error.startswith(said)
        assert len(error) < 200, "clients cut what is longer"
    assert backend.states.get("small", ModelState.AVAILABLE) is ModelState.AVAILABLE
    assert {line["status"] for line in asked.log.named("request")} == {403}


def test_load_balancers_ask_for_its_health_by_any_name_and_pages_do_not(asked: Asked) -> None:
    assert asked.ask("GET", "/v2/health/ready", host="pool.example.com")[0] == 200
    assert asked.ask("GET", "/v2/health/live", host="pool.example.com")[0] == 200
    assert asked.ask("GET", "/v2/health/live", host="localhost", origin="https://evil.example")[0] == 403


def test_a_long_name_is_cut(asked: Asked) -> None:
    for headers in ({"host": "evil." * 2000}, {"host": "localhost", "origin": "https://" + "evil." * 2000}):
        assert len(asked.ask("GET", "/v2", **headers)[1]) < 200
