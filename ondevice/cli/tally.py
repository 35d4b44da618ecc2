"""What came of a stream of requests: a record for each, and the figures of all."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from ondevice.cli import run
from ondevice.errors import ImageError

if TYPE_CHECKING:
    from ondevice.answer import Answer, Outcome
    from ondevice.client.offload import OffloadClient

# The times of so many answers are kept, for their quantiles: a film's worth, and not more memory for each day of a
# camera's.
_KEPT_TIMES = 100_000


class Graded(NamedTuple):
    """What came of a request, and whether its answer is right, where that is known."""

    outcome: Outcome
    right: bool | None

    def row(self) -> dict[str, Any]:
        """Its answer as a flat record; raises the error where there is none."""
        answer = self.outcome.get()
        return {
            "image": self.outcome.image,
            "label": answer.label,
            "score": answer.score,
            **({} if self.right is None else {"right": self.right}),
            "where": answer.where,
            "model": answer.model,
            "network_ms": answer.network_ms,
            "queue_ms": answer.queue_ms,
            "decode_ms": answer.decode_ms,
            "invoke_ms": answer.invoke_ms,
            "total_ms": answer.total_ms,
            "on_time": answer.on_time,
            "sent_bytes": answer.sent_bytes,
            "upload": answer.upload,
            "why": answer.why,
        }

    def record(self) -> dict[str, Any]:
        """The request as JSON has it: the row and all that `ondevice run` gives of an answer; or `error`."""
        return {**(self.row() if self.outcome.ok else {}), **run.record(self.outcome, None)}


@dataclass
class Tally:
    """Counts requests. has_truth: whether it is known what is right.

    requests: of pictures that could be read. on_time, right, effective (right and on time), cloud: answers. uploads:
    what was sent, wherever the answer came from. times_ms: of the last answers.
    """

    has_truth: bool
    requests: int = 0
    unreadable: int = 0
    on_time: int = 0
    right: int = 0
    effective: int = 0
    cloud: int = 0
    uploads: Counter[str] = field(default_factory=Counter)
    answers: int = 0
    times_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT_TIMES))

    @property
    def pictures(self) -> int:
        """How many pictures were asked about, readable or not."""
        return self.requests + self.unreadable

    @property
    def failed(self) -> int:
        """Pictures without an answer."""
        return self.pictures - self.answers

    def add(self, done: Graded) -> None:
        """Count a request."""
        if isinstance(done.outcome.result, ImageError):
            self.unreadable += 1
            return
        self.requests += 1
        if done.outcome.ok:
            self._add(done.outcome.get(), bool(done.right))

    def _add(self, answer: Answer, right: bool) -> None:
        self.answers += 1
        self.times_ms.append(answer.total_ms)
        self.on_time += bool(answer.on_time)
        self.right += right
        self.effective += right and bool(answer.on_time)
        self.cloud += answer.where == "cloud"
        self.uploads.update([answer.upload] if answer.upload else [])

    def shares(self) -> dict[str, float]:
        """Attainment and effective accuracy of all requests; of the answers, how many are right, and their places."""
        accuracy = {
            "top1": _share(self.right, self.answers),
            "effective_top1": _share(self.effective, self.requests),
        }
        return {
            "attainment": _share(self.on_time, self.requests),
            **(accuracy if self.has_truth else {}),
            "cloud": _share(self.cloud, self.answers),
            "device": _share(self.answers - self.cloud, self.answers),
        }

    def summary(self, client: OffloadClient) -> dict[str, Any]:
        """The figures of all requests, those that the client alone knows included."""
        return {
            "requests": self.requests,
            "unanswered": self.requests - self.answers,
            "unreadable": self.unreadable,
            **self.shares(),
            **_times(self.times_ms),
            "sent_bytes": client.totals.sent_bytes,
            "device_busy_ms": client.device.busy_ms if client.device else 0.0,
            "uploads": dict(self.uploads.most_common()),
            "cloud_failures": dict(client.totals.failures),
        }


def lines(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """A summary as a table of two columns."""
    figures = {key: value for key, value in summary.items() if key not in ("uploads", "cloud_failures")}
    figures |= {f"sent as {upload}": count for upload, count in summary["uploads"].items()}
    figures |= {f"cloud failures: {kind}": count for kind, count in sorted(summary["cloud_failures"].items())}
    return [{"summary": key, "value": value} for key, value in figures.items()]


def _times(times_ms: Iterable[float]) -> dict[str, float]:
    import numpy as np

    values = np.fromiter(times_ms, float)
    p50, p95, most = np.quantile(values, (0.5, 0.95, 1.0)).tolist() if values.size else (math.nan,) * 3
    return {"p50_ms": p50, "p95_ms": p95, "max_ms": most}


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
