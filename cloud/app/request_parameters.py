"""A request's parameters, read from its JSON or its query."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from ondevice.cloud.select.parameters import SHORTEST_MS, RequestParameters
from ondevice.errors import ProtocolError, UsageError
from ondevice.protocol import cnnselect
from ondevice.selection.replies import ReplyDistribution
from ondevice.timing.bounds import LONGEST_MS

# A picture of a terabyte is a mistake.
_MOST_BYTES = 1 << 40


def from_parameters(parameters: Mapping[str, Any]) -> RequestParameters:
    """From a request's `parameters`, as JSON has them; other names are left to others. Raises ProtocolError."""
    sla_ms = _number(parameters, cnnselect.SLA_MS, SHORTEST_MS, LONGEST_MS)
    timeout_us = _number(parameters, cnnselect.TIMEOUT, 1, LONGEST_MS * 1e3)
    if sla_ms is None and timeout_us is not None:
        sla_ms = timeout_us / 1e3
    policy = parameters.get(cnnselect.POLICY, "")
    if not isinstance(policy, str):
        raise ProtocolError("policy must be a name")
    return RequestParameters(
        sla_ms,
        _number(parameters, cnnselect.UPLOAD_MS, 0, LONGEST_MS),
        _number(parameters, cnnselect.RETURN_MS, 0, LONGEST_MS),
        policy or None,
        _count(parameters, cnnselect.TOP, 5, cnnselect.MOST_CLASSES),
        _number(parameters, cnnselect.DEVICE_TOP1, 0, 1) or 0.0,
        _reply(parameters),
        _count(parameters, cnnselect.ANYTIME, 1, cnnselect.MOST_ANSWERS),
    )


def from_query(query: Mapping[str, str]) -> RequestParameters:
    """From a URL's query, in which all are text. Raises ProtocolError, for unknown names too."""
    for name in query:
        if name not in cnnselect.REQUEST:
            raise ProtocolError(f"no parameter '{name}': there are {', '.join(cnnselect.REQUEST)}")
    return from_parameters({name: _plain(name, text) for name, text in query.items()})


def of_body(body: bytes) -> dict[str, Any]:
    """The parameters that a body has as a JSON object, or none. Raises ProtocolError."""
    try:
        value = orjson.loads(body or b"{}")
    except ValueError as error:
        raise ProtocolError("the body must be a JSON object of parameters") from error
    if not isinstance(value, dict):
        raise ProtocolError("the body must be a JSON object of parameters")
    return value


def size_bytes(parameters: Mapping[str, Any]) -> int:
    """The parameter `bytes` of a question about a picture that is not sent yet; 0 if it does not say."""
    size = _whole(parameters.get(cnnselect.BYTES, 0))
    if not 0 <= size <= _MOST_BYTES:
        raise ProtocolError("bytes must be the picture's size, a whole number from 0 on")
    return size


def _plain(name: str, text: str) -> Any:
    if name in (cnnselect.POLICY, cnnselect.REPLY):
        return text
    try:
        return int(text) if name in (cnnselect.TOP, cnnselect.ANYTIME) else float(text)
    except ValueError as error:
        raise ProtocolError(f"{name} must be a number, not '{text[:40]}'") from error


def _reply(parameters: Mapping[str, Any]) -> ReplyDistribution | None:
    text = parameters.get(cnnselect.REPLY)
    if text is None:
        return None
    try:
        return ReplyDistribution.parse(text if isinstance(text, str) else "")
    except UsageError as error:
        raise ProtocolError(f"reply: {error}") from error


def _count(parameters: Mapping[str, Any], name: str, usual: int, most: int) -> int:
    count = _whole(parameters.get(name, usual))
    if not 1 <= count <= most:
        raise ProtocolError(f"{name} must be a whole number from 1 to {most}")
    return count


def _whole(value: Any) -> int:
    """A whole number, which JSON may write as 5.0; -1 for all else."""
    if type(value) is float and value.is_integer():
        return int(value)
    return value if type(value) is int else -1


def _number(parameters: Mapping[str, Any], name: str, least: float, most: float) -> float | None:
    if name not in parameters:
        return None
    value = parameters[name]
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not least <= value <= most:
        raise ProtocolError(f"{name} must be a number from {least:g} to {most:g}")
    return float(value)
