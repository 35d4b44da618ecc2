"""The endpoint as an application of Ray Serve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ondevice.cloud.ray.asgi import AsgiEntrance
from ondevice.cloud.ray.cluster import serve_address
from ondevice.cloud.ray.replica import RunningReplica
from ondevice.cloud.ray.settings import ReplicaSettings

if TYPE_CHECKING:
    from ray.serve import Application, Deployment

# Requests that a replica holds at once, all of which wait in its own queue, where what is due first comes first. With 1
# Ray's router backs off by 25, 50, … ms while the worker is idle; over 64 nothing would wait in time for one worker.
ONGOING = 64
# What is wrong with the settings is wrong with the next try too.
_TRIES = 1


class OnDevice:
    """What Ray makes a replica of; its name is the deployment's."""

    def __init__(self, settings: ReplicaSettings) -> None:
        self._replica = RunningReplica(settings)

    async def __serve_build_asgi_app__(self) -> AsgiEntrance:
        """Start the endpoint; Ray calls this after `__init__`. Raises OnDeviceError."""
        address = serve_address()
        assert address  # a replica without Ray Serve is none
        await self._replica.start(*address)
        return self._replica.entrance

    async def __del__(self) -> None:
        await self._replica.close()


def deployment(settings: ReplicaSettings) -> Deployment:
    """One kind of replica; every replica holds all the models."""
    from ray import serve

    return serve.deployment(
        serve.ingress()(OnDevice),
        name="ondevice",
        max_ongoing_requests=ONGOING,
        graceful_shutdown_timeout_s=settings.drain,
        max_constructor_retry_count=_TRIES,
        ray_actor_options={"num_cpus": settings.cpus},
    )


def application(settings: ReplicaSettings, replicas: int) -> Application:
    """So many replicas with these settings."""
    return deployment(settings).options(num_replicas=replicas).bind(settings)


def build(values: dict[str, Any]) -> Application:
    """What `serve run ondevice.cloud.ray:build NAME=VALUE …` runs. Raises UsageError.

    values: those of `ReplicaSettings`. How many replicas there are, the deployment's options say.
    """
    return deployment(settings := ReplicaSettings.read(values)).bind(settings)
