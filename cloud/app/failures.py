"""What a client is told of an error: a status, and `{"error": …}` in one sentence."""

from __future__ import annotations

from ondevice.cloud.app.messages import Response
from ondevice.cloud.app.responses import refused
from ondevice.errors import (
    ImageError,
    ModelError,
    ModelFaultError,
    NoRouteError,
    OnDeviceError,
    PictureMemoryError,
    ProtocolError,
    RefusedError,
    ServeError,
    UpstreamError,
)
from ondevice.protocol import retry_after

# What requests and models end in; all else is a fault of the endpoint.
EXPECTED = (ProtocolError, ImageError, NoRouteError, ModelError, ServeError, UpstreamError)
# What stands in the way has to be mended first, and nobody knows how long that takes: it is worth a look in a second.
_SOON = retry_after.written(1000.0)


def response(error: OnDeviceError) -> Response:
    """The reply for one of the `EXPECTED` errors.

    What those of models and workers say names files and processes of this machine: that is for the log alone.
    """
    match error:
        case RefusedError():
            reason = {retry_after.REASON: retry_after.TIME} if error.for_time else {}
            return refused(503, str(error), *retry_after.written(error.retry_after_s * 1e3), **reason)
        case NoRouteError():
            return refused(error.status, str(error))
        case PictureMemoryError():
            return refused(503, "there is not enough memory to decode this picture now: make it smaller", *_SOON)
        case ProtocolError() | ImageError():
            return refused(400, str(error))
        case ModelFaultError():
            return refused(500, f"{error.model} is faulty, it gave no valid scores for this: ask another model")
        case ModelError() if error.model:
            return refused(503, f"{error.model} cannot be run now: ask another model, or try again", *_SOON)
        case _:
            return refused(503, "the inference failed; try again", *_SOON)
