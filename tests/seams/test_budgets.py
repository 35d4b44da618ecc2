"""What all clients together may cost: a log that nobody reads, bodies without end, connections without number."""

from __future__ import annotations

import contextlib
import os
import resource
import selectors
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from huge import huge
from metrics import samples
from serving import FAMILY, Endpoint, post, resident_bytes, status, until

linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
INFER = "/v2/models/cnnselect/infer"
ONE = ("--models", FAMILY[0])


# A log that nobody reads


REQUESTS = 10_000


def ask_often(endpoint: Endpoint, times: int, statuses: Counter[int]) -> None:
    """On one connection, one request after the other."""
    request = b"GET /v2/models/cnnselect HTTP/1.1\r\nHost: localhost\r\n\r\n"
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


def test_a_pipe_that_is_full_already_does_not_keep_it_from_starting(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    for size in (4096, 1):
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writing, b"\n" * size)
    os.set_blocking(writing, True)
    helped = threading.Timer(60.0, os.read, (reading, 1 << 16))
    helped.start()
    with Endpoint(tmp_path, *ONE, stderr=writing) as running:
        assert running.classify().status_code == 200
        assert running.stop() == 0
    assert helped.is_alive(), "it went on only when somebody read"
    helped.cancel()
    os.close(writing)
    os.close(reading)


def test_without_standard_error_it_serves(tmp_path: Path) -> None:
    command = ["sh", "-c", 'exec "$@" 2>&-', "sh", sys.executable, "-m", "ondevice", "serve", "--port", "0", *ONE]
    environment = {**os.environ, "ONDEVICE_HOME": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        url = next(line for line in process.stdout if line.startswith("http"))
        assert requests.get(url.strip() + "/v2/health/ready", timeout=30).status_code == 200
        process.kill()


@linux
def test_after_a_full_disk_the_log_goes_on_and_its_gap_is_counted(tmp_path: Path) -> None:
    with Endpoint(tmp_path, *ONE) as running:
        usual = resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE)

        def room(size: int) -> None:
            """As on a full disk, no file of the endpoint's grows beyond this."""
            resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (size, usual[1]))

        running.get("/v2")
        until(lambda: running.log("request"))
        full_bytes = len(running.stderr) + 50
        room(full_bytes)
        assert [running.classify().status_code for _ in range(20)] == [200] * 20
        until(lambda: len(running.stderr) == full_bytes)
        room(usual[0])
        running.get("/v2/models/cnnselect")
        until(lambda: any(line["path"] == "/v2/models/cnnselect" for line in running.log("request")))
        dropped = samples(running.ask("GET", "/metrics").text)[("ondevice_log_dropped_total", ())]
        assert sum(gap["lines"] for gap in running.log("log lines dropped")) == dropped >= 1


# Bodies without end


CLIENTS, BODY_BYTES = 100, 15_000_000
MOST_BYTES = 300_000_000


@contextlib.contextmanager
def flood(endpoint: Endpoint, request: bytes, clients: int) -> Iterator[list[int]]:
    """So many clients send this without end as fast as it is taken, and read nothing; what each has sent, in bytes."""
    sent, over = [0] * clients, threading.Event()
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as ready:
        for number in range(clients):
            client = stack.enter_context(endpoint.connect())
            client.setblocking(False)
            ready.register(client, selectors.EVENT_WRITE, number)

        def send() -> None:
            while ready.get_map() and not over.is_set():
                for key, _ in ready.select(0.1):
                    try:
                        sent[key.data] += key.fileobj.send(memoryview(request)[sent[key.data] :])
                    except OSError:  # it was refused
                        ready.unregister(key.fileobj)
                    else:
                        if sent[key.data] == len(request):
                            ready.unregister(key.fileobj)

        thread = threading.Thread(target=send)
        thread.start()
        try:
            yield sent
        finally:
            over.set()
            thread.join()


def settled(sent: list[int]) -> bool:
    """Whether nothing more is taken."""
    before = sum(sent)
    time.sleep(0.5)
    return sum(sent) == before


@linux
def test_a_hundred_unfinished_bodies_do_not_fill_the_memory_and_others_are_served(tmp_path: Path) -> None:
    unfinished = post(INFER, bytes(BODY_BYTES), length=BODY_BYTES + 1)
    with Endpoint(tmp_path, *ONE) as running:
        pid, before = running.process.pid, resident_bytes(running.process.pid)
        with flood(running, unfinished, CLIENTS) as sent:
            until(lambda: sum(sent) > 100_000_000 and settled(sent))
            for _ in range(30):
                assert running.classify(sla_ms=10_000).status_code == 200
            assert resident_bytes(pid, "VmHWM") < MOST_BYTES
            told = samples(running.ask("GET", "/metrics").text)
            assert 0 < told[("ondevice_bodies_bytes", ())] <= 128_000_000
            assert told[("ondevice_bodies_waiting", ())] > CLIENTS / 2
            assert told[("ondevice_connections", ())] == CLIENTS + 1
        until(lambda: resident_bytes(pid) < before + 40_000_000)
        whole = running.ask("POST", INFER, data=bytes(BODY_BYTES), headers={"Content-Type": "image/png"})
        assert whole.status_code == 400
        assert running.log("internal error") == []


@linux
def test_a_hundred_clients_that_pipeline_and_never_read_cost_little(tmp_path: Path) -> None:
    many = b"GET /v2/models/cnnselect HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 100_000
    with Endpoint(tmp_path, *ONE) as running:
        pid, before = running.process.pid, resident_bytes(running.process.pid)
        with flood(running, many, CLIENTS) as sent:
            until(lambda: settled(sent))
            assert running.classify(sla_ms=10_000).status_code == 200
            assert resident_bytes(pid, "VmHWM") < before + 60_000_000


# Pictures of many pixels


@linux
def test_pictures_that_take_much_memory_are_not_decoded_by_all_workers_at_once(tmp_path: Path) -> None:
    with Endpoint(tmp_path, *ONE) as running:
        most_bytes, over, replies = 0, threading.Event(), list[int]()

        def watch() -> None:
            nonlocal most_bytes
            while not over.wait(0.01):
                most_bytes = max(most_bytes, sum(map(resident_bytes, running.workers)))

        def ask() -> None:
            replies.append(running.classify(picture=huge(), sla_ms=100_000).status_code)

        watching, *asking = (threading.Thread(target=target) for target in (watch, ask, ask, ask, ask))
        for thread in (watching, *asking):
            thread.start()
        small = [running.classify(sla_ms=100_000).status_code for _ in range(10)]
        for thread in asking:
            thread.join()
        over.set()
        watching.join()
        assert (replies, small) == ([200] * 4, [200] * 10)
        assert 700_000_000 < most_bytes < 1_200_000_000, "one at a time, and two workers"
