"""Workers that are killed while clients ask."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from serving import Endpoint, sentence, until


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the workers in /proc")
def test_killed_workers_cost_no_answer_and_are_replaced(tmp_path: Path) -> None:
    with Endpoint(tmp_path) as running:
        rng, stop = random.Random(7), threading.Event()
        statuses: Counter[int] = Counter()
        complaints: list[str] = []

        def client() -> None:
            while not stop.is_set():
                reply = running.classify(sla_ms=1000)
                statuses[reply.status_code] += 1
                if reply.status_code != 200:
                    complaints.append(sentence(reply))

        threads = [threading.Thread(target=client) for _ in range(6)]
        for thread in threads:
            thread.start()
        for _ in range(5):
            time.sleep(0.3)
            for pid in rng.sample(running.workers, rng.randint(1, 2)) if running.workers else []:
                os.kill(pid, signal.SIGKILL)
        died = until(lambda: running.log("worker died"))
        until(lambda: len(running.log("worker started")) >= len(running.log("worker died")))
        before = statuses[200]
        until(lambda: statuses[200] > before + 50)
        stop.set()
        for thread in threads:
            thread.join()
        assert set(statuses) <= {200, 503}
        assert died[0]["reason"] == "a worker process ended (SIGKILL)"
        assert len(running.workers) == 2
        assert [running.classify().status_code for _ in range(5)] == [200] * 5
        assert running.log("internal error") == []
