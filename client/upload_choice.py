"""What is to be sent of a picture, as it is wished and as it was chosen."""

from __future__ import annotations

import enum
from typing import NamedTuple

from ondevice.protocol.rung import Rung


class UploadMode(enum.StrEnum):
    """What is sent of a picture. auto: whatever is expected to have most answers that are right and on time. scaled:
    its file, or as much as the endpoint's models look at, whichever is there sooner. file: its file.
    """

    AUTO = "auto"
    SCALED = "scaled"
    FILE = "file"


class UploadChoice(NamedTuple):
    """What is to be sent. rung: None for the file as it is. size_bytes: to expect of this picture; usual_bytes: of any
    that is made that. crop: the share of the shorter side that is cut out. told: whether the endpoint is told what it
    gets.
    """

    rung: Rung | None
    size_bytes: float
    usual_bytes: float = 0.0
    crop: float = 1.0
    told: bool = False


class UploadEstimate(NamedTuple):
    """What is best sent, and the effective accuracy to expect of asking so."""

    choice: UploadChoice
    effective_top1: float
