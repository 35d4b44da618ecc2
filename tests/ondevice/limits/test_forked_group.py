"""A group of a process that is forked."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack

import pytest
from forked import forked

from ondevice.limits.cgroup import Hierarchy, cpu_group

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")


def test_a_forked_child_that_leaves_it_leaves_it_to_its_parent(place: Hierarchy) -> None:
    with ExitStack() as entered:
        group = entered.enter_context(cpu_group(0.5))
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as limited:
            group.add(limited.pid)
            forked(entered.close)
            assert group.path.parent == place.own
            assert group.path.exists()
            assert limited.poll() is None, "what is in it runs on"
            limited.communicate(b"\n")
        assert limited.returncode == 0
    assert not group.path.exists()
