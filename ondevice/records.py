"""Records from files and other processes: a dataclass out of what JSON or TOML holds, every type checked. A leaf.

What a field may be is what its annotation says: text, numbers, true or false, `X | None`, `Any`, lists, tuples, tables
(`dict[str, X]`) and other records; a named tuple is a list there. What else must hold, its class says itself
(`__post_init__`, with ValueError).
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T")

# What a value of a type is called, and what is one. Whole numbers are numbers; true and false are not numbers.
_PLAIN: dict[Any, tuple[str, tuple[type[Any], ...]]] = {
    str: ("text", (str,)),
    bool: ("true or false", (bool,)),
    int: ("a whole number", (int,)),
    float: ("a number", (int, float)),
}


def read(kind: type[T], value: Any, surplus: bool = False) -> T:
    """A `kind` (a dataclass, or a list, tuple or table of them) from a parsed document.

    surplus: whether fields that `kind` itself does not have are passed over; else they are an error. Raises ValueError
    in one line, with the path of the field that is wrong (`latencies[2].infer_ms must be a number, not 'x'`).
    """
    if surplus and isinstance(value, Mapping):
        fields = _fields(typing.cast(Any, kind))
        value = {name: one for name, one in value.items() if name in fields}
    found: T = _read(kind, value, "")
    return found


def _read(kind: Any, value: Any, path: str) -> Any:
    if kind in _PLAIN:
        return _plain(kind, value, path)
    if dataclasses.is_dataclass(kind):
        return _record(kind, value, path)
    if hasattr(kind, "_fields"):
        return _named_tuple(kind, value, path)
    return _composed(kind, value, path)


def _plain(kind: Any, value: Any, path: str) -> Any:
    name, types_ = _PLAIN[kind]
    if not isinstance(value, types_) or (isinstance(value, bool) and kind is not bool):
        raise _wrong(path, name, value)
    return value


def _record(kind: Any, value: Any, path: str) -> Any:
    if not isinstance(value, Mapping):
        raise _wrong(path, "a table of fields", value)
    fields, here = _fields(kind), f"{path}." if path else ""
    if unknown := [name for name in value if name not in fields]:
        raise ValueError(f"unknown field {here + str(unknown[0])!r}")
    if missing := [name for name, (_, needed) in fields.items() if needed and name not in value]:
        raise ValueError(f"{here + missing[0]!r} is missing")
    given = {n: _read(t, value[n], here + n) for n, (t, _) in fields.items() if n in value}
    return _made(kind, given, path)


def _made(kind: Any, given: dict[str, Any], path: str) -> Any:
    try:
        return kind(**given)
    except ValueError as error:
        raise ValueError(f"{path}: {error}" if path else str(error)) from error


def _named_tuple(kind: Any, value: Any, path: str) -> Any:
    return kind(*_read(_as_tuple(kind), value, path))


@functools.cache
def _as_tuple(kind: Any) -> Any:
    hints = tuple(typing.get_type_hints(kind).values())
    return types.GenericAlias(tuple, hints)


def _composed(kind: Any, value: Any, path: str) -> Any:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        (other,) = (one for one in inner if one is not types.NoneType)
        return None if value is None else _read(other, value, path)
    if origin is dict:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise _wrong(path, "a table", value)
        return {key: _read(inner[1], one, f"{path}[{key!r}]") for key, one in value.items()}
    if origin in (tuple, list):
        return _sequence(kind, value, path)
    return value  # Any


def _sequence(kind: Any, value: Any, path: str) -> Any:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if not isinstance(value, list | tuple):
        raise _wrong(path, "a list", value)
    kinds = inner if origin is tuple and inner[-1] is not ... else inner[:1] * len(value)
    if len(kinds) != len(value):
        raise _wrong(path, f"a list of {len(kinds)}", value)
    pairs = zip(kinds, value, strict=True)
    return origin(_read(one, item, f"{path}[{place}]") for place, (one, item) in enumerate(pairs))


@functools.cache
def _fields(kind: Any) -> dict[str, tuple[Any, bool]]:
    """Type of each field that the constructor takes, and whether it must be given."""
    hints, none = typing.get_type_hints(kind), dataclasses.MISSING
    return {
        field.name: (hints[field.name], field.default is none and field.default_factory is none)
        for field in dataclasses.fields(kind)
        if field.init
    }


def _wrong(path: str, wanted: str, value: Any) -> ValueError:
    shown = repr(value)
    return ValueError(f"{path or 'it'} must be {wanted}, not {shown if len(shown) <= 60 else shown[:59] + '…'}")
