"""The memory of this process on this machine."""

from __future__ import annotations

from ondevice import host


def test_memory_of_this_process_follows_what_it_takes() -> None:
    machine = host.current()
    before, peak_before = machine.memory.resident_bytes(), machine.memory.peak_bytes()
    block = bytearray(b"x") * (peak_before + 2**26)
    during, peak = machine.memory.resident_bytes(), machine.memory.peak_bytes()
    assert before is not None
    assert during is not None
    assert during - before >= len(block) * 0.9
    assert peak - peak_before >= 2**26 * 0.9
    del block
    # The kernel counts a processor's last pages late.
    assert machine.memory.peak_bytes() >= peak - 2**22
