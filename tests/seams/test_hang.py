"""Workers that stand still while clients ask: nobody waits for them, and they are replaced."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest
import requests

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from serving import Endpoint, sentence, until

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the workers in /proc")


def test_both_workers_stand_still_and_every_client_hears_of_it_by_its_deadline(tmp_path: Path) -> None:
    """Seen once: replies after 25 to 30 s to requests of 200 ms, `ready` all the while, and certain to be in time."""
    with Endpoint(tmp_path) as running:
        stopped = running.workers
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        replies: list[requests.Response] = []
        threads = [threading.Thread(target=lambda: replies.append(running.classify(sla_ms=200))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # They heard of it by a timer: the workers have not been found out yet.
        assert running.log("worker died") == []
        assert {reply.status_code for reply in replies} == {503}
        decision = running.ask("POST", "/v2/models/cnnselect/select", json={"sla_ms": 100})
        assert decision.status_code == 503, "nobody is told that it would be in time for certain"
        assert all("within 200 ms" in sentence(reply) for reply in replies)
        until(lambda: running.ask("GET", "/v2/health/ready").status_code == 503)
        until(lambda: running.ask("GET", "/v2/health/ready").status_code == 200)
        until(lambda: len(running.log("worker started")) == 2)
        assert not set(running.workers) & set(stopped)
        assert [running.classify(sla_ms=1000).status_code for _ in range(5)] == [200] * 5


def test_a_patient_request_that_one_worker_hangs_with_is_answered_by_another(tmp_path: Path) -> None:
    with Endpoint(tmp_path) as running:
        for pid in running.workers:
            os.kill(pid, signal.SIGSTOP)
        reply = running.classify(sla_ms=60_000)
        assert reply.status_code == 200
        assert len(running.log("worker died")) >= 1


def test_idle_workers_that_stand_still_are_found_without_any_request(tmp_path: Path) -> None:
    with Endpoint(tmp_path) as running:
        stopped = running.workers
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        until(lambda: running.ask("GET", "/v2/health/ready").status_code == 503)
        until(lambda: running.ask("GET", "/v2/health/ready").status_code == 200)
        until(lambda: len(running.log("worker started")) == 2)
        assert not set(running.workers) & set(stopped)
        assert {line["reason"].partition(" for ")[0] for line in running.log("worker died")} == {
            "a worker process was killed: it had not answered"
        }
