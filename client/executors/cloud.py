"""The endpoint as an executor."""

from __future__ import annotations

from ondevice.client.endpoint.description import Aside, EndpointDescription
from ondevice.client.executors.attempt import Attempt, Task
from ondevice.client.executors.link import EndpointLink, Location
from ondevice.client.executors.request import CloudAttempt, SendOptions
from ondevice.errors import UpstreamError
from ondevice.timing.arrays import FloatArray


class CloudExecutor:
    """Asks the endpoint at a location. aside: runs what blocks or computes.

    link: what leads to it. The endpoint need not be there: until it is, and whenever it is not, attempts fail.
    """

    def __init__(self, location: Location, aside: Aside) -> None:
        self.link = EndpointLink(location, aside)

    @property
    def endpoint(self) -> EndpointDescription | None:
        """What is known of its models; None until they are."""
        return self.link.discovery.endpoint

    @property
    def problem(self) -> UpstreamError | None:
        """Why it failed last, until something succeeds."""
        return self.link.health.problem

    def overhead_ms(self, size_bytes: int) -> FloatArray:
        """[21] equally likely times, ms, of all but the inference, for a picture whose file has this size."""
        return self.link.uploads.overhead_ms(size_bytes, self.endpoint.side if self.endpoint else 0)

    def begin(self, task: Task, options: SendOptions) -> Attempt:
        """Send the task's picture."""
        return CloudAttempt(task, options, self.link)
