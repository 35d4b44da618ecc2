"""More requests than can be answered in time: its workers are held until all have come, whatever the machine does."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from serving import FAMILY, Endpoint, known_to_take, sentence, until

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the workers in /proc")

BEST = FAMILY[3]
CLIENTS = 12
# What the models are told to take: one of the best fits into this deadline, and not one after two others.
TIMES_MS, SLA_MS = (100, 200, 300, 400), 650


@contextlib.contextmanager
def held(endpoint: Endpoint, sla_ms: float = SLA_MS) -> Iterator[list[requests.Response]]:
    """Many clients at once, whose requests are not answered before the end; and their replies, as they come."""
    replies: list[requests.Response] = []
    workers = endpoint.workers
    threads = [
        threading.Thread(target=lambda: replies.append(endpoint.classify(sla_ms=sla_ms))) for _ in range(CLIENTS)
    ]
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    for thread in threads:
        thread.start()
    try:
        yield replies
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
        for thread in threads:
            thread.join()


def waiting(endpoint: Endpoint) -> int:
    """How many requests wait for a worker."""
    lines = endpoint.ask("GET", "/metrics").text.splitlines()
    return int(float(next(line for line in lines if line.startswith("ondevice_waiting")).split()[-1]))


def test_what_cannot_be_in_time_is_refused(endpoint: Endpoint, tmp_path: Path) -> None:
    profiles = known_to_take(endpoint, tmp_path, *TIMES_MS)
    with Endpoint(tmp_path, "--profiles", profiles, "--overload", "refuse", believing=True) as running:
        with held(running) as replies:
            until(lambda: replies)
            assert {reply.status_code for reply in replies} == {503}
        assert {reply.status_code for reply in replies} == {200, 503}
        for reply in replies:
            if reply.status_code == 503:
                assert f"no model can answer within {SLA_MS} ms now" in sentence(reply)
                assert (reply.json()["reason"], int(reply.headers["retry-after"]) >= 1) == ("time", True)
                assert 0 <= int(reply.headers["retry-after-ms"]) <= int(reply.headers["retry-after"]) * 1000
        assert running.classify(sla_ms=60_000).status_code == 200
        metrics = running.ask("GET", "/metrics").text
    refused = sum(reply.status_code == 503 for reply in replies)
    assert f"ondevice_refused_total {refused:.1f}" in metrics.splitlines()


def test_or_served_all_the_same_and_by_cheaper_models(endpoint: Endpoint, tmp_path: Path) -> None:
    profiles = known_to_take(endpoint, tmp_path, *TIMES_MS)
    with Endpoint(tmp_path, "--profiles", profiles, "--overload", "best-effort", believing=True) as running:
        with held(running) as replies:
            until(lambda: waiting(running) == CLIENTS - 2)
            time.sleep(SLA_MS / 1e3)
        assert [reply.status_code for reply in replies] == [200] * CLIENTS
        until(lambda: len(running.log("request")) >= CLIENTS)
    assert not any(line["on_time"] for line in running.log("request") if "on_time" in line)
    chosen = [reply.json()["parameters"]["selected_model"] for reply in replies]
    assert chosen.count(BEST) >= 2, "each of the two workers had one before it was held"
    assert len(chosen) - chosen.count(BEST) > 5


def test_clients_in_a_hurry_are_served_before_patient_ones_that_came_first(endpoint: Endpoint, tmp_path: Path) -> None:
    """Seen once: beside 12 connections at 2000 ms none of 12 at 50 ms was served, and all of the others."""
    profiles = known_to_take(endpoint, tmp_path, *TIMES_MS)
    with Endpoint(tmp_path, "--profiles", profiles, believing=True) as running:
        with held(running, sla_ms=60_000) as patient:
            until(lambda: waiting(running) == CLIENTS - 2)  # by the best: two seconds of work for two workers
            hurried: list[requests.Response] = []
            thread = threading.Thread(target=lambda: hurried.append(running.classify(sla_ms=1800)))
            thread.start()
            until(lambda: hurried or waiting(running) == CLIENTS - 1)
        thread.join()
        assert [reply.status_code for reply in hurried] == [200]
        assert [reply.status_code for reply in patient] == [200] * CLIENTS


def test_those_who_are_refused_raise_the_price_for_those_with_more_time(endpoint: Endpoint, tmp_path: Path) -> None:
    """Seen once: only what stood in the queue had a price, and what found no place in it had none."""
    profiles = known_to_take(endpoint, tmp_path, *TIMES_MS)
    with Endpoint(tmp_path, "--profiles", profiles, believing=True) as running:

        def chosen() -> str:
            choice = running.ask("POST", "/v2/models/cnnselect/select", json={"sla_ms": 60_000}).json()
            return str(choice["selected_model"])

        with held(running, sla_ms=60_000) as patient:
            until(lambda: waiting(running) == CLIENTS - 2)
            assert chosen() == BEST
            time.sleep(1.0)  # what is at work takes so much longer than was to be expected
            for _ in range(20):
                assert running.classify(sla_ms=TIMES_MS[0] + 300).status_code == 503
            assert chosen() != BEST
        assert [reply.status_code for reply in patient] == [200] * CLIENTS
