"""The memory of this process on this machine."""

from __future__ import annotations

import contextlib
from pathlib import Path

from ondevice import host


def test_memory_of_this_process_follows_what_it_takes() -> None:
    machine = host.current()
    with contextlib.suppress(OSError):  # on Linux the peak begins anew, which tests before may have set at gigabytes
        Path("/proc/self/clear_refs").write_text("5")
    before, peak_before = machine.memory.resident_bytes(), machine.memory.peak_bytes()
    assert before is not None
    block = bytearray(b"x") * (peak_before - before + 2**27)
    during, peak = machine.memory.resident_bytes(), machine.memory.peak_bytes()
    assert during is not None
    assert during - before >= len(block) * 0.9
    assert peak - peak_before >= 2**26 * 0.9
    del block
    # The kernel counts a processor's last pages late.
    assert machine.memory.peak_bytes() >= peak - 2**22
