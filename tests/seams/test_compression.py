"""Bodies compressed there and back, over a socket."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from huge import black_png
from serving import BY_RAY, FAMILY, PICTURE, Endpoint, image_input, resident_bytes, sentence, until

INFER = "/v2/models/cnnselect/infer"
# In the larger pieces in which a replica gets a body the other limit may be met first.
TOO_MUCH = ("expands to over 100 times its length", *(["the body is over 16000000 bytes"] if BY_RAY else []))
PACK: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}


@pytest.mark.parametrize("coding", PACK)
def test_what_is_sent_compressed_is_read(endpoint: Endpoint, coding: str) -> None:
    message = json.dumps({"inputs": [image_input()]}).encode()
    for body in (message, PICTURE):
        reply = endpoint.ask("POST", INFER, data=PACK[coding](body), headers={"Content-Encoding": coding})
        assert reply.json()["outputs"][2]["data"][0] == 7
    sizes = {len(message), len(PICTURE)}
    assert until(lambda: sizes <= {line.get("bytes") for line in endpoint.log("request")}), "logged as they are"


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"plain", 400, "is not gzip, as its Content-Encoding says"),
        (gzip.compress(PICTURE)[:-1], 400, "ends before"),
        (gzip.compress(black_png(20_000)), 400, "20000 x 20000 pixels"),
    ],
)
def test_what_is_not_what_it_says_is_refused(endpoint: Endpoint, body: bytes, status: int, said: str) -> None:
    reply = endpoint.ask("POST", INFER, data=body, headers={"Content-Encoding": "gzip"})
    assert reply.status_code == status
    assert said in sentence(reply)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
def test_a_bomb_is_refused_and_never_expanded(endpoint: Endpoint) -> None:
    stream = zlib.compressobj(1, wbits=31)
    bomb = b"".join(stream.compress(bytes(1 << 20)) for _ in range(512)) + stream.flush()
    for _ in range(5):
        reply = endpoint.ask("POST", INFER, data=bomb, headers={"Content-Encoding": "gzip"})
        assert reply.status_code == 413
        assert any(words in sentence(reply) for words in TOO_MUCH)
    assert resident_bytes(endpoint.front, "VmHWM") < 400 << 20, "512 MB were sent in each"


def test_a_body_may_not_expand_to_more_than_any_body_may_have(endpoint: Endpoint) -> None:
    body = gzip.compress(json.dumps([*range(3_000_000)]).encode(), 1)
    reply = endpoint.ask("POST", INFER, data=body, headers={"Content-Encoding": "gzip"})
    assert (reply.status_code, sentence(reply)) == (413, "the body is over 16000000 bytes")


@pytest.mark.parametrize("coding", PACK)
def test_large_replies_are_compressed_for_who_asks_for_it(endpoint: Endpoint, coding: str) -> None:
    plain = endpoint.ask("GET", "/openapi.json", headers={"Accept-Encoding": "identity"})
    packed = endpoint.ask("GET", "/openapi.json", headers={"Accept-Encoding": coding})
    assert (plain.headers.get("content-encoding"), packed.headers["content-encoding"]) == (None, coding)
    assert plain.headers["vary"] == packed.headers["vary"] == "accept-encoding"
    assert packed.json() == plain.json()
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 3
    assert "content-encoding" not in endpoint.classify(FAMILY[0]).headers, "an answer is small"
