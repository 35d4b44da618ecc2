"""The endpoint as an executor."""

from __future__ import annotations

from ondevice.client.endpoint.description import Aside, EndpointDescription
from ondevice.client.executors.attempt import Attempt, Task
from ondevice.client.executors.link import EndpointLink, Location
from ondevice.client.executors.request import CloudAttempt, SendOptions
from ondevice.client.executors.upload_menu import UploadQuestion
from ondevice.client.picture import Picture
from ondevice.client.upload_choice import UploadEstimate, UploadMode
from ondevice.errors import UpstreamError
from ondevice.protocol.rung import Rung


class CloudExecutor:
    """Asks the endpoint at a location. aside: runs what blocks or computes. upload: what may be sent of a picture.

    link: what leads to it. The endpoint need not be there: until it is, and whenever it is not, attempts fail.
    """

    def __init__(self, location: Location, aside: Aside, upload: UploadMode | Rung) -> None:
        self.link = EndpointLink(location, aside, upload)

    @property
    def endpoint(self) -> EndpointDescription | None:
        """What is known of its models; None until they are."""
        return self.link.discovery.endpoint

    @property
    def problem(self) -> UpstreamError | None:
        """Why it failed last, until something succeeds."""
        return self.link.health.problem

    def estimate(self, picture: Picture, within_ms: float, device_top1: float) -> UploadEstimate | None:
        """What is best sent of a picture, and what to expect of it; None while nothing is known.

        within_ms: the time that there is. device_top1: the accuracy in reserve.
        """
        if self.endpoint is None or not self.link.network.known:
            return None
        return self.link.uploads.choose(UploadQuestion(self.endpoint, picture, within_ms, device_top1))

    def begin(self, task: Task, options: SendOptions) -> Attempt:
        """Send the task's picture."""
        return CloudAttempt(task, options, self.link)
