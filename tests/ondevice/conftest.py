"""The control groups of this machine."""

from __future__ import annotations

import pytest

from ondevice.errors import OnDeviceError
from ondevice.limits import cgroup


@pytest.fixture
def place() -> cgroup.Hierarchy:
    """The real hierarchy, where this process may make a group."""
    try:
        with cgroup.cpu_group(0.5):
            return cgroup.find()
    except OnDeviceError as error:
        pytest.skip(str(error))
