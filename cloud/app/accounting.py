"""What is logged and counted of every request."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from time import perf_counter
from typing import Any

from ondevice.cloud.app import responses, routes
from ondevice.cloud.app.log import Log
from ondevice.cloud.app.messages import Head, Request, Response
from ondevice.cloud.app.metrics import Metrics
from ondevice.errors import OnDeviceError, RefusedError

# A path in the log: ours are shorter, and strangers may send longer ones.
_MOST_CHARACTERS = 200


class Accounting:
    """In this log and these metrics."""

    def __init__(self, log: Log, metrics: Metrics) -> None:
        self._log, self._metrics = log, metrics

    def refuse_unread(self, status: int, message: str) -> Response:
        """An error of which no more is known, as a reply; nor for how long it was on its way."""
        self._metrics.unread(status)
        self._log.request({"status": status, "error": message})
        return responses.refused(status, message)

    def refuse(self, head: Head, status: int, message: str, *headers: tuple[str, str]) -> Response:
        """A refusal before the request was whole."""
        self._done(head, status, {"error": message})
        return responses.refused(status, message, *headers)

    def finished(self, request: Request, status: int, fields: Mapping[str, Any]) -> None:
        """A request has its reply. fields: what else the log is to say of it."""
        self._done(request.head, status, fields, len(request.content))

    def failed(self, fields: dict[str, Any], error: OnDeviceError) -> None:
        """A request ends in this error, which its fields are to say."""
        fields["error"] = str(error)
        if isinstance(error, RefusedError):
            self._metrics.refused()

    def fault(self, head: Head) -> None:
        """The exception that is being handled is a fault of the endpoint."""
        self._log.event("internal error", path=head.path, traceback=traceback.format_exc())

    def _done(self, head: Head, status: int, fields: Mapping[str, Any], size_bytes: int | None = None) -> None:
        total_ms = (perf_counter() - head.first_byte) * 1e3
        self._metrics.request(routes.operation(head.method, head.path), status, total_ms)
        if not self._log.requests:
            return
        asked = {"peer": head.peer, "method": head.method, "path": head.path[:_MOST_CHARACTERS]}
        size = {} if size_bytes is None else {"bytes": size_bytes}
        self._log.request({**asked, "status": status, **size, **fields, "total_ms": total_ms})
