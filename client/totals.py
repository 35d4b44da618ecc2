"""What a client has done so far, counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ondevice.answer import Answer
from ondevice.client.executors.attempt import Ending
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

    def count(self, answer: Answer | None, ending: Ending | None) -> None:
        """One more request. answer: as it was there for whoever asked. None: there was none, or it had not begun."""
        self.requests += 1
        if ending:
            self.sent_bytes += ending.sent_bytes
            self.both += ending.both
            if ending.failure:
                self.failures[ending.failure.failure] += 1
        if answer:
            self.on_time += bool(answer.on_time)
            self.cloud += answer.where == "cloud"
            self.device += answer.where == "device"
