"""The endpoint beyond one machine, as a deployment of Ray Serve: the same service in every replica, behind Ray's proxy.

Ray is imported inside what needs it: nothing of it is loaded where nobody asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ray.serve import Application


def build(values: dict[str, Any]) -> Application:
    """What `serve run ondevice.cloud.ray:build NAME=VALUE …` runs: values are `settings.ReplicaSettings`' own.

    Raises UsageError.
    """
    from ondevice.cloud.ray import deployment

    return deployment.build(values)


def __getattr__(name: str) -> Application:
    """`app`, which `serve run` and `serve build` take: the endpoint without arguments, made when asked for."""
    if name == "app":
        return build({})
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
