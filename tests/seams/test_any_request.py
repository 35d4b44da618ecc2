"""Whatever is asked of a running endpoint, it answers as its OpenAPI document says, and is never at fault."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from described import DOCUMENT, OPERATIONS
from schemas import ANYTHING, faults, values
from serving import FAMILY, PICTURE, Endpoint, sentence

# What unloads models comes last.
ASKED = sorted(OPERATIONS, key=lambda operation: operation[0].endswith("unload"))


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with Endpoint(tmp_path_factory.mktemp("asked")) as running:
        yield running
        assert running.log("internal error") == []


@pytest.fixture(scope="module")
def client() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


def bodies(content: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """What `requests` takes for a body of one of these types, good or bad."""

    def of(kind: str) -> st.SearchStrategy[dict[str, Any]]:
        if kind == "application/json":
            return st.fixed_dictionaries({"json": values(content[kind]["schema"]) | ANYTHING})
        data = st.sampled_from([PICTURE, PICTURE[:900], b"{}"]) | st.binary(max_size=64)
        return st.fixed_dictionaries({"data": data, "headers": st.just({"Content-Type": kind})})

    return st.sampled_from(sorted(content)).flatmap(of)


def test_what_does_not_fit_a_schema_is_found() -> None:
    schema = {
        "type": "object",
        "required": ["a"],
        "properties": {"b": {"type": ["array", "null"], "items": {"enum": [1]}}},
    }
    assert faults({"a": 5, "b": [1], "more": {}}, schema) == faults({"a": 5, "b": None}, schema) == []
    assert faults({"b": [2]}, schema) == ["it has no a", "it.b[0] is 2, not one of [1]"]
    assert faults(True, {"type": "integer"}) == ["it is True, not integer"]


@pytest.mark.parametrize(("path", "method"), ASKED)
@settings(max_examples=25)
@given(data=st.data())
def test_any_request(asked: Endpoint, client: requests.Session, path: str, method: str, data: st.DataObject) -> None:
    item = DOCUMENT["paths"][path]
    operation = item[method]
    told = [*item.get("parameters", ()), *operation.get("parameters", ())]
    query = {part["name"]: values(part["schema"]) | st.text(max_size=5) for part in told if part["in"] == "query"}
    model = data.draw(st.sampled_from(["cnnselect", *FAMILY, "nothing"]))
    more = data.draw(bodies(operation["requestBody"]["content"])) if "requestBody" in operation else {}
    headers = dict(more.pop("headers", {}))
    length = next((part for part in told if part["in"] == "header"), None)
    if length and data.draw(st.booleans()):
        headers[length["name"]] = str(data.draw(values(length["schema"])))
    reply = client.request(
        method.upper(),
        asked.url + path.replace("{model}", model).replace("{version}", "1"),
        params=data.draw(st.fixed_dictionaries({}, optional=query)),
        headers=headers,
        timeout=30,
        **more,
    )
    assert str(reply.status_code) in operation["responses"]
    assert reply.status_code < 500 or reply.status_code == 503
    if reply.status_code != 200:
        sentence(reply)
    elif reply.headers.get("content-type") == "application/json":
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        assert faults(reply.json(), schema) == []
