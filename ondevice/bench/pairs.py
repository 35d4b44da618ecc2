"""Which measurements of two files are of the same model, thread count, device and input."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

from ondevice.bench.record import BenchRecord

Key = Callable[[BenchRecord], Hashable]


class Pair(NamedTuple):
    """Two measurements to compare; same_file: whether they are of one model file, wherever it lay."""

    a: BenchRecord
    b: BenchRecord
    same_file: bool


class Pairing(NamedTuple):
    """The pairs, in A's order, and those of each side that have no other one."""

    pairs: tuple[Pair, ...]
    only_a: tuple[BenchRecord, ...]
    only_b: tuple[BenchRecord, ...]


# What pairs two measurements, the surest first: the same file, measured alike, or at least the same file. Then files
# that changed where they lie, or have the same name, as a network has that was trained again: one of each side, not
# more, or nobody can tell which is which.
_LEVELS: tuple[tuple[bool, Key], ...] = (
    (True, lambda r: (r.sha256, r.model, r.path, r.runtime, r.interval_ms, repr(r.limits))),
    (True, lambda r: (r.sha256, r.runtime)),
    (True, lambda r: r.sha256),
    (False, lambda r: r.path),
    (False, lambda r: r.model),
)


def paired(a: Sequence[BenchRecord], b: Sequence[BenchRecord]) -> Pairing:
    """Pair the measurements that have steady runs, each at most once."""
    left, right = ({i: r for i, r in enumerate(side) if r.samples_ms} for side in (a, b))
    pairs: dict[int, Pair] = {}
    for same_file, key in _LEVELS:
        theirs = _grouped(right, key)
        for known, ours in _grouped(left, key).items():
            others = theirs.get(known, [])
            if not same_file and (len(ours), len(others)) != (1, 1):
                continue
            for i, j in zip(ours, others, strict=False):
                pairs[i] = Pair(left.pop(i), right.pop(j), same_file)
    return Pairing(tuple(pairs[i] for i in sorted(pairs)), tuple(left.values()), tuple(right.values()))


def _grouped(records: dict[int, BenchRecord], key: Key) -> dict[Hashable, list[int]]:
    groups: dict[Hashable, list[int]] = {}
    for number, record in records.items():
        measured = record.num_threads, record.device, record.decode, record.input_ends
        groups.setdefault((measured, key(record)), []).append(number)
    return groups
