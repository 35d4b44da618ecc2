"""What Linux's control groups, v2 or v1, grant a process: CPU time and memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ondevice.host.procfs import read


def groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's control groups that have to do with a controller, each with all above it."""
    for line in read(root / "proc/self/cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        inside = Path(group.lstrip("/"))
        if not controllers or controller in controllers.split(","):
            top = root / "sys/fs/cgroup" / (controller if controllers else "")
            yield from (top / part for part in (inside, *inside.parents))


def quota_of(group: Path) -> float | None:
    """The CPUs' worth of time that a group grants; None where it sets no limit."""
    if text := read(group / "cpu.max"):
        limit, period = text.split()
    else:
        limit, period = read(group / "cpu.cfs_quota_us").strip(), read(group / "cpu.cfs_period_us").strip()
    # v1 says -1 where v2 says max; the root may have no such file at all.
    return int(limit) / int(period) if limit.isdigit() and period else None


def memory_limit_of(group: Path) -> int | None:
    """The bytes of memory that a group grants; None where it sets no limit."""
    texts = (read(group / file).strip() for file in ("memory.max", "memory.limit_in_bytes"))
    return next((int(text) for text in texts if text.isdigit()), None)
