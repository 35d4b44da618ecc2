"""A running endpoint does what its OpenAPI document says."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from described import DOCUMENT, OPERATIONS, filled, resolved
from schemas import faults
from serving import FAMILY, PICTURE, Endpoint

from ondevice._version import __version__


def test_the_limits_that_it_states_hold(endpoint: Endpoint) -> None:
    properties = DOCUMENT["paths"]["/v2/models/cnnselect/select"]["post"]["requestBody"]["content"]["application/json"][
        "schema"
    ]["properties"]
    bounded = {name: schema for name, schema in properties.items() if "minimum" in schema}
    assert len(bounded) == 9
    for name, schema in bounded.items():
        wholly = schema["type"] == "integer"
        for bound, beyond in (("minimum", -1 if wholly else -1e-6), ("maximum", 1 if wholly else 1.0)):
            if bound not in schema:
                continue
            assert select(endpoint, {name: schema[bound]}) == 200
            assert select(endpoint, {name: schema[bound] + beyond}) == 400
        assert select(endpoint, {name: None}) == select(endpoint, {name: "1"}) == select(endpoint, {name: True}) == 400


def select(endpoint: Endpoint, parameters: dict[str, Any]) -> int:
    return endpoint.ask("POST", "/v2/models/cnnselect/select", json=parameters).status_code


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_what_is_served_is_as_it_says(endpoint: Endpoint, path: str, method: str) -> None:
    more = {"data": PICTURE, "headers": {"Content-Type": "image/png"}} if path.endswith("infer") else {}
    reply = endpoint.ask(method.upper(), filled(path, FAMILY[0]), **more)
    stated = DOCUMENT["paths"][path][method]["responses"]["200"]
    if path.endswith("unload"):
        endpoint.ask("POST", f"/v2/repository/models/{FAMILY[0]}/load")
    assert reply.status_code == 200
    if "content" not in stated:
        assert reply.content == b""
        return
    kind = reply.headers["content-type"].partition(";")[0]
    assert kind in stated["content"]
    if kind == "application/json":
        assert faults(reply.json(), stated["content"][kind]["schema"]) == []


def test_the_served_document_names_the_served_models(endpoint: Endpoint) -> None:
    served = endpoint.get("/openapi.json")
    assert served["info"]["version"] == __version__
    paths = resolved(served["paths"], served)
    models = paths["/v2/models/{model}/infer"]["parameters"][0]["schema"]["enum"]
    assert models == ["cnnselect", *FAMILY]
    assert paths["/v2/repository/models/{model}/load"]["parameters"][0]["schema"]["enum"] == list(FAMILY)
