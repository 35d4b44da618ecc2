"""What a client has done so far, counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ondevice.answer import Answer
from ondevice.errors import FailureKind


@dataclass
class Totals:
    """requests: all, answered or not. on_time, cloud, device: answers. both: requests that began at both.

    sent_bytes: bodies sent. failures: requests that the cloud failed, by kind, LATE among them.
    """

    requests: int = 0
    on_time: int = 0
    cloud: int = 0
    device: int = 0
    both: int = 0
    sent_bytes: int = 0
    failures: Counter[FailureKind] = field(default_factory=Counter)

    def count(self, answer: Answer | None, sent_bytes: int, both: bool) -> None:
        """One more request; answer: None where there was none."""
        self.requests += 1
        self.sent_bytes += sent_bytes
        self.both += both
        if answer:
            self.on_time += bool(answer.on_time)
            self.cloud += answer.where == "cloud"
            self.device += answer.where == "device"
