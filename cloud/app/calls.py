"""A request on its way through the service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from ondevice.cloud.app.infer import DecodedRequest
from ondevice.cloud.app.messages import Request, Response
from ondevice.cloud.select.arrival import Arrival
from ondevice.protocol.served import Work


class Call(NamedTuple):
    """A request with the model in its path, and what the log will say of it."""

    model: str
    request: Request
    fields: dict[str, Any]


class InferenceCall(NamedTuple):
    """A call for an inference: what it asks, what the choice is to know of it, and what a backend is to do."""

    call: Call
    decoded: DecodedRequest
    arrival: Arrival
    work: Work


# What answers the calls of one route.
Operation = Callable[[Call], Awaitable[Response]]
