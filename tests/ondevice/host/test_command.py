"""Other programs: what they print, or nothing."""

from __future__ import annotations

from pathlib import Path

from ondevice.host.command import output_of


def test_a_command_that_cannot_answer_says_nothing(tmp_path: Path) -> None:
    assert output_of("echo", "a", "b") == "a b"
    assert output_of("sh", "-c", "echo half; exit 3") == ""
    assert output_of(str(tmp_path / "missing")) == ""
    assert output_of("sh", "-c", r"printf '\377 ok'") == "\ufffd ok"
