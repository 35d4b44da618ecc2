"""The OpenAPI document: that it is one, and that it says what the endpoint does."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")


from described import DOCUMENT, OPERATIONS, WRITTEN, filled

from ondevice.cloud.app import request_parameters, routes
from ondevice.errors import NoRouteError, UsageError
from ondevice.protocol import cnnselect, headers
from ondevice.protocol.rung import Compression, Rung
from ondevice.selection.replies import ReplyDistribution


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_operation_has_a_route_and_its_own_parameters(path: str, method: str) -> None:
    assert routes.find(method.upper(), filled(path)).operation
    item = DOCUMENT["paths"][path]
    named = {parameter["name"] for parameter in item.get("parameters", []) if parameter["in"] == "path"}
    assert named == set(re.findall(r"\{(\w+)\}", path))
    assert item[method]["summary"]
    assert {"200", "400", "401", "403", "404", "503"} <= set(item[method]["responses"])


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
        "timeout": (0, request_parameters.LONGEST_MS * 1e3),
        "upload_ms": times,
        "return_ms": times,
        "top": (1, cnnselect.MOST_CLASSES),
        "device_top1": (0, 1),
        "anytime": (1, cnnselect.MOST_ANSWERS),
        "cropped": (cnnselect.LEAST_CROPPED, 1),
    }


def test_an_upload_is_described_as_it_is_read() -> None:
    schema = WRITTEN["components"]["schemas"]["Parameters"]["properties"]["upload"]
    for text in (*schema["examples"], Rung(64, 90, Compression.WEBP).text, "64,90,jpeg"):
        assert re.search(schema["pattern"], text)
        assert Rung.parse(text).side in (64, 192, 224)
    for text in ("", "224", "224,75,png", "224,75,webp,1"):
        assert not re.search(schema["pattern"], text)
        with pytest.raises(UsageError):
            Rung.parse(text)


def test_the_times_of_replies_are_described_as_they_are_read_and_written() -> None:
    schema = WRITTEN["components"]["schemas"]["Parameters"]["properties"]["reply"]
    (example,) = schema["examples"]
    read = ReplyDistribution.parse(example)
    tiny = ReplyDistribution(read.points_ms * 1e-9, 1e-9, 1e5)
    for text in (example, read.text, tiny.text):
        assert re.search(schema["pattern"], text)
    assert not re.search(schema["pattern"], "")
    assert not re.search(schema["pattern"], example + ",200")


def test_generators_of_clients_find_a_name_and_types_for_everything() -> None:
    operations = [WRITTEN["paths"][path][method] for path, method in OPERATIONS]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() for name in names)
    for operation in operations:
        for kind, content in operation["responses"]["200"].get("content", {}).items():
            schema = content["schema"]
            typed = "$ref" in schema or "$ref" in schema.get("items", ()) or kind != headers.JSON
            assert typed or operation["operationId"] == "openapi"
    # Few follow a reference into a schema's properties.
    assert not re.search(r"'#/components/\w+/\w+/", str(WRITTEN))
    for schema in WRITTEN["components"]["schemas"].values():
        assert "type" in schema


def test_every_component_is_referred_to() -> None:
    references = set(re.findall(r"'\$ref': '([^']+)'", str(WRITTEN)))
    components = WRITTEN["components"]
    for kind in ("parameters", "responses", "schemas"):
        named = {f"#/components/{kind}/{name}" for name in components[kind]}
        assert named <= {reference.partition("/properties")[0] for reference in references}
