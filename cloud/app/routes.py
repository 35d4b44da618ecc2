"""The paths of the service: which operation, on which model."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from ondevice.errors import NoRouteError
from ondevice.protocol import cnnselect


class Route(NamedTuple):
    """An operation of the service and, for most, the model's name."""

    operation: str
    model: str = ""


_FIXED = {
    "/v2": ("GET", "server"),
    "/v2/health/live": ("GET", "live"),
    "/v2/health/ready": ("GET", "ready"),
    "/v2/models/stats": ("GET", "all_stats"),
    "/v2/repository/index": ("POST", "index"),
    "/metrics": ("GET", "metrics"),
    "/openapi.json": ("GET", "openapi"),
}
_MODEL = {
    "": ("GET", "model"),
    "ready": ("GET", "model_ready"),
    "config": ("GET", "config"),
    "stats": ("GET", "stats"),
    "infer": ("POST", "infer"),
    "select": ("POST", "select"),
}
# The operation of what leads nowhere.
UNKNOWN = "unknown"
_REPOSITORY = {"load": ("POST", "load"), "unload": ("POST", "unload")}


@lru_cache(512)  # strangers name them
def find(method: str, path: str) -> Route:
    """The route of a request. Raises NoRouteError."""
    path = path.rstrip("/") or "/"
    wanted, operation, model = (*_FIXED.get(path, ("", "")), "")
    if not operation:
        wanted, operation, model = _of_model(path.split("/")[1:], path)
    allowed = (wanted, "HEAD") if wanted == "GET" else (wanted,)
    if method not in allowed:
        raise NoRouteError(f"{path[:200]} takes {wanted}, not {method}", 405, ", ".join(allowed))
    return Route(operation, model)


def operation(method: str, path: str) -> str:
    """The operation of a request, for counting; `options`: what browsers ask before their pages may."""
    try:
        return find(method, path).operation
    except NoRouteError:
        return "options" if method == "OPTIONS" else UNKNOWN


def _of_model(parts: list[str], path: str) -> tuple[str, str, str]:
    match parts:
        case ["v2", "models", model, "versions", version, *rest] if len(rest) <= 1:
            if version != cnnselect.VERSION:
                raise NoRouteError(f"no version '{version[:40]}' of {model[:100]}: there is {cnnselect.VERSION}", 404)
            table = _MODEL
        case ["v2", "models", model, *rest] if len(rest) <= 1:
            table = _MODEL
        case ["v2", "repository", "models", model, *rest] if len(rest) == 1:
            table = _REPOSITORY
        case _:
            raise _unknown(path)
    if (rest or [""])[0] not in table:
        raise _unknown(path)
    return *table[(rest or [""])[0]], model


def _unknown(path: str) -> NoRouteError:
    return NoRouteError(f"no such path: {path[:200]}; GET /openapi.json lists all", 404)
