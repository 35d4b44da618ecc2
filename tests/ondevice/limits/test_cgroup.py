"""CPU quotas: where the group goes by fake /proc trees; in force and cleaned up by the real kernel, v1 or v2."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import living

from ondevice.errors import OnDeviceError, UsageError
from ondevice.limits import cgroup
from ondevice.limits.cgroup import Hierarchy, cpu_group

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")

SPIN = [sys.executable, "-c", "while True: pass"]
HOLDER = """
import subprocess, sys
from ondevice.limits.cgroup import cpu_group
with cpu_group(0.5) as group:
    child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    group.add(child.pid)
    print(group.path, child.pid, flush=True)
    child.wait()
"""
V1_MOUNTS = """23 1 8:1 / / rw - ext4 /dev/root rw
31 23 0:28 / /sys/fs/cgroup rw shared:9 - tmpfs tmpfs rw,mode=755
33 31 0:30 {root} {mount}/acct rw - cgroup cgroup rw,cpuacct
32 31 0:29 {root} {mount} rw,nosuid shared:1 master:2 - cgroup cgroup rw,cpu,cpuacct
41 31 0:38 / {mount}/unified rw - cgroup2 cgroup2 rw,nsdelegate
"""
V2_MOUNTS = """23 1 8:1 / / rw - ext4 /dev/root rw
30 23 0:26 {root} {mount} ro,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
"""


def fake(tmp_path: Path, membership: str | None, mounts: str = "", root: str = "/") -> Path:
    """A /proc that says so of this process; the mount is the folder `top` beside it."""
    top, own = tmp_path / "top", tmp_path / "proc" / "self"
    top.mkdir()
    (own / "ns").mkdir(parents=True)
    (own / "ns" / "pid").symlink_to("pid:[77]")
    (own / "stat").write_text(f"4242 (a) b) S {' '.join(['0'] * 18)} 555 0 0\n")
    (own / "mountinfo").write_text(mounts.format(mount=top, root=root))
    if membership is not None:
        (own / "cgroup").write_text(membership)
    return tmp_path / "proc"


def name(pid: int, started: str, number: int = 0) -> str:
    namespace = "".join(filter(str.isdigit, os.readlink("/proc/self/ns/pid")))  # noqa: PTH115
    return f"ondevice-{pid}-{started}-{namespace}-{number}"


def started(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def entries(place: Hierarchy) -> list[str]:
    """What lies in our own group, without the groups of other processes, whose tests run beside these."""
    names = [path.name for path in place.own.iterdir()]
    return sorted(n for n in names if not n.startswith("ondevice-") or n.startswith(f"ondevice-{os.getpid()}-"))


@contextlib.contextmanager
def spinning(command: list[str] = SPIN) -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as child:
        try:
            yield child
        finally:
            child.kill()


@contextlib.contextmanager
def holder() -> Iterator[tuple[subprocess.Popen[str], Path, int]]:
    """A process that holds a group in which a child of its own spins: it, the group, the child's number."""
    with spinning([sys.executable, "-c", HOLDER]) as parent:
        assert parent.stdout is not None
        path, pid = parent.stdout.readline().split()
        yield parent, Path(path), int(pid)


# Where the group goes


@pytest.mark.parametrize(
    ("membership", "mounts", "root", "own"),
    [
        ("4:cpu,cpuacct:/\n0::/x\n", V1_MOUNTS, "/", "."),
        ("5:cpuacct:/no\n4:cpu:/user/s-1\n0::/x\n", V1_MOUNTS, "/", "user/s-1"),
        ("4:cpuacct,cpu:/docker/x\n", V1_MOUNTS, "/docker/x", "."),
        ("4:cpuset:/no\n4:cpu,cpuacct:/docker/x/y:z\n", V1_MOUNTS, "/docker/x", "y:z"),
        ("0::/\n", V2_MOUNTS, "/", "."),
        ("1:name=systemd:/no\n0::/user.slice/a.scope\n", V2_MOUNTS, "/", "user.slice/a.scope"),
        ("0::/docker/x/y\n", V2_MOUNTS, "/docker/x", "y"),
    ],
)
def test_our_own_group_is_found(tmp_path: Path, membership: str, mounts: str, root: str, own: str) -> None:
    place = cgroup.find(fake(tmp_path, membership, mounts, root))
    assert place == Hierarchy(tmp_path / "top" / own, tmp_path / "top", mounts == V2_MOUNTS)


@pytest.mark.parametrize(
    ("membership", "mounts", "root", "said"),
    [
        (None, "", "/", "no control groups for CPU time"),
        ("", "", "/", "no control groups for CPU time"),
        ("4:memory:/\n1:name=systemd:/\n", V1_MOUNTS, "/", "no control groups for CPU time"),
        ("4:cpu:/\n", V2_MOUNTS, "/", "not mounted here"),
        ("0::/\n", "", "/", "not mounted here"),
        ("0::/a\n", V2_MOUNTS, "/b", "not mounted here"),
        ("0::/../a\n", V2_MOUNTS, "/", "not mounted here"),
        ("0::/\n", V2_MOUNTS, "/..", "not mounted here"),
        ("0::/\n", V2_MOUNTS, "/", "the cpu controller is not delegated to"),
        ("4:cpu:/gone\n", V1_MOUNTS, "/", r"no group can be made in \S+ \(no such file or directory\)"),
    ],
)
def test_where_there_can_be_no_group_one_line_says_why_and_what_else(
    tmp_path: Path, membership: str | None, mounts: str, root: str, said: str
) -> None:
    with pytest.raises(OnDeviceError, match=said) as caught, cpu_group(0.5, fake(tmp_path, membership, mounts, root)):
        pytest.fail("there is no quota")
    assert "systemd-run --user --scope -p CPUQuota=50% ondevice" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("membership", "mounts", "settings"),
    [
        ("0::/a/b\n", V2_MOUNTS, {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "20000 100000\n"}),
        ("0::/a\n", V2_MOUNTS, {"a/cpu.max": "10000 50000\n", "cpu.max": "90000 100000\n"}),
        ("4:cpu:/a\n", V1_MOUNTS, {"a/cpu.cfs_quota_us": "20000\n", "a/cpu.cfs_period_us": "100000\n"}),
    ],
)
def test_a_quota_above_the_one_already_in_force_is_refused(
    tmp_path: Path, membership: str, mounts: str, settings: dict[str, str]
) -> None:
    proc = fake(tmp_path, membership, mounts)
    for path, text in settings.items():
        (tmp_path / "top" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "top" / path).write_text(text)
    with pytest.raises(UsageError, match=r"--cpu-quota 0.5: .* a quota of 0.2 CPUs"), cpu_group(0.5, proc):
        pytest.fail("it cannot be in force")


def test_what_failed_halfway_leaves_nothing(tmp_path: Path) -> None:
    proc = fake(tmp_path, "4:cpu:/\n", V1_MOUNTS)
    # A plain folder has no cpu.cfs_period_us to be written.
    with pytest.raises(OnDeviceError, match="no such file or directory"), cpu_group(0.5, proc):
        pytest.fail("there is no quota")
    assert list((tmp_path / "top").iterdir()) == []


def test_a_folder_where_the_kernel_allows_none(tmp_path: Path) -> None:
    mounts = V1_MOUNTS.replace("{mount} rw", "/sys/kernel rw")
    with (
        pytest.raises(OnDeviceError, match=r"in /sys/kernel \((operation not permitted|permission denied)\)"),
        cpu_group(0.5, fake(tmp_path, "4:cpu:/\n", mounts)),
    ):
        pytest.fail("there is no quota")


# What is swept


def test_the_dead_ones_groups_are_swept_and_no_others(tmp_path: Path) -> None:
    with spinning() as other, subprocess.Popen([sys.executable, "-c", ""]) as zombie:
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        keep = [
            name(os.getpid(), started(os.getpid())),
            name(other.pid, started(other.pid), 3),
            "ondevice-1-2-77-0",  # of another PID namespace
            "ondevice-of-a-user",
            "somebody",
        ]
        gone = [name(os.getpid(), "1"), name(4_194_305, "12", 2), name(zombie.pid, started(zombie.pid))]
        for folder in keep + gone:
            (tmp_path / folder).mkdir()
        cgroup.sweep(Hierarchy(tmp_path, tmp_path, False))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(keep)


@pytest.mark.parametrize(("other", "left"), [(None, "-cpu"), ("somebody", "+cpu")])
def test_what_was_switched_on_is_switched_off_by_the_last(tmp_path: Path, other: str | None, left: str) -> None:
    (tmp_path / "cgroup.subtree_control").write_text("+cpu")
    (tmp_path / (name(4_194_305, "12") + "-on")).mkdir()
    if other:
        (tmp_path / other).mkdir()
    cgroup.sweep(Hierarchy(tmp_path, tmp_path, True))
    assert (tmp_path / "cgroup.subtree_control").read_text() == left
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ([other] if other else [])


# The real kernel


def test_a_quota_is_in_force_and_the_group_gone_afterwards(place: Hierarchy) -> None:
    # So little that a child would get more even beside a dozen others.
    with cpu_group(0.1) as group:
        assert group.path.parent == place.own
        child = subprocess.Popen(SPIN)
        group.add(child.pid)
        start = time.monotonic()
        # On a busy machine it may take a while until the child has got more than it may have.
        while time.monotonic() < start + 1 or (group.stat()["nr_throttled"] < 3 and time.monotonic() < start + 60):
            time.sleep(0.05)
        throttled = group.stat()["nr_throttled"]
        child.kill()
        used = os.wait4(child.pid, 0)[2]
        wall = time.monotonic() - start
        child.returncode = -signal.SIGKILL  # as it has been waited for
    assert throttled >= 3
    assert (used.ru_utime + used.ru_stime) / wall <= 0.2
    assert not group.path.exists()


def test_our_own_group_is_left_as_it_was(place: Hierarchy) -> None:
    def settings() -> list[str]:
        names = ("cgroup.type", "cgroup.subtree_control", "cpu.max", "cpu.cfs_quota_us", "cgroup.procs")
        texts = [path.read_text() for path in map(place.own.joinpath, names[:-1]) if path.exists()]
        return [*texts, *entries(place)]

    before = settings()
    with cpu_group(0.5), cpu_group(0.25):
        during = settings()
    assert during != before
    assert settings() == before


def test_several_groups_at_once(place: Hierarchy) -> None:
    with cpu_group(0.5) as one:
        with cpu_group(0.25) as two, spinning() as child:
            assert one.path != two.path
            two.add(child.pid)
        assert one.path.exists()
        assert not two.path.exists()
        with spinning() as child:
            one.add(child.pid)
            assert living([child.pid])
    assert not one.path.exists()


def test_a_process_under_a_quota_makes_a_group_inside_it(place: Hierarchy) -> None:
    # In v2 this is the threaded case: a group that is not the root and holds the process.
    program = f"sys.stdin.readline()\n{HOLDER}".replace("cpu_group(0.5)", "cpu_group(float(sys.argv[1]))")
    with cpu_group(0.5) as outer:
        for quota, fits in (("0.25", True), ("0.75", False)):
            with spinning([sys.executable, "-c", f"import sys\n{program}", quota]) as parent:
                outer.add(parent.pid)
                assert parent.stdin is not None
                assert parent.stdout is not None
                assert parent.stderr is not None
                parent.stdin.write("\n")
                parent.stdin.flush()
                if fits:
                    path, pid = parent.stdout.readline().split()
                    assert Path(path).parent == outer.path
                    assert living([int(pid)])
                    parent.send_signal(signal.SIGINT)
                    parent.wait()
                    assert not Path(path).exists()
                    assert not living([int(pid)])
                else:
                    assert "has a quota of 0.5 CPUs; give no more" in parent.stderr.read().splitlines()[-1]
    assert not outer.path.exists()


def test_a_group_goes_with_those_that_the_killed_left_in_it(place: Hierarchy) -> None:
    with cpu_group(0.5) as outer:
        with spinning([sys.executable, "-c", f"import sys; sys.stdin.readline()\n{HOLDER}"]) as parent:
            assert parent.stdin is not None
            assert parent.stdout is not None
            outer.add(parent.pid)
            parent.stdin.write("\n")
            parent.stdin.flush()
            inner, pid = parent.stdout.readline().split()
            parent.kill()
        assert Path(inner).parent == outer.path
        assert living([int(pid)])
    assert not outer.path.exists()
    assert not living([int(pid)])


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
def test_the_group_and_what_is_left_in_it_are_gone_after_an_exception(
    place: Hierarchy, error: type[BaseException]
) -> None:
    def fail() -> None:
        with cpu_group(0.5) as group:
            made.append(group.path)
            group.add(child.pid)
            raise error

    made: list[Path] = []
    child = subprocess.Popen(SPIN)
    with pytest.raises(error):
        fail()
    assert not made[0].exists()
    assert child.wait() == -signal.SIGKILL


def test_a_child_under_a_tiny_quota_is_gone_too(place: Hierarchy) -> None:
    child = subprocess.Popen([sys.executable, "-c", "x = bytearray(b'1') * (200 << 20)\nwhile True: pass"])
    time.sleep(0.5)
    with cpu_group(0.01) as group:
        group.add(child.pid)
    assert not group.path.exists()
    assert child.wait() == -signal.SIGKILL


def test_the_group_is_gone_after_ctrl_c(place: Hierarchy) -> None:
    with holder() as (parent, path, pid):
        assert path.is_dir()
        parent.send_signal(signal.SIGINT)
        assert parent.wait() != 0
        assert not path.exists()
        assert not living([pid])


def test_the_group_of_one_that_was_killed_is_gone_after_the_next_run(place: Hierarchy) -> None:
    with holder() as (parent, path, pid):
        parent.kill()
        parent.wait()
        assert path.is_dir()
        assert living([pid])
        with cpu_group(0.5) as group:
            assert not path.exists()
            assert group.path.is_dir()
        assert not living([pid])


def test_the_group_of_one_that_lives_is_never_touched(place: Hierarchy) -> None:
    with holder() as (parent, path, pid):
        with cpu_group(0.5):
            assert path.is_dir()
        assert path.is_dir()
        assert living([pid])
        parent.send_signal(signal.SIGINT)
        parent.wait()
        assert not path.exists()


def test_what_cannot_be_added_is_one_line(place: Hierarchy) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    with cpu_group(0.5) as group:
        with pytest.raises(OnDeviceError, match=f"process {gone.pid} cannot be put under the CPU quota"):
            group.add(gone.pid)
        for pid in (0, os.getpid()):
            with pytest.raises(OnDeviceError, match="start a child"):
                group.add(pid)
    assert not group.path.exists()


@pytest.mark.parametrize("quota", [-1e-5, -1.0, 0.0, 0.001])
def test_a_quota_that_the_kernel_does_not_take_as_it_is_leaves_no_group(place: Hierarchy, quota: float) -> None:
    before = entries(place)
    with pytest.raises(OnDeviceError, match="cannot be enforced"), cpu_group(quota):
        pytest.fail("it cannot be in force")
    assert entries(place) == before


def test_one_who_may_not_make_groups_is_told_what_to_do(place: Hierarchy) -> None:
    if os.geteuid() != 0:
        pytest.skip("takes root, to become nobody")
    # What Python imports late may lie where nobody may read.
    program = "import fcntl, os\nfrom ondevice.limits import cgroup\nos.setuid(65534)\n"
    program += "with cgroup.cpu_group(0.25): print()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == ""
    said = done.stderr.splitlines()[-1]
    assert f"no group can be made in {place.own} (" in said
    assert "denied" in said
    assert "`systemd-run --user --scope -p CPUQuota=25% ondevice …`" in said


def test_read_only_control_groups_as_in_a_container(place: Hierarchy) -> None:
    mount = f"mount -o remount,bind,ro {place.top}"
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-m", "sh", "-c", mount], check=False).returncode:
        pytest.skip("takes root and unshare, to mount read-only")
    program = "from ondevice.limits.cgroup import cpu_group\nwith cpu_group(0.5): print('in force')"
    script = f'{mount} && exec "$0" -c "$1"'
    command = ["unshare", "-m", "sh", "-c", script, sys.executable, program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert "(read-only file system)" in done.stderr.splitlines()[-1]
