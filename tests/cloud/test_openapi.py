"""The OpenAPI document: that it is one, and that it says what the endpoint does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from serving import FAMILY, PICTURE, Endpoint

from ondevice._version import __version__
from ondevice.cloud import openapi, request_parameters, routes
from ondevice.errors import NoRouteError
from ondevice.protocol import cnnselect, headers


def resolved(node: Any, document: dict[str, Any]) -> Any:
    """With what every reference leads to in its place, beside what stands beside the reference."""
    if isinstance(node, list):
        return [resolved(item, document) for item in node]
    if not isinstance(node, dict):
        return node
    plain = {key: resolved(value, document) for key, value in node.items() if key != "$ref"}
    if "$ref" not in node:
        return plain
    there = resolved(followed(node["$ref"], document), document)
    return {
        **there,
        **plain,
        **({"properties": there["properties"] | plain["properties"]} if "properties" in plain else {}),
    }


def followed(reference: str, document: dict[str, Any]) -> Any:
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


WRITTEN = openapi.document(["cnnselect", "net"])
DOCUMENT = resolved(WRITTEN, WRITTEN)
OPERATIONS = [
    (path, method) for path, item in DOCUMENT["paths"].items() for method in item if method in ("get", "post", "put")
]


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with Endpoint(tmp_path_factory.mktemp("home"), "--models", FAMILY[0]) as running:
        yield running


def filled(path: str, model: str = "net") -> str:
    return path.replace("{model}", model).replace("{version}", "1")


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_operation_has_a_route_and_its_own_parameters(path: str, method: str) -> None:
    assert routes.find(method.upper(), filled(path)).operation
    item = DOCUMENT["paths"][path]
    named = {parameter["name"] for parameter in item.get("parameters", []) if parameter["in"] == "path"}
    assert named == set(re.findall(r"\{(\w+)\}", path))
    assert item[method]["summary"]
    assert {"200", "400", "401", "404", "503"} <= set(item[method]["responses"])


def test_every_route_is_in_the_document() -> None:
    documented = {routes.find(method.upper(), filled(path)).operation for path, method in OPERATIONS}
    known = {operation for _, operation in (*routes._FIXED.values(), *routes._MODEL.values())}
    assert documented == known | set(routes._REPOSITORY)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_other_methods_are_not_allowed(path: str, method: str) -> None:
    with pytest.raises(NoRouteError) as caught:
        routes.find("PUT", filled(path))
    assert (caught.value.status, method.upper() in caught.value.allowed) == (405, True)


def test_the_query_of_a_picture_and_the_body_of_a_question_take_the_same_parameters() -> None:
    infer = DOCUMENT["paths"]["/v2/models/{model}/infer"]["post"]
    query = {parameter["name"] for parameter in infer["parameters"] if parameter["in"] == "query"}
    select = DOCUMENT["paths"]["/v2/models/cnnselect/select"]["post"]["requestBody"]["content"]["application/json"]
    assert query == set(cnnselect.REQUEST)
    assert set(select["schema"]["properties"]) == query | {cnnselect.BYTES}


def test_the_names_of_headers_and_kinds_of_bodies_are_the_protocols() -> None:
    infer = DOCUMENT["paths"]["/v2/models/{model}/infer"]["post"]
    assert [p["name"] for p in infer["parameters"] if p["in"] == "header"] == [headers.LENGTH]
    assert {headers.JSON, headers.BINARY} < set(infer["requestBody"]["content"])
    assert set(infer["responses"]["200"]["content"]) == {headers.JSON, headers.BINARY, headers.LINES}


def test_its_limits_are_the_codes() -> None:
    properties = WRITTEN["components"]["schemas"]["Parameters"]["properties"]
    times = (0, request_parameters.LONGEST_MS)
    assert {
        name: (schema["minimum"], schema["maximum"]) for name, schema in properties.items() if "maximum" in schema
    } == {
        "sla_ms": (request_parameters.SHORTEST_MS, request_parameters.LONGEST_MS),
        "timeout": (1, request_parameters.LONGEST_MS * 1e3),
        "upload_ms": times,
        "return_ms": times,
        "top": (1, cnnselect.MOST_CLASSES),
        "device_top1": (0, 1),
        "anytime": (1, cnnselect.MOST_ANSWERS),
    }


def test_every_component_is_referred_to() -> None:
    references = set(re.findall(r"'\$ref': '([^']+)'", str(WRITTEN)))
    components = WRITTEN["components"]
    for kind in ("parameters", "responses", "schemas"):
        named = {f"#/components/{kind}/{name}" for name in components[kind]}
        assert named <= {reference.partition("/properties")[0] for reference in references}


def test_the_limits_that_it_states_hold(endpoint: Endpoint) -> None:
    properties = DOCUMENT["paths"]["/v2/models/cnnselect/select"]["post"]["requestBody"]["content"]["application/json"][
        "schema"
    ]["properties"]
    bounded = {name: schema for name, schema in properties.items() if "minimum" in schema}
    assert len(bounded) == 8
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
        schema = stated["content"][kind]["schema"]
        assert isinstance(reply.json(), list if schema["type"] == "array" else dict)
        assert all(name in reply.json() for name in schema.get("required", ()))


def test_the_served_document_names_the_served_models(endpoint: Endpoint) -> None:
    served = endpoint.get("/openapi.json")
    assert served["info"]["version"] == __version__
    paths = resolved(served["paths"], served)
    models = paths["/v2/models/{model}/infer"]["parameters"][0]["schema"]["enum"]
    assert models == ["cnnselect", FAMILY[0]]
    assert paths["/v2/repository/models/{model}/load"]["parameters"][0]["schema"]["enum"] == [FAMILY[0]]
