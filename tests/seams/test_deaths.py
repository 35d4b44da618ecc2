"""Workers that are killed while clients ask."""

from __future__ import annotations

import os
import random
import signal
import threading
from pathlib import Path

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from asked import asked
from huge import huge
from serving import FAMILY, Endpoint, resident_bytes, until

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the workers in /proc")

# None of them in a hurry.
CLIENTS, PATIENT_MS = 6, 60_000
# More than a worker takes for any picture but a huge one, and less than half of what it takes for that.
MOST_BYTES = 300_000_000


def test_killed_workers_cost_no_answer_and_are_replaced(tmp_path: Path) -> None:
    with Endpoint(tmp_path) as running:
        rng, killed = random.Random(7), 0
        with asked(running, CLIENTS, sla_ms=PATIENT_MS) as statuses:
            for _ in range(5):
                pids = rng.sample(running.workers, rng.randint(1, 2))
                for pid in pids:
                    os.kill(pid, signal.SIGKILL)
                killed += len(pids)
                until(lambda n=killed: [len(running.log(f"worker {what}")) for what in ("died", "started")] == [n, n])
                answered = statuses[200]
                until(lambda n=answered: statuses[200] > n + 2 * CLIENTS)
        assert set(statuses) == {200}
        assert {line["reason"] for line in running.log("worker died")} == {"a worker process ended (SIGKILL)"}
        assert len(running.workers) == 2
        assert running.log("internal error") == []


def test_a_picture_that_ends_workers_takes_no_other_request_with_it(tmp_path: Path) -> None:
    """As where memory is short: whichever worker takes too much is killed by the system."""
    with Endpoint(tmp_path, "--models", FAMILY[0]) as running:
        over = threading.Event()

        def watch() -> None:
            while not over.wait(0.01):
                for pid in running.workers:
                    if resident_bytes(pid) > MOST_BYTES:
                        os.kill(pid, signal.SIGKILL)

        watching = threading.Thread(target=watch)
        watching.start()
        with asked(running, CLIENTS, sla_ms=PATIENT_MS) as statuses:
            bad = [running.classify(picture=huge(), sla_ms=60_000).status_code for _ in range(3)]
        over.set()
        watching.join()
        assert bad == [503] * 3
        assert len(running.log("worker died")) == 2 * len(bad), "it was tried twice, each time"
        assert set(statuses) == {200}
        assert running.log("internal error") == []
