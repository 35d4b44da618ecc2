"""A request's parameters, read from its JSON or its query."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

import orjson

from ondevice.cloud.select.parameters import SHORTEST_MS, RequestParameters
from ondevice.errors import ProtocolError, UsageError
from ondevice.protocol import cnnselect
from ondevice.protocol.rung import Rung
from ondevice.selection.replies import ReplyDistribution
from ondevice.timing.bounds import LONGEST_MS

# The picture that a question is about is not there: its size stands in its place.
_OF_QUESTIONS = (*cnnselect.REQUEST, cnnselect.BYTES)
# Of parameters in a query, those that are text; all others are numbers.
_TEXTS = frozenset({cnnselect.POLICY, cnnselect.REPLY, cnnselect.UPLOAD})
# A query has at most eleven parameters of ours; more are an attack on the parser.
_MOST_FIELDS = 20
# A picture of a terabyte is a mistake.
_MOST_BYTES = 1 << 40


def from_parameters(parameters: Mapping[str, Any]) -> RequestParameters:
    """From a request's `parameters`, as JSON has them; other names are left to others. Raises ProtocolError."""
    sla_ms = _number(parameters, cnnselect.SLA_MS, SHORTEST_MS, LONGEST_MS)
    timeout_ms = _timeout_ms(parameters)
    policy = parameters.get(cnnselect.POLICY, "")
    if not isinstance(policy, str):
        raise ProtocolError("policy must be a name")
    return RequestParameters(
        timeout_ms if sla_ms is None else sla_ms,
        _number(parameters, cnnselect.UPLOAD_MS, 0, LONGEST_MS),
        _number(parameters, cnnselect.RETURN_MS, 0, LONGEST_MS),
        policy or None,
        _count(parameters, cnnselect.TOP, 5, cnnselect.MOST_CLASSES),
        _number(parameters, cnnselect.DEVICE_TOP1, 0, 1) or 0.0,
        _reply(parameters),
        _count(parameters, cnnselect.ANYTIME, 1, cnnselect.MOST_ANSWERS),
        _upload(parameters),
        _number(parameters, cnnselect.CROPPED, cnnselect.LEAST_CROPPED, 1) or 1.0,
    )


@lru_cache(512)  # a client's requests often ask for the same
def of_query(text: str) -> Mapping[str, Any]:
    """The parameters in a URL's query, as JSON has them. Raises ProtocolError, for unknown names too."""
    try:
        given = parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise ProtocolError(f"the query has over {_MOST_FIELDS} parameters") from error
    query = dict(given)
    check_names(query, cnnselect.REQUEST)
    if len(query) < len(given):
        raise ProtocolError("a parameter stands twice in the query: give it once")
    return {name: _plain(name, text) for name, text in query.items()}


@lru_cache(512)
def queried(text: str) -> RequestParameters:
    """What a URL's query says, where there is nothing else. Raises ProtocolError."""
    return from_parameters(of_query(text))


def of_request(query: str, body: Mapping[str, Any]) -> RequestParameters:
    """What a URL's query and the parameters in the body behind it say. Raises ProtocolError."""
    return from_parameters(together(of_query(query), body)) if body else queried(query)


def of_body(body: bytes) -> dict[str, Any]:
    """The parameters that a body has as a JSON object, or none. Raises ProtocolError."""
    try:
        value = orjson.loads(body or b"{}")
    except ValueError as error:
        raise ProtocolError("the body must be a JSON object of parameters") from error
    if not isinstance(value, dict):
        raise ProtocolError("the body must be a JSON object of parameters")
    return value


def of_question(query: str, body: bytes) -> Mapping[str, Any]:
    """The parameters of a question for the choice alone. Raises ProtocolError, for unknown names too."""
    given = of_body(body)
    check_names(given, _OF_QUESTIONS)
    return together(of_query(query), given)


def together(query: Mapping[str, Any], body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters of a query and of the body behind it. Raises ProtocolError for what stands in both."""
    twice = query.keys() & body.keys()
    if twice:
        raise ProtocolError(f"{', '.join(sorted(twice))}: give it in the query or in the body, not in both")
    return {**query, **body}


def check_names(parameters: Iterable[str], known: Sequence[str]) -> None:
    """Raise ProtocolError for one that is not known: who sends it believes that it does something."""
    for name in parameters:
        if name not in known:
            there = f"there {'is' if len(known) == 1 else 'are'} {', '.join(known)}"
            raise ProtocolError(f"no parameter {name[:40]!r}: {there}")


def size_bytes(parameters: Mapping[str, Any]) -> int:
    """The parameter `bytes` of a question about a picture that is not sent yet; 0 if it does not say."""
    size = _whole(parameters.get(cnnselect.BYTES, 0))
    if not 0 <= size <= _MOST_BYTES:
        raise ProtocolError("bytes must be the picture's size, a whole number from 0 on")
    return size


def _plain(name: str, text: str) -> Any:
    if name in _TEXTS:
        return text
    try:
        return int(text) if name in (cnnselect.TOP, cnnselect.ANYTIME) else float(text)
    except ValueError as error:
        raise ProtocolError(f"{name} must be a number, not {text[:40]!r}") from error


def _reply(parameters: Mapping[str, Any]) -> ReplyDistribution | None:
    if cnnselect.REPLY not in parameters:
        return None
    text = parameters[cnnselect.REPLY]
    try:
        return ReplyDistribution.parse(text if isinstance(text, str) else "")
    except UsageError as error:
        raise ProtocolError(f"reply: {error}") from error


def _upload(parameters: Mapping[str, Any]) -> Rung | None:
    if cnnselect.UPLOAD not in parameters:
        return None
    text = parameters[cnnselect.UPLOAD]
    try:
        return Rung.parse(text if isinstance(text, str) else "")
    except UsageError as error:
        raise ProtocolError(f"upload: {error}") from error


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


def _timeout_ms(parameters: Mapping[str, Any]) -> float | None:
    """Triton's deadline, which is in µs; 0 means that there is none, and so the server's own."""
    if _whole(parameters.get(cnnselect.TIMEOUT)) == 0:
        return None
    timeout_us = _number(parameters, cnnselect.TIMEOUT, 1, LONGEST_MS * 1e3)
    return None if timeout_us is None else timeout_us / 1e3


def _number(parameters: Mapping[str, Any], name: str, least: float, most: float) -> float | None:
    if name not in parameters:
        return None
    value = parameters[name]
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not least <= value <= most:
        raise ProtocolError(f"{name} must be a number from {least:g} to {most:g}")
    return float(value)
