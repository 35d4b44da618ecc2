"""A quota of CPU time, in a control group (v1 or v2) of its own that is removed whatever happens.

The group lies in this process's own group, so that whatever limits that one keeps its hold. Its name tells its owner
(process, start time, PID namespace): where the owner was killed, the next group made beside it sweeps it away.

In v2, a group that holds processes, as our own does, can share out no CPU time to ordinary groups below it, but it can
to *threaded* ones, as cpu is a threaded controller; only the hierarchy's real root needs no such thing. Where the
kernel refuses that there is no way round it: a group beside our own instead of in it would escape our own's limits.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ondevice import words
from ondevice.errors import OnDeviceError, UsageError
from ondevice.host.cgroups import quota_of
from ondevice.host.procfs import read

_PROC = Path("/proc")
# The kernel's own default, and Docker's: a quota then means here what it means in a container.
_PERIOD_US = 100_000
# A process that was killed is gone within milliseconds, unless it waits for a disk that does not answer; then a message
# that names the group helps more than waiting on.
_REMOVAL_S = 5.0
_NAME = re.compile(r"ondevice-(\d+)-(\d+)-(\d+)-\d+(-on)?")
# In a group's name: that cpu was switched on for the groups in ours on its behalf, and is to be switched off with it.
_SWITCHED_ON = "-on"


@dataclass(frozen=True)
class Hierarchy:
    """Where the cpu controller is: this process's own group, the top that is mounted, and whether that is v2."""

    own: Path
    top: Path
    unified: bool


@dataclass(frozen=True)
class CpuGroup:
    """A control group with a quota of CPU time, as `cpu_group` makes it."""

    path: Path

    def add(self, pid: int) -> None:
        """Put a child process, all its threads and whatever they start from now on, under the quota.

        Raises OnDeviceError where the process is gone or may not be moved, or is this one, which ends what it adds.
        """
        if pid in (0, os.getpid()):
            raise OnDeviceError("a process cannot put itself under its quota: start a child and add that")
        try:
            _write(self.path / "cgroup.procs", str(pid))
        except OSError as error:
            raise OnDeviceError(
                f"process {pid} cannot be put under the CPU quota ({words.reason(error)}); run without --cpu-quota"
            ) from error

    def stat(self) -> dict[str, int]:
        """The kernel's counts: `nr_periods`, `nr_throttled`, and `throttled_usec` (v2) or `throttled_time` (v1, ns)."""
        lines = (self.path / "cpu.stat").read_text(encoding="utf-8").splitlines()
        return {name: int(value) for name, value in (line.split() for line in lines)}


@contextlib.contextmanager
def cpu_group(quota: float, proc: Path = _PROC) -> Iterator[CpuGroup]:
    """A group of its own for children that shall have no more than `quota` CPUs' worth of time together.

    >>> with cpu_group(0.5) as group:
    ...     group.add(child.pid)
    ...     child.wait()

    On leaving, however that comes about, the group is removed, and a process that is still in it killed; a forked child
    that leaves too does nothing. Raises OnDeviceError where the system allows no such group, UsageError for a quota
    above what limits this process already.
    """
    place = find(proc)
    _check(place, quota)
    with contextlib.ExitStack() as stack:
        with _explained(place, quota), _locked(place.own):
            sweep(place, proc)
            path = place.own / _name(place, proc)
            stack.callback(_remove, place, path, os.getpid())
            path.mkdir()
            if place.unified:
                _switch_on(place, path)
            _set_quota(place, path, quota)
        yield CpuGroup(path)


def find(proc: Path = _PROC) -> Hierarchy:
    """The hierarchy that has the cpu controller. Raises OnDeviceError where there is none or it is out of sight."""
    group, unified = _membership(proc)
    for line in read(proc / "self" / "mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        root, mount = before.split()[3:5]
        kind, _, options = after.split(" ", 2)
        has_cpu = kind == "cgroup2" if unified else kind == "cgroup" and "cpu" in options.split(",")
        if has_cpu and group.is_relative_to(root) and ".." not in group.parts:
            return Hierarchy(Path(mount, group.relative_to(root)), Path(mount), unified)
    raise _impossible("this process's control group is not mounted here")


def sweep(place: Hierarchy, proc: Path = _PROC) -> None:
    """Remove the groups in our own whose owners died, and end what they left running; call it under the lock."""
    for path in place.own.glob("ondevice-*"):
        match = _NAME.fullmatch(path.name)
        # A process of another PID namespace cannot be looked up: its groups are left alone.
        if match and match[3] == _namespace(proc) and not _lives(proc, int(match[1]), match[2]):
            with contextlib.suppress(OSError):
                _discard(place, path)


def _membership(proc: Path) -> tuple[PurePosixPath, bool]:
    """The path of this process's group in the cpu controller's hierarchy, and whether that is v2."""
    groups = {}
    for line in read(proc / "self" / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        groups.update(dict.fromkeys(controllers.split(","), PurePosixPath(path)))
    if "cpu" in groups:
        return groups["cpu"], False
    if "" in groups:
        return groups[""], True
    raise _impossible("this system has no control groups for CPU time")


def _check(place: Hierarchy, quota: float) -> None:
    above = [path for path in (place.own, *place.own.parents) if path.is_relative_to(place.top)]
    granted = min(_granted(path) for path in above)
    if quota > granted:
        raise UsageError(
            f"--cpu-quota {quota:g}: this process's own control group has a quota of {granted:g} CPUs; give no more"
        )
    if place.unified and "cpu" not in read(place.own / "cgroup.controllers").split():
        raise _impossible(f"the cpu controller is not delegated to {place.own}", quota)


def _granted(path: Path) -> float:
    """The CPUs' worth of time that a group grants; infinity where it sets no limit."""
    quota = quota_of(path)
    return math.inf if quota is None else quota


def _set_quota(place: Hierarchy, path: Path, quota: float) -> None:
    limit_us = round(quota * _PERIOD_US)
    if place.unified:
        _write(path / "cpu.max", f"{limit_us} {_PERIOD_US}")
    else:
        _write(path / "cpu.cfs_period_us", str(_PERIOD_US))
        _write(path / "cpu.cfs_quota_us", str(limit_us))
    if (got := _granted(path)) != limit_us / _PERIOD_US:
        raise _impossible(f"the kernel made a quota of {got:g} CPUs of it", quota)


def _switch_on(place: Hierarchy, path: Path) -> None:
    """V2 alone: let the group have a quota although our own group, in which it lies, holds processes."""
    if (place.own / "cgroup.type").exists():
        _write(path / "cgroup.type", "threaded")
    if path.name.endswith(_SWITCHED_ON):
        _write(place.own / "cgroup.subtree_control", "+cpu")


def _name(place: Hierarchy, proc: Path) -> str:
    """A name that no other group in ours has, from which `sweep` knows the owner."""
    pid, started = read(proc / "self" / "stat").split(" ", 1)[0], _state_and_start(proc, "self")[1]
    names = [path.name for path in place.own.glob("ondevice-*")]
    # The last of the groups that profit from it switches off what the first has switched on.
    ours = place.unified and (
        "cpu" not in read(place.own / "cgroup.subtree_control").split()
        or any(name.endswith(_SWITCHED_ON) for name in names)
    )
    stem = f"ondevice-{pid}-{started}-{_namespace(proc)}-"
    taken = [int(name.removeprefix(stem).removesuffix(_SWITCHED_ON)) for name in names if name.startswith(stem)]
    return f"{stem}{max(taken, default=-1) + 1}{_SWITCHED_ON if ours else ''}"


def _lives(proc: Path, pid: int, started: str) -> bool:
    """Whether the process that had this number at that time runs; a zombie does not."""
    state, since = _state_and_start(proc, str(pid))
    return since == started and state not in ("Z", "X")


def _state_and_start(proc: Path, process_id: str) -> tuple[str, str]:
    """A process's state letter and start time; both empty where there is no such process."""
    # The command's name, in parentheses, may hold anything, parentheses and blanks included.
    fields = read(proc / process_id / "stat").rpartition(")")[2].split()
    return (fields[0], fields[19]) if fields else ("", "")


def _namespace(proc: Path) -> str:
    return re.sub(r"\D", "", (proc / "self" / "ns" / "pid").readlink().name)


def _remove(place: Hierarchy, path: Path, owner: int) -> None:
    if os.getpid() != owner:  # a child that was forked meanwhile leaves: its parent still uses the group
        return
    try:
        with _locked(place.own):
            _discard(place, path)
    except OSError as error:
        raise OnDeviceError(
            f"the control group {path} could not be removed ({words.reason(error)}); do it with `rmdir {path}`"
        ) from error


def _discard(place: Hierarchy, path: Path) -> None:
    with contextlib.suppress(OSError):  # without a quota, as the dying need CPU time too
        unlimited = ("cpu.max", "max") if place.unified else ("cpu.cfs_quota_us", "-1")
        _write(path / unlimited[0], unlimited[1])
    _empty(path)
    others = any(other.is_dir() for other in place.own.iterdir())
    if path.name.endswith(_SWITCHED_ON) and not others:
        with contextlib.suppress(OSError):
            _write(place.own / "cgroup.subtree_control", "-cpu")


def _empty(path: Path) -> None:
    """Kill what is in a group of ours and remove it, as soon as the last process is no longer dying.

    What was in it may have made groups of its own there, and have been killed before it could remove them.
    """
    end = time.monotonic() + _REMOVAL_S
    while path.exists():
        for inner in filter(Path.is_dir, path.iterdir()):
            _empty(inner)
        # In a threaded group cgroup.procs cannot be read; v1 has no cgroup.threads.
        for member in (read(path / "cgroup.threads") or read(path / "cgroup.procs")).split():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(int(member), signal.SIGKILL)
        try:
            path.rmdir()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a lock on a group's folder between processes; it leaves no file, and the system frees it if we die."""
    import fcntl

    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def _explained(place: Hierarchy, quota: float) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        refused = "it holds groups with processes, and the kernel then refuses threaded ones"
        reason = refused if error.errno == errno.EOPNOTSUPP else words.reason(error)
        raise _impossible(f"no group can be made in {place.own} ({reason})", quota) from error


def _impossible(reason: str, quota: float = 0.5) -> OnDeviceError:
    return OnDeviceError(
        f"--cpu-quota cannot be enforced: {reason}; try `systemd-run --user --scope -p CPUQuota={quota * 100:g}% "
        "ondevice …` instead, sudo, or the container's own --cpus"
    )


def _write(path: Path, text: str) -> None:
    # Not to be created: where the kernel has put no such file, there is no such setting.
    handle = os.open(path, os.O_WRONLY)
    try:
        os.write(handle, text.encode())
    finally:
        os.close(handle)
