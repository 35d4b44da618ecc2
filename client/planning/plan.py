"""Where a request goes: the decision as pure functions of what is known."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import NamedTuple

from ondevice.client.upload_choice import UploadChoice, UploadEstimate

# So much more accuracy must be expected of the cloud for `auto` to send: one more right answer in a hundred, for less
# is within the error of the estimates and costs an upload.
MIN_GAIN_TOP1 = 0.01
_ALL_THE_SAME = ", tried all the same"


class Mode(enum.StrEnum):
    """Where requests may go. device: here, always. cloud: there, always. hedge: there, with the device in reserve.

    auto: here alone, or hedged, whichever is expected to have more answers that are right and on time. cascade: here
    first, and there only if that answer is unsure and asking is expected to gain in the time that is left.
    """

    DEVICE = "device"
    CLOUD = "cloud"
    HEDGE = "hedge"
    AUTO = "auto"
    CASCADE = "cascade"


class Plan(NamedTuple):
    """What is done with a request. device_at_ms: when the device begins, after the call; inf: only if the cloud fails.

    explore: whether the reply is waited for, beside and after the answer, for what it tells of the network. upload:
    what is sent; None: that is chosen when the endpoint is known.
    """

    send: bool
    device_at_ms: float
    why: str
    explore: bool = False
    upload: UploadChoice | None = None

    def unexplored(self) -> Plan:
        """The device alone, where the cloud would have been tried all the same."""
        return Plan(False, 0.0, f"{self.why.removesuffix(_ALL_THE_SAME)}, not tried: too much of late has failed")


@dataclass(frozen=True)
class DeviceEstimate:
    """The device's model for a request. chance: to be on time. top1: its accuracy. latest_ms: when it must begin."""

    top1: float
    chance: float
    latest_ms: float

    @property
    def effective_top1(self) -> float:
        """The expected effective accuracy of the device alone."""
        return self.top1 * self.chance


def auto(device: DeviceEstimate, cloud: UploadEstimate | None, exploring: bool) -> Plan:
    """The device alone, or the cloud with the device in reserve. cloud: None while nothing is known.

    exploring: whether it is time to try the cloud though nothing is expected of it.
    """
    if cloud is None:
        return Plan(True, device.latest_ms, "the cloud is not known yet")
    expected, upload = cloud.effective_top1, cloud.choice
    if expected >= device.effective_top1 + MIN_GAIN_TOP1:
        why = f"cloud expected: {expected:.3f} against {device.effective_top1:.3f}"
        return Plan(True, device.latest_ms, why, upload=upload)
    why = f"device expected: {device.effective_top1:.3f}, cloud {expected:.3f}"
    if exploring:
        return Plan(True, 0.0, why + _ALL_THE_SAME, explore=True, upload=upload)
    return Plan(False, 0.0, why)


def cascade(
    score: float, left_ms: float, device: DeviceEstimate, cloud: UploadEstimate | None, exploring: bool
) -> Plan:
    """For a device's answer that is there and unsure: whether the cloud is asked in the time that is left.

    device: of that answer. cloud: for the time left; None while nothing is known. exploring: as in `auto`.
    """
    plan = auto(device, cloud, exploring) if left_ms > 0 else Plan(False, 0.0, "no time is left")
    return plan._replace(why=f"the device was unsure: {score:.3f}; {plan.why}")


def fixed(mode: Mode, device: DeviceEstimate | None, cloud: UploadEstimate | None = None) -> Plan:
    """For the modes that decide no place. device: None without a model on the device."""
    if mode is Mode.DEVICE:
        return Plan(False, 0.0, "device only")
    upload = cloud.choice if cloud else None
    if mode is Mode.CLOUD or device is None:
        return Plan(True, math.inf, "cloud only", upload=upload)
    return Plan(True, device.latest_ms, "hedged", upload=upload)
