"""What a request costs before anything is done about it: our HTTP, uvicorn's with both of its parsers, and aiohttp's.

    python benchmarks/http_layer.py [--rounds 21] [--bytes 100000]

Medians over rounds in which all have their turn. `loop`: the protocol alone, without a socket, is given a request
whole, and in two pieces, as it mostly comes. `1` and `8`: one request, or eight at once on as many connections, to a
process of its own; the milliseconds are those of one. CPU is the server's. The libraries are installed into a temporary
folder.

It is not called `http.py`: whatever is started from this folder would import that in the place of Python's own.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from alternatives import HERE, installed, server_process

from ondevice.cli import console

SIDES = {
    "ours": "cloud/http/",
    "uvicorn-httptools": "uvicorn, httptools",
    "uvicorn-h11": "uvicorn, h11",
    "aiohttp": "aiohttp.web",
}
CONNECTIONS = (1, 8)
# Requests of one side before the next has its turn: CPU time of another process is told in ticks of 10 ms.
LOOPED, ASKED = 50, 800
LIBRARIES = ("uvicorn", "h11", "aiohttp", "httptools", "uvloop")


def main() -> None:
    """Measure all sides in turn, and print one table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--bytes", type=int, default=100_000)
    arguments = parser.parse_args()
    with installed(*LIBRARIES) as folder:
        assert folder is not None, "the libraries cannot be installed"
        paths = os.pathsep.join([str(HERE.parents[1]), str(folder)])
        rows = {side: {"": name} for side, name in SIDES.items()}
        for measure in (looped, asked):
            for side, column, ms in measure(arguments.rounds, request(arguments.bytes), paths):
                rows[side][column] = f"{ms:.3f}"
    print(console.markdown(list(rows.values()), ""))


def request(size: int) -> bytes:
    """A picture for a model, with the headers that a client mostly sends."""
    lines = (
        "POST /v2/models/m/infer HTTP/1.1", "Host: 127.0.0.1:8000", "User-Agent: measure/1", "Accept: */*",
        "Accept-Encoding: gzip, deflate", "Content-Type: image/jpeg", f"Content-Length: {size}",
    )  # fmt: skip
    return "\r\n".join((*lines, "", "")).encode() + b"\xff\xd8" + bytes(size - 2)


Measured = Iterator[tuple[str, str, float]]


def looped(rounds: int, sent: bytes, paths: str) -> Measured:
    """The protocol alone, each side in processes of its own: CPU ms of a request."""
    spent: dict[tuple[str, str], list[float]] = {}
    for _ in range(rounds):
        for side in SIDES:
            command = [sys.executable, __file__, "--loop", side, str(len(sent))]
            run = subprocess.run(
                command, input=sent, capture_output=True, check=True, env={**os.environ, "PYTHONPATH": paths}
            )
            for column, ms in zip(("loop, whole", "loop, in two"), run.stdout.split(), strict=True):
                spent.setdefault((side, column), []).append(float(ms))
    for (side, column), values in spent.items():
        yield side, column, statistics.median(values)


def asked(rounds: int, sent: bytes, paths: str) -> Measured:
    """A server in a process of its own: wall and CPU ms of a request."""
    spent: dict[tuple[str, str], list[float]] = {}
    with ExitStack() as stack:
        servers = {side: stack.enter_context(server_process(side, {"PYTHONPATH": paths})) for side in SIDES}
        for round_ in range(rounds):
            for side, (port, pid) in list(servers.items())[:: 1 if round_ % 2 else -1]:
                for many in CONNECTIONS:
                    wall_ms, cpu_ms = _ask(port, pid, many, sent)
                    spent.setdefault((side, f"{many}, wall"), []).append(wall_ms)
                    spent.setdefault((side, f"{many}, CPU"), []).append(cpu_ms)
    for (side, column), values in spent.items():
        yield side, column, statistics.median(values)


def _ask(port: int, pid: int, many: int, sent: bytes) -> tuple[float, float]:
    with ExitStack() as stack:
        clients = [stack.enter_context(_connected(port)) for _ in range(many)]
        for client in clients:  # the first request of a connection costs more
            _answered(client, sent)
        start, before = perf_counter(), _cpu_s(pid)
        for _ in range(ASKED // many):
            for client in clients:
                client.sendall(sent)
            for client in clients:
                _read(client)
        return (perf_counter() - start) / ASKED * 1e3, (_cpu_s(pid) - before) / ASKED * 1e3


@contextmanager
def _connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield client


def _answered(client: socket.socket, sent: bytes) -> None:
    client.sendall(sent)
    _read(client)


def _read(client: socket.socket) -> None:
    got = b""
    while not got.endswith(b"{}"):
        got += client.recv(65536)


def _cpu_s(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


# --- The protocol alone, in a process of its own


def loop(side: str) -> None:
    """Print what a request costs that comes whole, and in two pieces."""
    import bare_servers

    sent = sys.stdin.buffer.read()
    # A first read takes what has come until then: some of the body with the head.
    pieces = [[sent], [sent[:60_000], sent[60_000:]]]
    with bare_servers.runner() as runner:
        print(*runner.run(_loop(bare_servers.SERVERS[side], pieces)))


class Line(asyncio.Transport):
    """What a protocol writes to. done: its replies."""

    done = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """A reply, or a part of one."""
        self.done += bytes(data).endswith(b"{}")

    def writelines(self, pieces: Any) -> None:
        """As `write` does, in pieces."""
        self.write(b"".join(pieces))

    def is_closing(self) -> bool:
        """It stays."""
        return False

    def is_reading(self) -> bool:
        """Always."""
        return True

    def pause_reading(self) -> None:
        """All comes at once."""

    def resume_reading(self) -> None:
        """All comes at once."""

    def get_write_buffer_size(self) -> int:
        """All has gone out."""
        return 0


async def _loop(server: Callable[[], Any], cases: list[list[bytes]]) -> list[float]:
    protocol, line = (await server())(), Line({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
    protocol.connection_made(line)
    # The least of so many, since others use the machine too.
    blocks = [[await _block_ms(protocol, line, pieces) for pieces in cases] for _ in range(20)]
    return [min(times) for times in zip(*blocks, strict=True)]


async def _block_ms(protocol: Any, line: Line, pieces: list[bytes]) -> float:
    start = process_time()
    for _ in range(LOOPED):
        before = line.done
        for piece in pieces:
            protocol.data_received(piece)
        while line.done == before:
            await asyncio.sleep(0)
    return (process_time() - start) / LOOPED * 1e3


if __name__ == "__main__":
    loop(sys.argv[2]) if sys.argv[1:2] == ["--loop"] else main()
