"""What there is of rudeness: servers' bad manners by name, and good HTTP with bodies that answer nothing."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

from good_endpoint import answer
from rude import (
    Behaviour,
    answering,
    cutting,
    deaf,
    dripping,
    early,
    endless,
    http,
    leaving,
    refusal,
    resetting,
    stalling,
)

_GOOD = http(json.dumps(answer()).encode())
_HEAD = _GOOD.index(b"\r\n\r\n") + 4
_CHUNKED = http(headers={"Transfer-Encoding": "chunked"}, length=-1)

# By name: the behaviour, and the failure that a client must see in it.
MANNERS: dict[str, tuple[Behaviour, str]] = {
    "garbage": (leaving(bytes(range(256)) * 20), "wrong"),
    "garbage without end": (endless(b"", b"\xff\x00"), "wrong"),
    "another protocol": (leaving(b"SSH-2.0-OpenSSH_9.6\r\n"), "wrong"),
    "a later HTTP": (leaving(b"HTTP/2.0 200 OK\r\n\r\n"), "wrong"),
    "no status": (leaving(b"HTTP/1.1\r\n\r\n"), "wrong"),
    "a status of letters": (leaving(b"HTTP/1.1 good OK\r\n\r\n"), "wrong"),
    "500": (answering(refusal(500, "oh\nno")), "wrong"),
    "500 in HTML": (answering(http(b"<h1>Internal Server Error</h1>", 500)), "wrong"),
    "404": (answering(refusal(404, "no such model")), "missing"),
    "204": (answering(http(status=204, length=-1)), "wrong"),
    "a redirect": (answering(http(status=302, headers={"Location": "http://127.0.0.1:9/"})), "wrong"),
    "a redirect to itself": (answering(http(status=307, headers={"Location": "/"})), "wrong"),
    "401": (answering(refusal(401, "give a valid token")), "denied"),
    "403": (answering(refusal(403, "not you")), "denied"),
    "401 before the body": (early(refusal(401, "give a valid token")), "denied"),
    "400": (answering(refusal(400, "no picture")), "rejected"),
    "413 before the body": (early(refusal(413, "too large")), "rejected"),
    "503": (answering(refusal(503, "too late", {"Retry-After": "1"})), "busy"),
    "429": (answering(refusal(429, "too often", {"Retry-After": "soon"})), "busy"),
    "closes at once": (lambda visit: None, "cut"),
    "closes after the request": (cutting(_GOOD, 0), "cut"),
    "closes in the status": (cutting(_GOOD, 5), "cut"),
    "closes in the header": (cutting(_GOOD, 30), "cut"),
    "closes in the body": (cutting(_GOOD, _HEAD + 9), "cut"),
    "closes before the last byte": (cutting(_GOOD, len(_GOOD) - 1), "cut"),
    "closes in a chunk": (leaving(_CHUNKED + b"ff\r\nhalf"), "cut"),
    "closes between chunks": (leaving(_CHUNKED + b"4\r\nhalf\r\n"), "cut"),
    "chunks of no size": (leaving(_CHUNKED + b"zz\r\nhalf\r\n0\r\n\r\n"), "wrong"),
    "resets": (resetting, "cut"),
    "resets in the body": (cutting(_GOOD, _HEAD + 9, reset=True), "cut"),
    "stalls": (stalling(_GOOD, 0), "late"),
    "stalls in the status": (stalling(_GOOD, 5), "late"),
    "stalls in the header": (stalling(_GOOD, 40), "late"),
    "stalls before the body": (stalling(_GOOD, _HEAD), "late"),
    "stalls in the body": (stalling(_GOOD, _HEAD + 9), "late"),
    "stalls before the last byte": (stalling(_GOOD, -1), "late"),
    "stalls in a chunk": (stalling(_CHUNKED + b"ff\r\nhalf", 1 << 20), "late"),
    "reads nothing": (deaf, "late"),
    "drips": (dripping(_GOOD), "late"),
    "more to come, always": (endless(b"", b"HTTP/1.1 100 Continue\r\nX: " + b"y" * 1000 + b"\r\n\r\n"), "wrong"),
    "a header without end": (endless(b"HTTP/1.1 200 OK\r\n", b"X: yes\r\n"), "wrong"),
    "a line without end": (endless(b"HTTP/1.1 200 OK\r\nX: ", b"yes"), "wrong"),
    "a body without end": (endless(http(length=-1), b"more"), "wrong"),
    "a body without end of a chunk": (endless(_CHUNKED + b"ffffffffffff\r\n", b"more"), "wrong"),
    "a body without end of chunks": (endless(_CHUNKED, b"190\r\n" + b"more" * 100 + b"\r\n"), "wrong"),
    "a body without end of a chunk of less than nothing": (endless(_CHUNKED + b"-1\r\n", b"more"), "wrong"),
    "a trailer without end": (endless(_CHUNKED + b"0\r\n", b"X: yes\r\n"), "wrong"),
    "too large a body": (endless(http(length=1 << 40), b"more"), "wrong"),
}


def _but(**changes: Any) -> bytes:
    return json.dumps(answer() | changes).encode()


def _outputs(change: Callable[[list[dict[str, Any]]], Any]) -> bytes:
    """The answer, its outputs [label, score, index] changed."""
    made = answer()
    change(made["outputs"])
    return json.dumps(made).encode()


# By name: bodies of a reply to a picture that are none.
NONSENSE: dict[str, bytes] = {
    "nothing": b"",
    "HTML": b"<!doctype html><title>Log in to the Wi-Fi</title>",
    "not UTF-8": b"\xff\xfe\x00",
    "half": _but()[:-20],
    "compressed": gzip.compress(_but()),
    "null": b"null",
    "a number": b"5",
    "a list": b"[]",
    "an object": b"{}",
    "nested": b"[" * 100_000,
    "no outputs": _but(outputs=[]),
    "outputs that are none": _but(outputs=5),
    "null outputs": _but(outputs=None),
    "no label": _outputs(lambda outputs: outputs.pop(0)),
    "no score": _outputs(lambda outputs: outputs.pop(1)),
    "no index": _outputs(lambda outputs: outputs.pop(2)),
    "one twice": _outputs(lambda outputs: outputs.append(outputs[0])),
    "scores for labels": _outputs(lambda outputs: outputs[0].update(datatype="FP32", data=[0.5, 0.5])),
    "scores of whole numbers": _outputs(lambda outputs: outputs[1].update(datatype="INT32", data=[1, 0])),
    "scores of NaN": _outputs(lambda outputs: outputs[1].update(data=[float("nan"), 0.5])),
    "scores of null": _outputs(lambda outputs: outputs[1].update(data=[None, 0.5])),
    "scores without end": _outputs(lambda outputs: outputs[1].update(data=[float("inf"), 0.5])),
    "an index below 0": _outputs(lambda outputs: outputs[2].update(data=[-1, 0])),
    "an index of halves": _outputs(lambda outputs: outputs[2].update(datatype="FP32", data=[0.5, 1])),
    "too few scores": _outputs(lambda outputs: outputs[1].update(shape=[1], data=[0.5])),
    "no classes": _outputs(lambda outputs: [output.update(shape=[0], data=[]) for output in outputs]),
    "another shape": _outputs(lambda outputs: outputs[1].update(shape=[3])),
    "a huge shape": _outputs(lambda outputs: outputs[1].update(shape=[2**31, 2**31])),
    "a shape of letters": _outputs(lambda outputs: outputs[1].update(shape="two")),
    "parameters that are none": _but(parameters=[1]),
}
