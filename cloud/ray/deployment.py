"""The endpoint as an application of Ray Serve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ondevice.cloud.ray.asgi import AsgiEntrance
from ondevice.cloud.ray.autoscaling import autoscaling_config
from ondevice.cloud.ray.cluster import serve_address
from ondevice.cloud.ray.replica import RunningReplica
from ondevice.cloud.ray.scaling import ScalingRules
from ondevice.cloud.ray.settings import ReplicaSettings
from ondevice.errors import naming

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
        from ray import serve

        self._replica = RunningReplica(settings, serve.get_replica_context().app_name)

    async def __serve_build_asgi_app__(self) -> AsgiEntrance:
        """Start the endpoint; Ray calls this after `__init__`. Raises OnDeviceError."""
        address = serve_address()
        assert address  # a replica without Ray Serve is none
        await self._replica.start(*address)
        return self._replica.entrance

    def record_autoscaling_stats(self) -> dict[str, float]:
        """What Ray asks for now and then where it decides how many replicas there are."""
        return self._replica.reported()

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


def application(settings: ReplicaSettings, replicas: ScalingRules) -> Application:
    """With these settings so many replicas, or as many as are wanted."""
    if replicas.fixed:
        return deployment(settings).options(num_replicas=replicas.least).bind(settings)
    return deployment(settings).options(autoscaling_config=autoscaling_config(replicas)).bind(settings)


def build(values: dict[str, Any]) -> Application:
    """What `serve run ondevice.cloud.ray:build NAME=VALUE …` runs. Raises UsageError.

    values: those of `ReplicaSettings`, and `replicas`, a number or bounds such as 1..4; without it the deployment's
    options say how many there are.
    """
    values = dict(values)
    replicas = values.pop("replicas", None)
    settings = ReplicaSettings.read(values)
    if replicas is None:
        return deployment(settings).bind(settings)
    with naming("replicas"):
        return application(settings, ScalingRules.read(str(replicas)))
