"""What replies mean: each status is one kind of failure, and what is said of it is one short line."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ondevice.errors import FailureKind, UpstreamError
from ondevice.protocol import replies
from ondevice.protocol.metadata import TensorMetadata
from ondevice.protocol.response import encode_response
from ondevice.protocol.tensor import Tensor


def wrong(act: Callable[[], object]) -> str:
    """What is said of an answer that is not a valid one."""
    with pytest.raises(UpstreamError) as caught:
        act()
    assert caught.value.failure is FailureKind.WRONG
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "rejected"),
        (401, "denied"),
        (403, "denied"),
        (404, "missing"),
        (405, "wrong"),
        (408, "wrong"),
        (413, "rejected"),
        (415, "rejected"),
        (422, "rejected"),
        (429, "busy"),
        (500, "wrong"),
        (503, "busy"),
        (204, "wrong"),
        (302, "wrong"),
        (999, "wrong"),
    ],
)
def test_a_status_is_one_kind_of_failure(status: int, kind: str) -> None:
    failure = replies.refusal("it", status, b"").failure
    assert failure is FailureKind(kind)
    assert failure == kind


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": "no such model"}', "host:1 answers 404: no such model"),
        (b'{"error": "no\\nsuch \\u001b[31mmodel"}', "host:1 answers 404: no such  [31mmodel"),
        (json.dumps({"error": "x" * 1000}).encode(), f"host:1 answers 404: {'x' * 200}"),
        (b'{"error": {"code": 5}}', "host:1 answers 404"),
        (b'{"message": "no"}', "host:1 answers 404"),
        (b"[]", "host:1 answers 404"),
        (b"7", "host:1 answers 404"),
        (b"<h1>Not Found</h1>", "host:1 answers 404"),
        (b"\xff", "host:1 answers 404"),
        (b"[" * 100_000, "host:1 answers 404"),
        (b"", "host:1 answers 404"),
    ],
)
def test_what_it_says_instead_is_repeated_in_one_short_line(body: bytes, said: str) -> None:
    assert str(replies.refusal("host:1", 404, body)) == said


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"name": "kserve", "extensions": ["model_repository_extension"]}', {"model_repository_extension"}),
        (b'{"extensions": ["a", 5, null, "b", "a"]}', {"a", "b"}),
        (b'{"extensions": null}', set()),
        (b'{"extensions": "binary_tensor_data"}', set()),
        (b"{}", set()),
        (b"[]", set()),
        (b'"extensions"', set()),
    ],
)
def test_the_extensions_that_a_server_lists(body: bytes, found: set[str]) -> None:
    assert replies.extensions(body) == found


def test_a_list_of_models_as_kserve_has_it() -> None:
    assert replies.listed_models(b'{"models": ["b", "a", "b", "cnnselect"]}') == ["b", "a"]
    assert replies.listed_models(b'{"models": []}') == []


@pytest.mark.parametrize("body", [b"{}", b"[]", b'["a"]', b'{"models": null}', b'{"models": [1]}', b'{"models": [""]}'])
def test_a_list_of_models_that_is_none(body: bytes) -> None:
    assert wrong(lambda: replies.listed_models(body)) == "its list of models is not one of names"


# Metadata and the repository index


# The last is half a character: a model cannot be asked by a name that no one can encode.
NOT_JSON = [b"", b"<html>", b"\xff", b"{", b"[" * 100_000, b"1" * 5000, b'[{"name": "\\ud800"}]']


@pytest.mark.parametrize("body", NOT_JSON)
@pytest.mark.parametrize("read", [replies.metadata, replies.ready_models])
def test_what_is_not_json(body: bytes, read: Callable[[bytes], object]) -> None:
    assert wrong(lambda: read(body)) == "its answer is not JSON"


def test_metadata() -> None:
    own = {"name": "x", "datatype": "INT8", "shape": [1, 2]}
    found = replies.metadata(json.dumps({"name": "m", "inputs": [own], "parameters": {"top1": 0.5}}).encode())
    assert found == ({"x": TensorMetadata("x", "INT8", (1, 2))}, {}, {"top1": 0.5})


@pytest.mark.parametrize("value", [[], None, "text", 5, {"inputs": 1}, {"inputs": [1]}, {"outputs": [{"name": 5}]}])
def test_what_is_not_metadata(value: Any) -> None:
    assert wrong(lambda: replies.metadata(json.dumps(value).encode())).startswith("its metadata ")


def row(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, **more}


@pytest.mark.parametrize(
    ("rows", "ready"),
    [
        ([], []),
        ([row("a", state="READY"), row("b", state="UNAVAILABLE"), row("c", state="LOADING")], ["a"]),
        ([row("a"), row("b", state=""), row("c", state=None)], ["a", "b", "c"]),
        ([row("cnnselect", state="READY"), row("a", state="READY")], ["a"]),
        ([row("a", version="1", state="UNAVAILABLE"), row("a", version="2", state="READY")], ["a"]),
        ([row("a", version="1", state="READY"), row("a", version="2", state="READY")], ["a"]),
        ([row("a", state="READY"), row("a", state="UNAVAILABLE")], ["a"]),
        ([row("a", state=5), row("b", state="ready")], []),
    ],
)
def test_the_models_that_are_ready(rows: list[dict[str, Any]], ready: list[str]) -> None:
    assert replies.ready_models(json.dumps(rows).encode()) == ready


@pytest.mark.parametrize("value", [{}, None, 5, [1], [row("a"), 1], [{}], [row("")], [{"name": 5}]])
def test_what_is_not_an_index(value: Any) -> None:
    said = wrong(lambda: replies.ready_models(json.dumps(value).encode()))
    assert said == "its repository index is not a list of models"


# Responses


def test_a_response_in_json_and_in_binary() -> None:
    output = Tensor.of("y", np.arange(3, dtype=np.int32))
    for binary in ((), ("y",)):
        body, length = encode_response("m", None, [output], binary=binary)
        (read,) = replies.response(body, None if length is None else str(length)).outputs
        assert isinstance(read.data, np.ndarray)
        assert read.data.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("body", "length"),
    [(b"{}", None), (b"[]", None), (b"<html>", None), (b"", "0"), (b"{}", "99"), (b"{}", "-1"), (b"{}", "two")],
)
def test_what_is_not_a_response(body: bytes, length: str | None) -> None:
    assert wrong(lambda: replies.response(body, length)).startswith("its response is not valid OIP: ")


LABELS, SCORES, INDEXES = [b"cat", b"\xff"], np.array([0.75, 0.25], np.float32), np.array([7, 2], np.int32)


def ranked(labels: Any = LABELS, scores: Any = SCORES, indexes: Any = INDEXES, most: int | None = None) -> Any:
    named = {"label": labels, "score": scores, "index": indexes}
    return replies.ranking([Tensor.of(name, data) for name, data in named.items() if data is not None], most)


def test_a_ranking() -> None:
    assert ranked() == ranked(most=2) == [(7, "cat", 0.75), (2, "\N{REPLACEMENT CHARACTER}", 0.25)]
    assert ranked(scores=SCORES.astype(np.float64)[:, None], indexes=INDEXES.astype(np.uint64)) == ranked()


@pytest.mark.parametrize(
    "changed",
    [
        {"labels": None},
        {"scores": None},
        {"indexes": None},
        {"labels": SCORES},
        {"scores": LABELS},
        {"indexes": LABELS},
        {"labels": [b"cat"]},
        {"labels": [], "scores": SCORES[:0], "indexes": INDEXES[:0]},
        {"scores": np.array([9, 1], np.int32)},
        {"indexes": np.array([7.0, 2.0], np.float32)},
        {"indexes": np.array([7, -1], np.int32)},
        {"most": 1},
    ],
)
def test_what_is_not_a_ranking(changed: dict[str, Any]) -> None:
    assert "label, score, index" in wrong(lambda: ranked(**changed))


@pytest.mark.parametrize("score", [0.0, 1.0, 1 + 3 / 256, -42.5, 3000.0, -65504.0])
def test_scores_that_classifiers_give(score: float) -> None:
    assert ranked(scores=np.array([0.75, score], np.float32))[1][2] == score


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("score", [1e30, -1e30, 65600.0])
def test_scores_that_none_gives(score: float, dtype: type[np.floating[Any]]) -> None:
    said = wrong(lambda: ranked(scores=np.array([0.75, score], dtype)))
    assert said == f"a score of {score:g} is none that a classifier gives"


@pytest.mark.parametrize("score", [np.nan, np.inf, -np.inf])
def test_scores_that_are_no_numbers(score: float) -> None:
    assert wrong(lambda: ranked(scores=np.array([score, 0.25], np.float32))) == "one of its scores is not a number"
