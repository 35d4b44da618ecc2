"""What a client is told once, checked before anything is loaded."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ondevice.client.flight import Event
from ondevice.client.planning.plan import Mode
from ondevice.client.upload_choice import UploadMode
from ondevice.errors import UsageError
from ondevice.protocol.cnnselect import MOST_ANSWERS
from ondevice.protocol.rung import Rung
from ondevice.timing.bounds import LONGEST_MS

# From this score on `cascade` takes the device's answer; measured, see docs/offload.md.
CONFIDENT = 0.9


@dataclass(frozen=True)
class Options:
    """What seldom needs setting.

    top: how many classes. confident: the score from which an answer of the device ends a
    request at once; above 1: never; None: CONFIDENT in `cascade`, else never. token: the endpoint's bearer token.
    verify: whether its certificate is checked, or a file with the authorities for it. patience_ms: how long after the
    deadline the cloud is waited for where there is nothing else; None: as long again. anytime: how many models of the
    endpoint may answer a request side by side; the best answer by the deadline counts. host: the Host that the
    endpoint is asked for, where that is not its URL's, as behind KServe's ingress. observe: called with each
    `Event`, on the client's own thread, where all requests wait for it: must be quick. upload: what is sent of a
    picture, an `UploadMode`, or always the same as `SIDE,QUALITY` says, such as `192,40` or `192,40,webp`.
    """

    top: int = 5
    confident: float | None = None
    token: str | None = None
    verify: bool | str | Path = True
    patience_ms: float | None = None
    anytime: int = 1
    observe: Callable[[Event], None] | None = None
    host: str | None = None
    upload: str = UploadMode.AUTO

    def check(self) -> None:
        """Raise UsageError where something cannot be meant."""
        if self.top < 1:
            raise UsageError(f"top must be 1 or more, not {self.top}")
        if not 1 <= self.anytime <= MOST_ANSWERS:
            raise UsageError(f"anytime must be from 1 to {MOST_ANSWERS} answers, not {self.anytime}")
        if self.patience_ms is not None and not 0 <= self.patience_ms <= LONGEST_MS:
            raise UsageError(f"patience must be from 0 ms to an hour, not {self.patience_ms:g}")
        if self.confident is not None and not self.confident > 0:
            raise UsageError(f"confident must be over 0, not {self.confident:g}")
        _ = self.uploads

    @property
    def uploads(self) -> UploadMode | Rung:
        """What is sent of a picture. Raises UsageError."""
        try:
            return UploadMode(self.upload)
        except ValueError:
            return _rung(self.upload)

    def confident_in(self, mode: Mode) -> float:
        """The score from which an answer of the device ends a request; inf: none does."""
        if self.confident is None:
            return CONFIDENT if mode is Mode.CASCADE else math.inf
        return self.confident

    def patient_ms(self, sla_ms: float) -> float:
        """How long after that deadline the cloud is waited for where there is nothing else."""
        return sla_ms if self.patience_ms is None else self.patience_ms


def _rung(text: str) -> Rung:
    if "," not in text:
        raise UsageError(f"no upload '{text[:40]}': there are {', '.join(UploadMode)}, and SIDE,QUALITY")
    return Rung.parse(text)


# What is set where nothing is.
DEFAULT = Options()


def checked_mode(mode: Mode | str) -> Mode:
    """The mode of that name. Raises UsageError."""
    try:
        return Mode(mode)
    except ValueError as error:
        raise UsageError(f"no mode '{mode}': there are {', '.join(Mode)}") from error


def checked_deadline(sla_ms: Any) -> float:
    """A deadline, ms. Raises UsageError."""
    if not isinstance(sla_ms, int | float) or not 0 < sla_ms < math.inf:
        raise UsageError(f"the deadline must be over 0 ms, not {sla_ms}")
    if sla_ms > LONGEST_MS:
        raise UsageError(f"the deadline must be at most an hour, not {sla_ms:g} ms")
    return float(sla_ms)
