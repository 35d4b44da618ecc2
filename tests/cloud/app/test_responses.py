"""Replies are compressed where that is asked for and worth it."""

from __future__ import annotations

import gzip
from collections.abc import AsyncGenerator

import numpy as np
import pytest

pytest.importorskip("orjson", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from ondevice.cloud.app import responses
from ondevice.cloud.app.messages import Piece, Response
from ondevice.protocol.response import encode_response
from ondevice.protocol.tensor import Tensor

BODY = b"and so on, " * 1000


@pytest.mark.parametrize("accepted", ["gzip", "identity", "", None])
def test_a_large_reply_is_compressed_for_who_asks_for_it_and_tells_caches(accepted: str | None) -> None:
    status, headers, body = responses.compressed(Response(200, (responses.JSON,), BODY), accepted)
    packed = accepted == "gzip"
    told = (("content-encoding", "gzip"),) if packed else ()
    assert (status, headers) == (200, (responses.JSON, ("vary", "accept-encoding"), *told))
    assert isinstance(body, bytes)
    assert (gzip.decompress(body) if packed else body) == BODY


@pytest.mark.parametrize("body", [b"", BODY[: responses._WORTH_BYTES - 1]])
def test_a_small_reply_goes_as_it_is(body: bytes) -> None:
    reply = Response(200, (), body)
    assert responses.compressed(reply, "gzip") is reply


def test_answers_that_come_one_by_one_go_as_they_are() -> None:
    async def pieces() -> AsyncGenerator[Piece, None]:
        yield Piece(BODY, last=True)

    reply = Response(200, (), pieces())
    assert responses.compressed(reply, "gzip") is reply


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False])
def test_tritons_client_reads_what_is_compressed(coding: str, binary: bool) -> None:
    client = pytest.importorskip("tritonclient.http", reason="needs `pip install 'tritonclient[http]'`")
    names, index = [b"class %d" % n for n in range(5000)], np.arange(5000, dtype=np.int32)
    told = [Tensor.of("label", names), Tensor.of("index", index)]
    body, length = encode_response("net", "1", told, binary={"label", "index"} if binary else ())
    packed = responses.compressed(Response(200, (), body), coding)
    assert isinstance(packed.body, bytes)
    assert len(packed.body) < len(body) / 2
    read = client.InferenceServerClient.parse_response_body(
        packed.body, header_length=length, content_encoding=dict(packed.headers)["content-encoding"]
    )
    assert read.as_numpy("index").tolist() == index.tolist()
    assert read.as_numpy("label").tolist() == (names if binary else [name.decode() for name in names])
