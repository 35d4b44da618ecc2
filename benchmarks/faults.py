"""What one client, one file or one other server does to everybody else, as a figure each.

    python benchmarks/faults.py [--only hang,gone,deaths,stall,log,bodies,unread,idle,pixels] [--against PYTHON]

With `--against PYTHON` that environment's version is shown beside this one. With the bundled models, on Linux.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import selectors
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import versions
from exile import huge
from load import Load, Sent
from serving import Running, serving

from ondevice.cli import console
from ondevice.models import zoo

FAST, GOOD = "digits_xs_int8", "digits_l_int8"
PICTURE = min(zoo.samples_dir().glob("7/*.png")).read_bytes()
INFER = "/v2/models/cnnselect/infer"
QUIET = "--no-log-requests"
# Longer than 0.1.0 takes to find out that a worker hangs, 30 s.
PATIENCE_S = 45.0
# Between two looks at a process.
STEP_S = 0.02

Figures = dict[str, Any]
By = versions.Side | None


def hang(by: By) -> Figures:
    """Both workers stand still: the longest reply to requests of 200 ms, and when `ready` says so, and heals; s."""
    with serving([Path(FAST)], QUIET, by=by) as server:
        for pid in children(server.pid):
            os.kill(pid, signal.SIGSTOP)
        begun, told = time.monotonic(), {}

        def watch() -> None:
            for status in (503, 200):
                told[status] = after(begun, lambda status=status: ready(server) == status)

        watching = threading.Thread(target=watch)
        watching.start()
        sent = asyncio.run(at_once(server.url, 8, "sla_ms=200"))
        watching.join()
        return {
            "longest reply, s": max(one.latency_ms for one in sent) / 1e3,
            "ready says no after, s": told[503],
            "and yes after, s": told[200],
        }


def gone(by: By) -> Figures:
    """The better model's file is removed, and the workers are killed: of 30 requests those that are answered."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(shutil.copy(zoo.find(name).path, folder)) for name in (FAST, GOOD)]
        with serving(paths, QUIET, by=by) as server:
            paths[1].unlink()
            for pid in children(server.pid):
                os.kill(pid, signal.SIGKILL)
            time.sleep(5.0)  # others take their places
            sent = asyncio.run(Load(server.url, [PICTURE], "sla_ms=5000").one_by_one(30))
            return {"answered, of 30": sum(one.status == 200 for one in sent)}


def deaths(by: By) -> Figures:
    """Three pictures for which a worker is killed at 300 MB: of the other requests those that fail."""
    with serving([Path(FAST)], QUIET, by=by) as server, watching_memory(server.pid, kill_bytes=300_000_000):
        statuses, over = Counter[int](), threading.Event()

        def client() -> None:
            while not over.is_set():
                statuses[post(server, PICTURE, "sla_ms=60000")] += 1

        threads = [threading.Thread(target=client) for _ in range(6)]
        for thread in threads:
            thread.start()
        for _ in range(3):
            post(server, huge(), "sla_ms=60000")
        over.set()
        for thread in threads:
            thread.join()
        return {"others failed": sum(n for status, n in statuses.items() if status != 200)}


def stall(by: By) -> Figures:
    """Another server stalls over three requests: what is expected of a model here before and after, ms."""
    with (
        serving([Path(GOOD)], QUIET, by=by) as behind,
        serving([Path(FAST)], QUIET, "--upstream", base(behind), by=by) as server,
    ):
        before = expected_ms(server)
        os.kill(behind.pid, signal.SIGSTOP)
        asyncio.run(Load(server.url, [PICTURE], "sla_ms=60000").one_by_one(3))
        found = expected_ms(server)
        os.kill(behind.pid, signal.SIGCONT)
        return {"expected before, ms": before, "and after, ms": found}


def log(by: By) -> Figures:
    """Nobody reads the log: requests that are answered, of 2,000."""
    reading, writing = os.pipe()
    with serving([Path(FAST)], by=by, stderr=writing) as server:
        os.close(writing)
        answered = asyncio.run(answered_in_a_row(server, 2000))
        os.close(reading)  # else a front that waits for its reader would not end
    return {"answered, of 2000": answered}


def bodies(by: By) -> Figures:
    """100 unfinished bodies of 15 MB: the most that the front takes, MB, and polite requests served meanwhile."""
    head = f"POST {INFER} HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: 15000001\r\n\r\n"
    with serving([Path(FAST)], QUIET, by=by) as server:
        with flood(server, head.encode() + bytes(15_000_000)):
            served = sum(post(server, PICTURE, "sla_ms=10000") == 200 for _ in range(30))
        return {"front at most, MB": status_bytes(server.pid, "VmHWM") / 1e6, "served meanwhile, of 30": served}


def unread(by: By) -> Figures:
    """100 clients that pipeline and never read: by how much the front grows, MB."""
    with serving([Path(FAST)], QUIET, by=by) as server:
        before = status_bytes(server.pid, "VmRSS")
        with flood(server, b"GET /v2/models/cnnselect HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 100_000):
            post(server, PICTURE, "sla_ms=10000")  # its turn comes when all that was taken has been looked at
        return {"front grows by, MB": (status_bytes(server.pid, "VmHWM") - before) / 1e6}


def idle(by: By) -> Figures:
    """As many connections as are allowed, and none says a word: others served, of 10."""
    with serving([Path(FAST)], QUIET, "--max-connections", "50", by=by) as server, contextlib.ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(socket.create_connection(address(server)))
        return {"others served, of 10": sum(post(server, PICTURE, "sla_ms=10000") == 200 for _ in range(10))}


def pixels(by: By) -> Figures:
    """Four pictures of 49 megapixels at once: the most that both workers take together, MB."""
    with serving([Path(FAST)], QUIET, by=by) as server, watching_memory(server.pid) as most:
        asyncio.run(at_once(server.url, 4, "sla_ms=100000", huge()))
        return {"workers at most, MB": most[0] / 1e6}


PARTS: dict[str, Callable[[By], Figures]] = {
    part.__name__: part for part in (hang, gone, deaths, stall, log, bodies, unread, idle, pixels)
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {','.join(PARTS)}")
    parser.add_argument("--against", metavar="PYTHON", help="show this environment's version too")
    arguments = parser.parse_args()
    named = versions.named(arguments.against)
    for part in arguments.only.split(","):
        print(f"{part}: {PARTS[part].__doc__}")
        print(console.table([{"version": name, **PARTS[part](by)} for name, by in named.items()], ".1f") + "\n")
        sys.stdout.flush()


# Asking


def base(server: Running) -> str:
    """Its URL without a path."""
    return server.url.removesuffix(INFER)


def address(server: Running) -> tuple[str, int]:
    """Host and port."""
    parts = urlsplit(server.url)
    return parts.hostname or "", parts.port or 80


def ready(server: Running) -> int:
    """What its health says; 0 where it says nothing."""
    try:
        return requests.get(base(server) + "/v2/health/ready", timeout=1.0).status_code
    except requests.RequestException:
        return 0


def post(server: Running, picture: bytes, query: str) -> int:
    """The status of one request on a connection of its own; 0 where there is none."""
    try:
        return requests.post(
            f"{server.url}?{query}", picture, headers={"Content-Type": "image/png"}, timeout=PATIENCE_S
        ).status_code
    except requests.RequestException:
        return 0


async def at_once(url: str, count: int, query: str, picture: bytes = PICTURE) -> list[Sent]:
    """So many requests at the same time."""
    return await Load(url, [picture], query, connections=count).at([0.0] * count)


async def answered_in_a_row(server: Running, count: int) -> int:
    """How many requests of one connection are answered until one is not, within ten seconds."""
    reader, writer = await asyncio.open_connection(*address(server))
    try:
        for number in range(count):
            writer.write(b"HEAD /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            try:
                await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            except TimeoutError:
                return number
        return count
    finally:
        writer.close()


def expected_ms(server: Running) -> float:
    """What is expected of the model here that is always in time, ms."""
    asked = {"policy": "static-latency", "upload_ms": 0, "return_ms": 0}
    reply = requests.post(f"{base(server)}/v2/models/cnnselect/select", json=asked, timeout=PATIENCE_S)
    return float(reply.json()["expected_ms"]["mean"])


@contextlib.contextmanager
def flood(server: Running, request: bytes) -> Iterator[None]:
    """100 clients send this as fast as it is taken, and read nothing; entered when nothing is taken for two seconds."""
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as open_now:
        sent = {stack.enter_context(socket.create_connection(address(server))): 0 for _ in range(100)}
        for client in sent:
            client.setblocking(False)
            open_now.register(client, selectors.EVENT_WRITE, client)
        while open_now.get_map() and (found := open_now.select(2.0)):
            for client in (key.data for key, _ in found):
                with contextlib.suppress(OSError):
                    sent[client] += client.send(memoryview(request)[sent[client] :])
                    if sent[client] < len(request):
                        continue
                open_now.unregister(client)
        yield


# Processes


def children(pid: int) -> list[int]:
    """The processes that it has started and that live."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def status_bytes(pid: int, key: str) -> int:
    """What a process takes, VmRSS, or took at most, VmHWM; none once it has ended."""
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))
    return 0


@contextlib.contextmanager
def watching_memory(pid: int, kill_bytes: float = float("inf")) -> Iterator[list[int]]:
    """The most that its workers have taken together so far, in a list; one that takes over `kill_bytes` is killed."""
    most, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(STEP_S):
            taken = {child: status_bytes(child, "VmRSS") for child in children(pid)}
            most[0] = max(most[0], sum(taken.values()))
            for child, size in taken.items():
                if size > kill_bytes:
                    os.kill(child, signal.SIGKILL)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        over.set()
        thread.join()


def after(begun: float, condition: Callable[[], bool]) -> float:
    """When it came to hold, in s; NaN where it did not for long."""
    while not condition():
        if time.monotonic() - begun > PATIENCE_S:
            return float("nan")
        time.sleep(STEP_S)
    return time.monotonic() - begun


if __name__ == "__main__":
    main()
