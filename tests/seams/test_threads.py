"""One client asked by many threads at once: no answer is mixed up, no request lost, and one thread writes it all."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from serving import FAMILY, Endpoint

from ondevice import Answer, OffloadClient, Runner
from ondevice.client.executors.compression_times import CompressionTimes
from ondevice.client.executors.health import CloudHealth
from ondevice.client.network import NetworkEstimates
from ondevice.client.offload import Options
from ondevice.client.planning.exploration import Exploration
from ondevice.models import zoo
from ondevice.resilience.breaker import Breaker
from ondevice.resilience.pushback import Pushback
from ondevice.resilience.retry_budget import RetryBudget
from ondevice.timing.recent import Recent

PATHS = sorted(zoo.samples_dir().glob("*/*.png"))
THREADS, REQUESTS = 16, 1000
LONG_MS = 60_000.0
# All that writes what a client knows.
WRITERS = [
    *((NetworkEstimates, name) for name in ("add", "replied", "add_late", "connected", "forget")),
    *((Breaker, name) for name in ("failed", "succeeded", "probe")),
    *((RetryBudget, name) for name in ("failed", "succeeded")),
    *((CloudHealth, name) for name in ("failed", "succeeded")),
    (Pushback, "said"), (CompressionTimes, "learn"), (Exploration, "planned"), (Recent, "add"),
]  # fmt: skip


def asked_by_many(client: OffloadClient, count: int) -> list[Answer]:
    """The answers to so many pictures in turn, by their number."""
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(lambda number: client.classify(PATHS[number % len(PATHS)]), range(count)))


def test_no_answer_is_mixed_up_and_the_totals_are_exact(endpoint: Endpoint) -> None:
    runners = {name: Runner(name) for name in FAMILY}
    expected = {name: [runner.classify(path).index for path in PATHS] for name, runner in runners.items()}
    file = Options(upload="file")  # of which it is known what each model makes of it
    with OffloadClient(endpoint.url, "digits_xs_int8", LONG_MS, "hedge", file) as client:
        assert client.ready(60)
        answers = asked_by_many(client, REQUESTS)
    for number, answer in enumerate(answers):
        assert answer.index == expected[answer.model][number % len(PATHS)]
    totals = client.totals
    assert (totals.requests, totals.cloud + totals.device) == (REQUESTS, REQUESTS)
    assert totals.on_time == sum(bool(answer.on_time) for answer in answers)
    assert totals.sent_bytes == sum(answer.sent_bytes for answer in answers)
    assert totals.cloud == sum(answer.where == "cloud" for answer in answers)


@pytest.fixture
def writers(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of the threads that write what a client knows."""
    seen: set[str] = set()

    def watched(method: Callable[..., Any]) -> Callable[..., Any]:
        def write(self: Any, *arguments: Any, **more: Any) -> Any:
            seen.add(threading.current_thread().name)
            return method(self, *arguments, **more)

        return write

    for owner, name in WRITERS:
        monkeypatch.setattr(owner, name, watched(getattr(owner, name)))
    return seen


@pytest.mark.parametrize("mode", ["device", "cloud", "hedge", "auto", "cascade"])
def test_only_the_clients_own_thread_writes_what_it_knows(endpoint: Endpoint, writers: set[str], mode: str) -> None:
    with OffloadClient(endpoint.url, "digits_xs_int8", LONG_MS, mode) as client:
        client.ready(60)
        writers.clear()
        asked_by_many(client, 200)
        client.network_changed()
        asked_by_many(client, 50)
    assert writers == {"ondevice-client"}
