"""A Ray that is there: this process is its driver, and may ask it to serve."""

from __future__ import annotations

import contextlib
import io
import logging
import re
from typing import TYPE_CHECKING, Any

from ondevice.errors import ServeError

if TYPE_CHECKING:
    from ray.serve import Application

# The name of what is served, among others on a cluster.
NAME = "ondevice"
# To a question without a token the answer comes at once, or not at all.
_ASKED_S = 10.0
# What anybody may ask of a Ray that wants no token.
_QUESTION = "/ray.rpc.JobInfoGcsService/GetAllJobInfo"
# The last line of a traceback of ours in what is said of a deployment that did not start.
_OWN_ERROR = re.compile(r"^ondevice\.errors\.\w+: (.+)$", re.MULTILINE)

# Ray's messages may hold whole tracebacks.
_MOST_CHARACTERS = 500


class Cluster:
    """Connected with `connect`, left with `close`."""

    # Whether nobody else has it serve anything, and whether this is served.
    _alone = _serving = False

    def connect(self, **options: Any) -> None:
        """Connect as `ray.init` does with these options. Raises ServeError, and where no token is asked for."""
        import ray

        logging.getLogger("ray").setLevel(logging.ERROR)
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, namespace=NAME, **options)
        except Exception as error:
            raise ServeError(f"Ray cannot be started or reached: {_line(error)}") from error
        address = ray.get_runtime_context().gcs_address
        if answers_anybody(address):
            raise ServeError(f"the Ray at {address} asks for no token: start it with RAY_AUTH_MODE=token")

    def serve(self, application: Application, host: str, port: int) -> None:
        """Have it serve this there, and wait until it does. Raises ServeError."""
        from ray import serve

        logging.getLogger("ray.serve").setLevel(logging.ERROR)
        self._alone = serve_address() is None
        try:
            serve.start(proxy_location="HeadOnly", http_options={"host": host, "port": port})
            serve.run(application, name=NAME, route_prefix="/")
        except Exception as error:
            raise ServeError(_why(error)) from error
        self._serving = True

    def close(self) -> None:
        """Have it serve this no more, and leave it to its other users."""
        import ray
        from ray import serve

        # Ray prints what it thinks of its controller's end, and standard output is for the result.
        with contextlib.redirect_stdout(io.StringIO()):
            if self._serving:
                with contextlib.suppress(Exception):  # it may be gone already
                    serve.shutdown() if self._alone else serve.delete(NAME)
            ray.shutdown()


def serve_address() -> tuple[str, int] | None:
    """Where the Ray Serve of this process's Ray listens; None where none runs."""
    from ray.serve.context import _get_global_client

    client = _get_global_client(raise_if_no_controller_running=False)
    if client is None:
        return None
    options = client.http_config
    return options.host or "0.0.0.0", options.port


def answers_anybody(address: str) -> bool:
    """Whether the Ray at HOST:PORT answers who has no token."""
    import grpc

    with grpc.insecure_channel(address) as channel:
        ask = channel.unary_unary(_QUESTION)
        try:
            ask(b"", timeout=_ASKED_S)
        except grpc.RpcError as error:
            return error.code() is not grpc.StatusCode.UNAUTHENTICATED
    return True


def _why(error: Exception) -> str:
    """What of ours went wrong in a replica, if that is known; else what Ray says."""
    from ray import serve

    said = ""
    with contextlib.suppress(Exception):  # Ray Serve itself may not have started
        said = "\n".join(d.message for d in serve.status().applications[NAME].deployments.values())
    own = _OWN_ERROR.findall(said)
    return own[-1] if own else f"Ray Serve did not start: {_line(error)}"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:_MOST_CHARACTERS] or type(error).__name__
