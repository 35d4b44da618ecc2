"""`ondevice serve` as its users start it, and what is asked of it from this process."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import versions
from load import Load, Sent


class Running(NamedTuple):
    """A server: its URL, its process id, and its log so far."""

    url: str
    pid: int
    log: Callable[[], list[dict[str, Any]]]


@contextmanager
def serving(
    models: Sequence[Path], *options: str, by: versions.Side | None = None, stderr: int | None = None
) -> Iterator[Running]:
    """`ondevice serve` on a free port, with fresh profiles; of another version if asked. stderr: where its log goes."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        command = [by.python if by else sys.executable, "-m", "ondevice", "serve", "--port", "0"]
        command += ["--models", ",".join(map(str, models)), "--profiles", f"{folder}/profiles.json", *options]
        environment = by.environment if by else None
        with log.open("wb") as stream:
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=stderr or stream, text=True, env=environment
            )
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if not url:
            sys.exit(log.read_text())
        try:
            yield Running(url + "/v2/models/cnnselect/infer", process.pid, lambda: _events(log))
        finally:
            process.terminate()
            process.wait()


def _events(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]


async def ask(url: str, pictures: Sequence[bytes], query: str) -> list[Sent]:
    """All pictures, one after the other."""
    return await Load(url, pictures, query).one_by_one(len(pictures))


async def closed(url: str, pictures: Sequence[bytes], query: str, seconds: float = 5.0) -> float:
    """Answers a second at 8 connections."""
    load, end = Load(url, pictures, query), perf_counter() + seconds

    async def client() -> int:
        good = 0
        while perf_counter() < end:
            good += sum(s.status == 200 for s in await load.one_by_one(10))
        return good

    return sum(await asyncio.gather(*(client() for _ in range(8)))) / seconds


async def open_loop(
    server: Running, pictures: Sequence[bytes], query: str, rate: float, seconds: int
) -> tuple[list[Sent], dict[int, float]]:
    """Poisson arrivals; and every five seconds the memory of the server with its workers, bytes."""
    memory: dict[int, float] = {}

    async def watch() -> None:
        for second in range(0, seconds, 5):
            memory[second] = _memory_bytes(server.pid)
            await asyncio.sleep(5)

    gaps = np.random.default_rng(1).exponential(1 / rate, int(rate * seconds))
    watching = asyncio.ensure_future(watch())
    sent = await Load(server.url, pictures, query, connections=256).at(np.cumsum(gaps).tolist())
    watching.cancel()
    return sent, memory


def _memory_bytes(pid: int) -> float:
    """Proportional set size of a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    total = 0
    for process in [str(pid), *children]:
        rows = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        total += sum(int(row.split()[1]) for row in rows if row.startswith("Pss:"))
    return total * 1024.0


def short(model: str) -> str:
    """A model's name as far as a table has room for it."""
    return model.replace("mobilenet_", "").replace("_quant", "")


def percentile(values: Sequence[float], percent: float) -> float:
    """A percentile; NaN of nothing."""
    return float(np.percentile(values, percent)) if values else float("nan")
