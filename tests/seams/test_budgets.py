"""What all clients together may cost: a log that nobody reads, bodies without end, connections without number."""

from __future__ import annotations

import os
import resource
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from metrics import samples
from serving import FAMILY, Endpoint, status, until

linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
ONE = ("--models", FAMILY[0])


# A log that nobody reads


REQUESTS = 10_000


def ask_often(endpoint: Endpoint, times: int, statuses: Counter[int]) -> None:
    """On one connection, one request after the other."""
    request = b"GET /v2/models/cnnselect HTTP/1.1\r\nHost: x\r\n\r\n"
    with endpoint.connect() as client, client.makefile("rb") as replies:
        for _ in range(times):
            client.sendall(request)
            head = iter(replies.readline, b"\r\n")
            statuses[status(next(head))] += 1
            lengths = [int(line.split(b":")[1]) for line in head if line.startswith(b"content-length")]
            replies.read(lengths[0])


def test_ten_thousand_requests_are_answered_though_nobody_reads_the_log(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with Endpoint(tmp_path, *ONE, stderr=writing) as running:
        statuses: Counter[int] = Counter()
        ask_often(running, REQUESTS, statuses)
        assert statuses == {200: REQUESTS}
        assert running.classify().status_code == 200
        os.set_blocking(writing, False)
        with pytest.raises(BlockingIOError):  # it is as full as can be
            os.write(writing, b"x" * 65536)
        os.set_blocking(writing, True)
        assert running.stop() == 0, "not even its end waits for a reader"
    os.close(writing)
    os.close(reading)


@linux
def test_after_a_full_disk_the_log_goes_on_and_its_gap_is_counted(tmp_path: Path) -> None:
    with Endpoint(tmp_path, *ONE) as running:
        usual = resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE)

        def room(size: int) -> None:
            """As on a full disk, no file of the endpoint's grows beyond this."""
            resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (size, usual[1]))

        running.get("/v2")
        until(lambda: running.log("request"))
        room(len(running.stderr) + 50)
        assert [running.classify().status_code for _ in range(20)] == [200] * 20
        dropped = until(lambda: samples(running.ask("GET", "/metrics").text)[("ondevice_log_dropped_total", ())])
        assert dropped >= 1
        room(usual[0])
        running.get("/v2/models/cnnselect")
        until(lambda: any(line["path"] == "/v2/models/cnnselect" for line in running.log("request")))
        gaps = running.log("log lines dropped")
    assert sum(gap["lines"] for gap in gaps) >= dropped
