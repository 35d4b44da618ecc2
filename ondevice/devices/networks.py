"""The networks that cards name: marks by which a file is known as one of them, and the work in each."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import NamedTuple

from ondevice.devices.card import Latency
from ondevice.devices.network import Workload

# Made by `benchmarks/devices.py --build`: from the files that `ondevice convert` makes of these architectures.
TABLE = Path(__file__).parent / "networks.csv"


class KnownNetwork(NamedTuple):
    """A published network: its name in cards, its marks (see `network.Network`), and the work of an inference."""

    name: str
    fingerprint: str
    structure: str
    work: Workload


@cache
def known() -> dict[str, KnownNetwork]:
    """All of them, by name."""
    return read(TABLE)


def read(table: Path) -> dict[str, KnownNetwork]:
    """The networks of such a table, by name. Raises OSError where it cannot be read."""
    with table.open(newline="", encoding="utf-8") as file:
        rows = [_row(row) for row in csv.DictReader(file)]
    return {row.name: row for row in rows}


def _row(row: dict[str, str]) -> KnownNetwork:
    work = Workload(*(float(row[name]) for name in Workload._fields))
    return KnownNetwork(row["network"], row["fingerprint"], row["structure"], work)


def name_of(latency: Latency) -> str:
    """What the network is called that a published latency is of; empty where its layers are known of none."""
    return latency.model if latency.network is None else latency.network


def of(latency: Latency) -> KnownNetwork | None:
    """The network that a published latency is of; None where its layers are not known."""
    return known().get(name_of(latency))
