"""How a request ended, in words: why this answer was taken, or why there is none."""

from __future__ import annotations

from ondevice.client.planning.plan import Plan
from ondevice.client.progress import Progress
from ondevice.errors import FailureKind, ImageError, OffloadError, OnDeviceError


def waited_in_vain(progress: Progress, plan: Plan) -> bool:
    """Whether the device's answer was held for one of the cloud, for that answer's sake, which has not come."""
    instead = progress.best is not None and progress.best.attempt is progress.device
    return instead and progress.cloud in progress.pending and not plan.explore


def why(progress: Progress, plan: Plan, in_vain: bool, confident: bool) -> str:
    """The plan's reason, and what became of it. in_vain: the cloud was late. confident: so was the device."""
    assert progress.best
    attempt = progress.best.attempt
    if attempt.where == "cloud":
        return f"{plan.why}, sent as {attempt.upload}" if "," in attempt.upload else plan.why
    if not plan.send or plan.explore:
        return plan.why
    if in_vain:
        return "the cloud was late"
    if progress.failure:
        return f"the cloud failed: {progress.failure}"
    if confident and progress.cloud in progress.pending:
        return "the device was confident"
    return "the device's answer is worth more"


def why_none(progress: Progress, has_device: bool) -> OnDeviceError:
    """What is raised instead of an answer."""
    error, failure = progress.error, progress.failure
    if error and (has_device or isinstance(error, ImageError)):
        return error
    if failure is None:
        return OffloadError("there is neither an endpoint nor a model on the device to ask", FailureKind.REFUSED)
    beside = "" if has_device else "; no model on the device"
    return OffloadError(f"no answer from the cloud: {failure}{beside}", failure.failure)
