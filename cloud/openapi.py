"""The OpenAPI document of the service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ondevice._version import __version__
from ondevice.cloud.ask import MOST_ANSWERS, MOST_CLASSES, SHORTEST_MS
from ondevice.cloud.selector import NAME
from ondevice.timing.bounds import LONGEST_MS

Schema = dict[str, Any]
_MS: Schema = {"type": "number", "minimum": 0, "maximum": LONGEST_MS}
_ASK: dict[str, tuple[Schema, str]] = {
    "sla_ms": ({**_MS, "minimum": SHORTEST_MS}, "deadline, from the client's first byte sent"),
    "timeout": ({"type": "number", "minimum": 1, "maximum": LONGEST_MS * 1e3}, "the deadline in µs, as Triton has it"),
    "upload_ms": (_MS, "what the upload takes; measured if not given"),
    "return_ms": (_MS, "what the reply takes; the upload's time if not given"),
    "reply": ({"type": "string"}, "the reply's time given the upload's: slope, upload in ms, 21 rising times in ms"),
    "policy": ({"type": "string"}, "the rule to choose by"),
    "top": ({"type": "integer", "minimum": 1, "maximum": MOST_CLASSES}, "how many classes to give"),
    "device_top1": ({"type": "number", "minimum": 0, "maximum": 1}, "the accuracy that the client has without us"),
    "anytime": (
        {"type": "integer", "minimum": 1, "maximum": MOST_ANSWERS},
        "how many answers to send at most, each better than the last, a line of JSON as soon as it is there",
    ),
}
_ERROR: Schema = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
_REFUSED = {
    "401": "no valid token",
    "404": "no such model",
    "408": "too slow",
    "413": "too large",
    "415": "compressed",
    "503": "not now",
}
_BINARY = "application/octet-stream"
# Responses to one request, one a line.
LINES = "application/x-ndjson"
_JSON_AND_TENSORS: Schema = {"schema": {"type": "string", "format": "binary"}}
_LENGTH: Schema = {
    "name": "Inference-Header-Content-Length",
    "in": "header",
    "schema": {"type": "integer", "minimum": 0},
    "description": "With binary tensors behind the JSON: its length in bytes",
}


def document(models: Sequence[str]) -> Schema:
    """OpenAPI 3.1, for the models served now."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ondevice",
            "version": __version__,
            "description": f"Open Inference Protocol V2 with the virtual model `{NAME}`, which chooses one in time.",
        },
        "paths": _paths(list(models)),
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Error": _ERROR, "InferRequest": _infer_request(), "InferResponse": _infer_response()},
        },
        "security": [{}, {"bearer": []}],
    }


def _paths(models: list[str]) -> Schema:
    chosen = _name("model", models)
    paths: Schema = {
        "/v2": {"get": _operation("Server metadata", _object())},
        "/v2/health/live": {"get": _operation("Whether the server runs", None)},
        "/v2/health/ready": {"get": _operation("Whether it can answer", None)},
        "/v2/repository/index": {
            "post": _operation("All models and their states", {"type": "array", "items": _object()})
        },
        f"/v2/models/{NAME}/select": {
            "post": {**_operation("The decision alone", _object()), "requestBody": _select()}
        },
        "/openapi.json": {"get": _operation("This document", _object())},
        "/metrics": {"get": _operation("Metrics for Prometheus", {"type": "string"}, "text/plain")},
    }
    for prefix, parameters in (
        ("/v2/models/{model}", [chosen]),
        ("/v2/models/{model}/versions/{version}", [chosen, _name("version", ["1"])]),
    ):
        paths[prefix] = {"get": _operation("Model metadata", _object()), "parameters": parameters}
        paths[f"{prefix}/ready"] = {"get": _operation("Whether it can answer", None), "parameters": parameters}
        paths[f"{prefix}/infer"] = {"post": _infer(), "parameters": parameters}
    owned = [_name("model", [model for model in models if model != NAME])]
    for verb in ("load", "unload"):
        operation = _operation(f"{verb.capitalize()} a model", None)
        paths[f"/v2/repository/models/{{model}}/{verb}"] = {"post": operation, "parameters": owned}
    return paths


def _operation(summary: str, schema: Schema | None, kind: str = "application/json") -> Schema:
    good: Schema = {"description": "OK"}
    if schema is not None:
        good["content"] = {kind: {"schema": schema}}
    return {"summary": summary, "responses": {"200": good, **_errors()}}


def _errors() -> Schema:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    known = {"400": "what is wrong with the request", **_REFUSED}
    return {status: {"description": text, "content": content} for status, text in known.items()}


def _infer() -> Schema:
    picture = {"schema": {"type": "string", "contentMediaType": "image/*"}}
    operation = _operation("Classify a picture", {"$ref": "#/components/schemas/InferResponse"})
    query = [
        {"name": name, "in": "query", "schema": schema, "description": f"With a picture as the body: {text}"}
        for name, (schema, text) in _ASK.items()
    ]
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/InferRequest"}}}
    content[_BINARY] = _JSON_AND_TENSORS
    content |= {f"image/{kind}": picture for kind in ("jpeg", "png", "webp")}
    operation["responses"]["200"]["content"] |= {_BINARY: _JSON_AND_TENSORS, LINES: {"schema": {"type": "string"}}}
    return {**operation, "parameters": [*query, _LENGTH], "requestBody": {"required": True, "content": content}}


def _select() -> Schema:
    size = {"bytes": {"type": "integer", "minimum": 0, "description": "the picture's size"}}
    schema = {"type": "object", "properties": {**_ask_schema(), **size}}
    return {"content": {"application/json": {"schema": schema}}}


def _infer_request() -> Schema:
    tensor = {
        "type": "object",
        "required": ["name", "shape", "datatype", "data"],
        "properties": {
            "name": {"type": "string"},
            "shape": {"type": "array", "items": {"type": "integer"}},
            "datatype": {"type": "string"},
            "data": {"type": "array"},
            "parameters": _object(),
        },
    }
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "parameters": {"type": "object", "properties": _ask_schema()},
            "inputs": {"type": "array", "items": tensor, "minItems": 1, "maxItems": 1},
            "outputs": {"type": "array", "items": {"type": "object", "required": ["name"]}},
        },
    }


def _infer_response() -> Schema:
    return {
        "type": "object",
        "required": ["model_name", "outputs"],
        "properties": {"model_name": {"type": "string"}, "parameters": _object(), "outputs": {"type": "array"}},
    }


def _ask_schema() -> Schema:
    return {name: {**schema, "description": text} for name, (schema, text) in _ASK.items()}


def _name(name: str, values: list[str]) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "enum": values}}


def _object() -> Schema:
    return {"type": "object"}
