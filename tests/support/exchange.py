"""What one endpoint answered once to a stream of pictures, byte by byte, and when; to be played back on a given clock.

`python tests/support/exchange.py FILE`, with the tests' folders on the path, records such a stream anew: from `ondevice
serve` behind an emulated mobile link, and one refusal of it while it has far too much to do.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from time import perf_counter, sleep
from typing import NamedTuple

from serving import Endpoint, post, status

from ondevice.lab.link import Direction, Links, LinkSpec, networks
from ondevice.models import zoo

FILE = Path(__file__).parents[1] / "fixtures" / "exchange" / "exchange.json"
PICTURES = sorted(zoo.samples_dir().glob("*/*.png"))[::5]
COUNT, EVERY_S, ONE_WAY_MS, SLA_MS = 48, 0.2, 20.0, 300.0
# So many at once, with so little time, cannot all be answered.
CROWD, HASTY_MS = 64, 15.0
HOST = re.compile(rb'(?<="host":")[^"]*')


class Played(NamedTuple):
    """A reply as it stood on the wire, and how long after its request's first byte it was whole."""

    after_ms: float
    reply: bytes


class Exchange(NamedTuple):
    """connect_ms: a connection's round trip. described: to the question for `cnnselect`. answers: to pictures in turn.

    refused: to one that would have been late.
    """

    connect_ms: float
    described: Played
    answers: list[Played]
    refused: Played


def read(path: Path = FILE) -> Exchange:
    """A recording."""
    kept = json.loads(path.read_text())
    described, *answers, refused = (Played(row["after_ms"], row["reply"].encode("latin-1")) for row in kept["replies"])
    return Exchange(kept["connect_ms"], described, answers, refused)


def record(path: Path) -> None:
    ways = (Direction(each, ONE_WAY_MS) for each in networks.find("lte", seed=1))
    with tempfile.TemporaryDirectory() as home, Endpoint(Path(home)) as endpoint, Links() as links:
        connect = _connecting(links.open(LinkSpec(("127.0.0.1", endpoint.port), *ways)).port)
        with connect() as client:
            asked = [b"GET /v2/models/cnnselect HTTP/1.1\r\nHost: localhost\r\n\r\n"]
            asked += [_picture(number, SLA_MS) for number in range(COUNT)]
            replies = [_asked(client, request) for request in asked]
        replies.append(_refused(_connecting(endpoint.port)))
    rows = [{"after_ms": round(each.after_ms, 3), "reply": each.reply.decode("latin-1")} for each in replies]
    path.write_text(json.dumps({"connect_ms": 2 * ONE_WAY_MS, "replies": rows}, indent=1) + "\n")


def _connecting(port: int) -> Callable[[], socket.socket]:
    return lambda: socket.create_connection(("127.0.0.1", port))


def _refused(connect: Callable[[], socket.socket]) -> Played:
    def ask(number: int) -> list[Played]:
        with connect() as client:
            return [_asked(client, _picture(number, HASTY_MS), 0.0) for _ in range(5)]

    with ThreadPoolExecutor(CROWD) as pool:
        replies = chain.from_iterable(pool.map(ask, range(CROWD)))
        return next(each for each in replies if status(each.reply) == 503)


def _picture(number: int, sla_ms: float) -> bytes:
    query = f"sla_ms={sla_ms}&return_ms={ONE_WAY_MS if sla_ms > ONE_WAY_MS else 0}&top=5"
    return post(f"/v2/models/cnnselect/infer?{query}", PICTURES[number % len(PICTURES)].read_bytes())


def _asked(client: socket.socket, request: bytes, pause_s: float = EVERY_S) -> Played:
    sleep(pause_s)
    begun, reply = perf_counter(), b""
    client.sendall(request)
    while b"\r\n\r\n" not in reply:
        reply += client.recv(1 << 16)
    head, _, body = reply.partition(b"\r\n\r\n")
    found = re.search(rb"(?i)content-length: (\d+)", head)
    assert found
    while len(body) < int(found[1]):
        body += client.recv(1 << 16)
    after_ms = (perf_counter() - begun) * 1e3
    # What the machine is called is nobody's business.
    return Played(after_ms, head + b"\r\n\r\n" + HOST.sub(lambda host: b"x" * len(host[0]), body))


if __name__ == "__main__":
    record(Path(sys.argv[1]))
