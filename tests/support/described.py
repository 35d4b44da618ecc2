"""The OpenAPI document as tests read it: with what every reference leads to in its place."""

from __future__ import annotations

from typing import Any

from ondevice.cloud.app import openapi


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


def filled(path: str, model: str = "net") -> str:
    return path.replace("{model}", model).replace("{version}", "1")
