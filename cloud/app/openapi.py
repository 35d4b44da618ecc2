"""The OpenAPI document of the service: the file beside this module, what all its operations have in common, and what is
only known when it is served.
"""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ondevice._version import __version__
from ondevice.protocol import cnnselect

# What any request may end in.
_ERRORS = ("400", "401", "403", "404", "408", "413", "415", "503")
_OF_MODEL, _OF_VERSION = "/v2/models/{model}", "/v2/models/{model}/versions/{version}"


def document(models: Sequence[str]) -> dict[str, Any]:
    """OpenAPI 3.1, as JSON has it, for the models served now; all but `cnnselect` can be loaded and unloaded."""
    made = copy.deepcopy(_complete())
    made["info"]["version"] = __version__
    parameters = made["components"]["parameters"]
    parameters["model"]["schema"]["enum"] = list(models)
    parameters["loadable"]["schema"]["enum"] = [model for model in models if model != cnnselect.NAME]
    return made


@functools.cache
def _complete() -> dict[str, Any]:
    made: dict[str, Any] = json.loads(Path(__file__).with_name("openapi.json").read_text(encoding="utf-8"))
    paths = made["paths"]
    _add_request_parameters(paths[f"{_OF_MODEL}/infer"]["post"], made["components"])
    paths.update(
        [(path.replace(_OF_MODEL, _OF_VERSION), _of_version(paths[path])) for path in paths if _OF_MODEL in path]
    )
    for operation in _operations(paths):
        operation["responses"].update({status: _reference("responses", status) for status in _ERRORS})
    return made


def _add_request_parameters(infer: dict[str, Any], components: dict[str, Any]) -> None:
    """What a request may say stands in an object of JSON, or in the query."""
    properties: dict[str, Any] = components["schemas"]["Parameters"]["properties"]
    chosen = components["schemas"]["SelectRequest"]["properties"]
    components["schemas"]["SelectRequest"]["properties"] = {**properties, **chosen}
    for name, schema in properties.items():
        plain = {key: value for key, value in schema.items() if key != "description"}
        parameter = {"name": name, "in": "query", "description": schema["description"], "schema": plain}
        components["parameters"][name] = parameter
    infer["parameters"] += [_reference("parameters", name) for name in properties]


def _of_version(item: dict[str, Any]) -> dict[str, Any]:
    """A path of a model as it stands under its version."""
    made = copy.deepcopy(item)
    made["parameters"].append(_reference("parameters", "version"))
    for operation in _operations({"": made}):
        operation["operationId"] += "OfVersion"
    return made


def _operations(paths: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (operation for item in paths.values() for key, operation in item.items() if key != "parameters")


def _reference(kind: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/components/{kind}/{name}"}
