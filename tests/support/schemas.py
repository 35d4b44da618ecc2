"""JSON Schema, as much of it as the OpenAPI document uses: what of a value does not fit one, and values that do."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

Values = st.SearchStrategy[Any]

_KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "object": (dict,),
    "array": (list,), "null": (type(None),),
}  # fmt: skip
ANYTHING: Values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


def kinds(schema: dict[str, Any]) -> list[str]:
    """What a value may be; none: anything."""
    given = schema.get("type", [])
    return [given] if isinstance(given, str) else given


def faults(value: Any, schema: dict[str, Any], where: str = "it") -> list[str]:
    """What does not fit, each with where it stands."""
    allowed = kinds(schema)
    if allowed and not any(type(value) in _KINDS[kind] for kind in allowed):
        return [f"{where} is {value!r:.60}, not {' or '.join(allowed)}"]
    found = [] if value in schema.get("enum", [value]) else [f"{where} is {value!r:.60}, not one of {schema['enum']}"]
    if isinstance(value, dict):
        found += [f"{where} has no {name}" for name in schema.get("required", ()) if name not in value]
        properties = schema.get("properties", {})
        for name in properties.keys() & value.keys():
            found += faults(value[name], properties[name], f"{where}.{name}")
    if isinstance(value, list):
        for number, item in enumerate(value):
            found += faults(item, schema.get("items", {}), f"{where}[{number}]")
    return found


def values(schema: dict[str, Any]) -> Values:
    """Values that fit."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    return st.one_of([_of_kind(kind, schema) for kind in kinds(schema)]) if kinds(schema) else ANYTHING


def _of_kind(kind: str, schema: dict[str, Any]) -> Values:
    least, most = schema.get("minimum"), schema.get("maximum")
    match kind:
        case "string":
            return st.text(max_size=20)
        case "integer":
            return st.integers(least, most)
        case "number":
            return st.floats(least, most, allow_nan=False, allow_infinity=False)
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
        case "array":
            few = min(schema.get("maxItems", 3), 3)
            return st.lists(values(schema.get("items", {})), min_size=schema.get("minItems", 0), max_size=few)
    parts = {name: values(part) for name, part in schema.get("properties", {}).items()}
    must = {name: parts.pop(name) for name in schema.get("required", ())}
    return st.fixed_dictionaries(must, optional=parts)
