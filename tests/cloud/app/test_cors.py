"""Pages of the origins that the operator named: what their browser is told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from answering import PICTURE, Answering, Asked
from metrics import samples

from ondevice.cloud.app.cors import CorsApplication
from ondevice.cloud.app.messages import Head, Response
from ondevice.cloud.app.origins import AllowedOrigins
from ondevice.cloud.app.own_hosts import OwnHosts
from ondevice.cloud.app.strangers import Strangers
from ondevice.cloud.app.tokens import Tokens

PAGE, EVIL = "https://photos.example.org", "https://evil.example"
INFER = "/v2/models/cnnselect/infer"
TOKEN = "sixteen-characters-and-more"
PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "authorization, content-type"}


class Told:
    """What a service for pages of these origins answers, with its headers. tokens: who may ask, or None for all."""

    def __init__(self, *origins: str, tokens: Tokens | None = None) -> None:
        allowed = AllowedOrigins(origins)
        self.asked = Asked(Answering(small=0.5), may_ask=tokens or Strangers(OwnHosts([], False), allowed, False))
        self._app = CorsApplication(self.asked.service, allowed, self.asked.service.accounting)

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str]]:
        named = {"host": "localhost", **{name.replace("_", "-"): value for name, value in headers.items()}}
        response = asyncio.run(self._answered(Head(method, path, "", named, len(body), "client", perf_counter()), body))
        return response.status, dict(response.headers)

    async def _answered(self, head: Head, body: bytes) -> Response:
        begun = self._app.begin(head)
        if isinstance(begun, Response):
            return begun
        return begun.receive(body) or await begun.answer(perf_counter(), 0.0)

    def refusal(self) -> dict[str, str]:
        return dict(self._app.refusal(408, "too late").headers)


def named(headers: Sequence[str], reply: dict[str, str]) -> list[str | None]:
    return [reply.get(name) for name in headers]


CORS = ("access-control-allow-origin", "access-control-expose-headers", "vary")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v2", 200), ("POST", INFER, 200), ("POST", "/nowhere", 404), ("POST", "/v2/models/no/infer", 404)],
)
def test_a_named_origin_may_read_answers_and_refusals(method: str, path: str, status: int) -> None:
    found, headers = Told(PAGE).ask(method, path, b"picture", origin=PAGE, content_type=PICTURE)
    assert found == status
    assert named(CORS, headers) == [PAGE, "*", "origin"]


def test_a_picture_that_is_refused_while_it_comes_is_readable() -> None:
    huge = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"\0\0\xff\xff" * 2 + bytes(20)
    told = Told(PAGE)
    head = Head("POST", INFER, "", {"host": "localhost", "origin": PAGE, "content-type": PICTURE}, 10_000, "", 0.0)
    begun = told._app.begin(head)
    assert not isinstance(begun, Response)
    refused = begun.receive(huge)
    assert refused
    assert refused.status == 400
    assert named(CORS, dict(refused.headers)) == [PAGE, "*", "origin"]


def test_a_preflight_is_answered_without_a_token_and_noted(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(TOKEN)
    told = Told(PAGE, tokens=Tokens(tmp_path / "tokens"))
    status, headers = told.ask("OPTIONS", INFER, origin=PAGE, **PREFLIGHT)
    assert status == 200
    assert named(CORS, headers) == [PAGE, "*", "origin"]
    assert headers["access-control-allow-methods"] == "GET, HEAD, POST"
    assert headers["access-control-allow-headers"] == "*, authorization"
    assert [(line["method"], line["status"]) for line in told.asked.log.named("request")] == [("OPTIONS", 200)]
    assert (
        samples(told.asked.metrics.text()[1].decode())[
            "ondevice_requests_total", (("operation", "options"), ("status", "200"))
        ]
        == 1
    )
    status, headers = told.ask("GET", "/v2", origin=PAGE)
    assert (status, headers["access-control-allow-origin"]) == (401, PAGE)
    assert told.ask("GET", "/v2", origin=PAGE, authorization=f"Bearer {TOKEN}")[0] == 200


def test_another_origin_is_told_nothing(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(TOKEN)
    for told in (Told(PAGE), Told(PAGE, tokens=Tokens(tmp_path / "tokens"))):
        for method, headers in (("OPTIONS", PREFLIGHT), ("GET", {"authorization": f"Bearer {TOKEN}"})):
            _, found = told.ask(method, "/v2", origin=EVIL, **headers)
            assert named(CORS, found) == [None, None, "origin"]
    assert Told(PAGE).ask("OPTIONS", "/v2", origin=EVIL, **PREFLIGHT)[0] == 403
    assert told.ask("OPTIONS", "/v2", origin=EVIL, **PREFLIGHT)[0] == 403


def test_what_is_refused_before_it_is_known_who_asks_may_be_read_where_it_can_be_but_one() -> None:
    assert named(CORS, Told(PAGE).refusal()) == [PAGE, "*", "origin"]
    assert named(CORS, Told(PAGE, EVIL).refusal()) == [None, None, "origin"]


def test_a_star_is_said_only_where_it_was_asked_for() -> None:
    for headers in ({}, {"origin": EVIL}, {"origin": "null"}):
        status, found = Told("*").ask("GET", "/v2", **headers)
        assert (status, *named(CORS, found)) == (200, "*", "*", None)
    assert Told("*").refusal()["access-control-allow-origin"] == "*"
    assert Told("*").ask("OPTIONS", INFER, origin=EVIL, **PREFLIGHT)[0] == 200


def test_options_that_are_not_a_preflight_are_refused_as_ever() -> None:
    status, headers = Told(PAGE).ask("OPTIONS", "/v2")
    assert (status, headers["allow"]) == (405, "GET, HEAD")
    assert Told("*").ask("OPTIONS", "/v2")[0] == 405
