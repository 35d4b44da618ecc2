"""Phones are updated late: 0.1.0's client is served as 0.1.0 served it, and what 0.1.0 answers is understood.

What they say to each other was recorded: fixtures/wire-0.1.0/README.md.
"""

from __future__ import annotations

import io
import json
import socket
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import parse_qs, urlsplit

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from rude import Asked, Rude, answering
from serving import FAMILY, PICTURE, Endpoint, until

from ondevice import OffloadClient
from ondevice.client.offload import Options
from ondevice.errors import OffloadError
from ondevice.protocol import headers
from ondevice.protocol.response import decode_response

RECORDED = Path(__file__).parents[1] / "fixtures" / "wire-0.1.0" / "exchanges.json"
EXCHANGES: dict[str, dict[str, str]] = {row["name"]: row for row in json.loads(RECORDED.read_text())}
# A deadline that is never meant to pass.
LONG_MS = 20_000.0


class Said(NamedTuple):
    """A reply as a client reads it. body: its JSON, line by line; where tensors are binary, what is said of them."""

    status: int
    headers: dict[str, str]
    body: list[Any]


def recorded(name: str) -> bytes:
    return EXCHANGES[name]["reply"].encode("latin-1")


def asked(name: str, endpoint: Endpoint) -> bytes:
    text = EXCHANGES[name]["request"].replace("{host}", endpoint.url.removeprefix("http://"))
    return text.encode("latin-1").replace(b"{picture}", PICTURE)


class Wire(NamedTuple):
    """What HTTPResponse wants of a socket, where all that it will receive is here."""

    data: bytes

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self.data)


def understood(source: socket.socket | Wire) -> Said:
    reply = HTTPResponse(cast(socket.socket, source))
    reply.begin()
    body, told = reply.read(), {name.lower(): value for name, value in reply.getheaders()}
    if headers.LENGTH.lower() in told:
        outputs = decode_response(body, int(told[headers.LENGTH.lower()])).outputs
        return Said(reply.status, told, [{output.name: [output.datatype, output.binary] for output in outputs}])
    return Said(reply.status, told, [json.loads(line) for line in body.splitlines()])


def missing(before: Any, now: Any, where: str = "") -> list[str]:
    """What was said before, and is not said now, or is of another type."""
    if isinstance(before, dict) and isinstance(now, dict):
        lost = [f"{where}.{key}" for key in before.keys() - now.keys()]
        return lost + [
            path for key in before.keys() & now.keys() for path in missing(before[key], now[key], f"{where}.{key}")
        ]
    if isinstance(before, list) and isinstance(now, list):
        return missing(before[0], now[0], f"{where}[]") if before and now else [where] * bool(before)
    kinds = [float if type(value) is int else type(value) for value in (before, now)]
    return [] if kinds[0] is kinds[1] else [where]


def heard(name: str, endpoint: Endpoint) -> Said:
    """What the endpoint answers to this."""
    with endpoint.connect() as client:
        client.sendall(asked(name, endpoint))
        return understood(client)


@pytest.mark.parametrize("name", EXCHANGES)
def test_what_0_1_0_asks_is_answered_with_all_that_it_had_for_an_answer(endpoint: Endpoint, name: str) -> None:
    before = understood(Wire(recorded(name)))
    # While the workers are measured there is one answer where there might be several.
    now = until(lambda: (said := heard(name, endpoint)) and len(said.body) >= len(before.body) and said)
    assert now.status == before.status, now.body
    assert before.headers.keys() <= now.headers.keys()
    if before.body:
        assert now.headers["content-type"] == before.headers["content-type"]
    for was, found in zip(before.body, now.body, strict=False):
        assert missing(was, found) == []


def test_the_label_that_0_1_0_reads_is_right(endpoint: Endpoint) -> None:
    for name in ("the first picture", "a later picture"):
        (body,) = heard(name, endpoint).body
        assert [output["data"][0] for output in body["outputs"]][::2] == ["7", 7]


# This client at 0.1.0's endpoint


def of_0_1_0(picture: str) -> Rude:
    """An endpoint of 0.1.0, which always answers the same to a picture."""

    def reply(request: Asked) -> bytes:
        return recorded(picture if "/infer" in request.path else "metadata")

    return Rude(answering(reply))


# What 0.1.0 knows of a picture's query; it refuses all else.
QUERY = {"sla_ms", "timeout", "upload_ms", "return_ms", "policy", "top", "device_top1", "reply", "anytime"}
KINDS = ("image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp", "image/tiff")


def understands(request: Asked) -> bool:
    """Whether 0.1.0 does what a client of this version asks for."""
    where = urlsplit(request.path)
    if request.method == "GET":
        return where.path in ("/v2/models/cnnselect", "/v2/health/ready")
    asked_for, kind = parse_qs(where.query).keys(), request.headers["content-type"]
    plain = kind in KINDS and "content-encoding" not in request.headers
    return where.path == "/v2/models/cnnselect/infer" and asked_for <= QUERY and plain


@pytest.mark.parametrize(("name", "infer_ms"), [("the first picture", 34.8), ("several answers", 32.197)])
def test_its_answers_are_read(name: str, infer_ms: float) -> None:
    options = Options(anytime=2)
    with of_0_1_0(name) as server, OffloadClient(server.url, (), LONG_MS, "cloud", options) as client:
        answers = [client.classify(PICTURE) for _ in range(3)]
        assert client.cloud.endpoint is not None
        assert client.cloud.endpoint.best_top1 == 0.988
    assert {(answer.label, answer.index, answer.where, answer.model) for answer in answers} == {
        ("7", 7, "cloud", "digits_l_int8")
    }
    assert all(understands(request) for request in server.asked)
    assert {answer.invoke_ms for answer in answers} == {infer_ms}
    assert all(answer.on_time for answer in answers)


def test_its_refusals_are_told() -> None:
    with (
        of_0_1_0("a mistake") as server,
        OffloadClient(server.url, (), LONG_MS, "cloud") as client,
        pytest.raises(OffloadError, match="sla_ms must be a number, not 'never'"),
    ):
        client.classify(PICTURE)


def test_its_models_are_served_from_here(tmp_path: Path) -> None:
    names = {"/v2/health/ready": "ready", f"/v2/models/{FAMILY[2]}": "metadata of a model"}

    def reply(request: Asked) -> bytes:
        inference = "a model is timed" if b'{"top":1}' in request.body else "a picture for a model"
        return recorded(names.get(request.path, inference))

    with Rude(answering(reply)) as server:
        upstream = f"{server.url}/v2/models/{FAMILY[2]}"
        with Endpoint(tmp_path, "--models", FAMILY[0], "--upstream", upstream) as running:
            named = running.classify(FAMILY[2])
            assert (named.status_code, named.json()["outputs"][2]["data"]) == (200, [7, 2, 4, 0, 3])
            assert running.get("/v2/models/cnnselect")["parameters"]["top1"][FAMILY[2]] == 0.9143
