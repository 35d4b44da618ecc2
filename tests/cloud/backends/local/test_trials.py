"""What idle workers are asked between requests; the workers, their queue and the clock are given."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from clock import Clock

from ondevice.cloud.backends.decoding import DecodeTimes
from ondevice.cloud.backends.learning import Learned
from ondevice.cloud.backends.local import trials
from ondevice.cloud.backends.local.learner import Learner
from ondevice.cloud.backends.local.model import LocalModel
from ondevice.cloud.backends.local.trials import Trials
from ondevice.cloud.backends.workers.frames import Message
from ondevice.cloud.backends.workers.pool import Pool
from ondevice.cloud.backends.workers.process import Reply
from ondevice.errors import ModelFaultError, OnDeviceError
from ondevice.protocol.picture import PictureHead
from ondevice.timing.recent import Recent

HEAD = PictureHead.guessed(1000)


class Asked:
    """An idle worker that holds these models, and remembers what it is asked."""

    def __init__(self, *loaded: str) -> None:
        self.loaded = set(loaded)
        self.asked: list[tuple[Message, float, bool]] = []
        self.replies: list[asyncio.Future[Reply]] = []

    def ask(self, message: Message, expected_ms: float = 0.0, loads: bool = False) -> asyncio.Future[Reply]:
        self.asked.append((message, expected_ms, loads))
        self.replies.append(asyncio.get_running_loop().create_future())
        return self.replies[-1]


def known(name: str) -> Learned:
    learned = Learned(name, Recent([2.0] * 20), DecodeTimes((224, 224)), used_at=0.0)
    learned.loaded(50.0, 0.0)
    return learned


class Tried:
    """Trials of the models a and b, met at the time 0, by these workers. queue: what waits for them."""

    def __init__(self, *idle: Asked) -> None:
        self.learner = Learner(2, {}, lambda *_, **__: None)
        for row, name in enumerate("ab"):
            self.learner.models.append(known(name))
            self.learner.table.write(row, self.learner.models[row].invoke.distribution)
        self.queue: list[str] = []
        crew = SimpleNamespace(idle=lambda: [*idle], soonest=lambda now: idle[0] if idle else None)
        models = {m.model: LocalModel(row, f"/{m.model}", 1, m) for row, m in enumerate(self.learner.models)}
        pool = cast(Pool, SimpleNamespace(crew=crew, queue=self.queue))
        self.trials = Trials(models, self.learner, pool)
        self.failed: list[tuple[str, OnDeviceError]] = []

    def remeasure(self, now: float) -> None:
        self.trials.remeasure(now, lambda model, error: self.failed.append((model, error)))


def test_a_model_that_has_not_run_for_long_is_timed_on_an_idle_worker_that_has_it() -> None:
    async def play() -> None:
        other, worker = Asked("/b"), Asked("/a")
        tried = Tried(other, worker)
        tried.remeasure(1.9)
        assert not worker.asked, "it has run lately"
        tried.queue.append("a job")
        tried.remeasure(10.0)
        assert not worker.asked, "others need it"
        tried.queue.clear()
        tried.remeasure(10.0)
        assert (other.asked, worker.asked) == ([], [({"op": "measure", "model": "/a", "runs": 5}, 10.0, False)])
        tried.remeasure(10.0)
        assert len(worker.asked) == 1, "it counts as run"
        assert other.asked[0][0]["model"] == "/b"
        version = tried.learner.table.version
        told: dict[str, Any] = {"invoke_ms": [4.0] * 5, "decode_ms": [1.0], "picture": list(HEAD)}
        worker.replies[0].set_result((told, b""))
        fault = ModelFaultError("it failed", "")
        other.replies[0].set_exception(fault)
        await asyncio.sleep(0)
        assert tried.learner.table.version == version + 1
        assert np.argmax(tried.learner.table.mean_ms) == 0
        assert tried.failed == [("b", fault)]

    asyncio.run(play())


def test_a_model_that_no_idle_worker_has_is_not_timed() -> None:
    async def play() -> None:
        worker = Asked("/c")
        Tried(worker).remeasure(10.0)
        Tried().remeasure(10.0)
        assert not worker.asked

    asyncio.run(play())


def test_a_model_is_checked_by_the_worker_that_is_done_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "monotonic", Clock(0.0))

    async def play() -> None:
        first = Asked()
        assert Tried(first, Asked()).trials.check("b") is first.replies[0]
        assert first.asked == [({"op": "check", "model": "/b"}, 50.0, True)]
        assert Tried().trials.check("b") is None

    asyncio.run(play())
