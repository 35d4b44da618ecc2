"""What a client has done so far, counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ondevice.answer import Answer
from ondevice.client.flight import Flight
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

    def count(self, answer: Answer | None, flight: Flight | None) -> None:
        """One more request; None: there was no answer, or it had not even begun."""
        self.requests += 1
        if flight:
            self.sent_bytes += flight.progress.cloud.sent_bytes if flight.progress.cloud else 0
            self.both += bool(flight.progress.cloud and flight.progress.device)
            if flight.progress.failure:
                self.failures[flight.progress.failure.failure] += 1
        if answer:
            self.on_time += bool(answer.on_time)
            self.cloud += answer.where == "cloud"
            self.device += answer.where == "device"
