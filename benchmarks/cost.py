"""What the client itself takes over a bare `requests` POST of the same bytes to the same endpoint: `offload.py cost`.

Every round starts new processes, one a version, each with a client for every mode; they take turns every ten pictures,
and in a process `requests` and the clients take turns every picture. A round's figure is the median over its pictures.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import versions
from clients import ClientProcess

# The local model, and the modes that send; all have time enough.
LOCAL, MODES, SLA_MS = "digits_xs_int8", ("cloud", "hedge", "auto"), 1000.0
# Pictures that a version asks for before it is the other one's turn.
BATCH = 10
# Requests after which memory is looked at, and how often.
STEP, STEPS = 2000, 5
Row = dict[str, Any]
# For each version the medians of each round, by client, ms.
Medians = dict[str, list[dict[str, float]]]


def cost(url: str, paths: Sequence[str], rounds: int, against: str | None) -> Iterator[Row]:
    """A row for each client: what it takes over `requests`, and the difference of the versions."""
    found = medians(url, paths, rounds, versions.named(against))
    for client in ("requests", *MODES):
        own = {version: [each[client] for each in rounds] for version, rounds in found.items()}
        over = {version: [each[client] - each["requests"] for each in rounds] for version, rounds in found.items()}
        row: Row = {"client": client}
        for version in found:
            row |= {f"{version} p50_ms": f"{statistics.median(own[version]):.3f}"}
            row |= {f"{version} over_ms": f"{statistics.median(over[version]):+.3f}"}
        yield row | (differing(*(own if client == "requests" else over).values()) if against else {})


def differing(new: Sequence[float], old: Sequence[float]) -> Row:
    """The columns for two versions; of `requests` the difference of the times themselves."""
    mean, low, high = versions.difference(new, old)
    verdict = "slower" if low > 0 else "faster" if high < 0 else "no difference shown"
    return {"new - old_ms": f"{mean:+.3f}", "95 %": f"{low:+.3f} to {high:+.3f}", "verdict": verdict}


def medians(url: str, paths: Sequence[str], rounds: int, sides: dict[str, versions.Side | None]) -> Medians:
    """Of all rounds."""
    found: Medians = {version: [] for version in sides}
    batches = [paths[start : start + BATCH] for start in range(0, len(paths), BATCH)]
    for round_ in range(rounds):
        with ExitStack() as stack:
            clients = {
                version: stack.enter_context(ClientProcess(side, url, LOCAL, SLA_MS, MODES))
                for version, side in sides.items()
            }
            for client in clients.values():
                assert client.ask("ready")
                client.ask("turns", paths=batches[0])  # warms up
            took: dict[str, list[dict[str, float]]] = {version: [] for version in sides}
            for number, batch in enumerate(batches):
                order = list(clients) if (number + round_) % 2 else list(clients)[::-1]
                for version in order:
                    took[version] += clients[version].ask("turns", paths=batch)
            for version, rows in took.items():
                found[version].append({name: statistics.median(row[name] for row in rows) for name in rows[0]})
    return found


def memory(url: str, paths: Sequence[str], against: str | None) -> Iterator[Row]:
    """The resident memory of a process of each version, which sends in `auto`, MB."""
    with ExitStack() as stack:
        clients = {
            version: stack.enter_context(ClientProcess(side, url, LOCAL, SLA_MS, ["auto"]))
            for version, side in versions.named(against).items()
        }
        for step in range(STEPS + 1):
            ask = partial(ClientProcess.ask, command="memory", count=STEP if step else 0, paths=paths)
            yield {"requests": step * STEP, **{f"{version} MB": ask(client) for version, client in clients.items()}}
