"""The variables by which Ray and Ray Serve are told, before they are imported, what no function of theirs takes."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from ondevice.errors import ServeError

MODE = "RAY_AUTH_MODE"
_TOKEN = "token"
# What a replica stays reachable for while HAProxy is told that it goes: it waits 0.1 s for more news, and then takes
# some 0.5 s to start anew on a busy machine with two cores. Ray's own 30 s are for clouds' load balancers.
_LEAVES_S = 2
# A Ray of ours: HAProxy, whose frontend passes requests to replicas in 1.4 ms where Ray's own proxy takes 6.6.
_FAST = {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1", "RAY_SERVE_ENABLE_HA_PROXY": "1"}


def refuse_without_tokens(given: Mapping[str, str]) -> None:
    """Raise ServeError where these variables keep Ray from asking for a token: who reaches its ports could run code."""
    if (mode := given.get(MODE, _TOKEN)).lower() != _TOKEN:
        raise ServeError(
            f"{MODE}={mode} lets anybody who reaches Ray's ports run code on this machine: unset it, or set it to token"
        )


def embedded(folder: Path, token: Path, connections: int, send_s: float, idle_s: float) -> dict[str, str]:
    """For a Ray of this machine alone, all of whose files lie in `folder`."""
    haproxy = folder / "h"  # short: a socket's path has 97 characters at most, and Ray puts 57 between
    stats, metrics, http, grpc = map(str, free_ports(4))
    return {
        **_FAST,
        MODE: _TOKEN,
        "RAY_AUTH_TOKEN_PATH": str(token),
        # Without a cluster Ray's own services listen on loopback; so it is on Windows and macOS unless this is 1.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(haproxy / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(haproxy / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(haproxy),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(haproxy / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(haproxy / "metrics.sock"),
        # Each request would be told to a process in Python; the endpoint counts them itself.
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
        "RAY_SERVE_HAPROXY_STATS_PORT": stats,
        "RAY_SERVE_HAPROXY_METRICS_PORT": metrics,
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": http,
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": grpc,
        "RAY_SERVE_HAPROXY_MAXCONN": str(connections),
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": str(max(1, round(max(send_s, idle_s)))),
        "RAY_SERVE_HAPROXY_NBTHREAD": str(min(4, os.cpu_count() or 1)),
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "10",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": str(_LEAVES_S),
    }


def free_ports(count: int) -> list[int]:
    """So many different ports that nobody has now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("", 0))
        return [one.getsockname()[1] for one in sockets]


def listening_beyond_loopback(variables: Mapping[str, str]) -> list[tuple[str, int]]:
    """What others can reach of a Ray with these variables, besides the endpoint, and on which port."""
    return [
        ("HAProxy's statistics", int(variables["RAY_SERVE_HAPROXY_STATS_PORT"])),
        ("HAProxy's metrics", int(variables["RAY_SERVE_HAPROXY_METRICS_PORT"])),
    ]
