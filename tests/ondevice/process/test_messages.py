"""A job and what is said of it, through a real process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ondevice.process import child, messages

ECHO = """
import sys
from ondevice.process import messages

def main():
    job, send = messages.receive()
    print("printed, and not sent", flush=True)
    for text in job["texts"]:
        send("said", text=text)
    sys.stdout.flush()
"""
CUT = """
import os

def main():
    os.write(1, b'{"kind": "note"}\\n{"kind": "sam')
"""


@pytest.fixture
def asked(tmp_path: Path) -> Any:
    """What a module of this text sends for a job, and how it ended."""

    def ask(text: str, job: dict[str, Any]) -> tuple[list[messages.Message], str]:
        (tmp_path / "program.py").write_text(text)
        with child.start("program", piped=True, environment={"PYTHONPATH": str(tmp_path)}) as started:
            return [*messages.ask(started, job)], str(started.death())

    return ask


def test_a_job_and_its_messages(asked: Any) -> None:
    texts = ["one", "two\nlines", "\udcff \u20ac"]
    said, death = asked(ECHO, {"texts": texts})
    assert said == [{"kind": "said", "text": text} for text in texts]
    assert death == "(exit status 0): printed, and not sent"


def test_a_line_that_is_cut_short_is_no_message(asked: Any) -> None:
    assert asked(CUT, {})[0] == [{"kind": "note"}]


def test_one_that_ends_before_it_has_its_job(asked: Any) -> None:
    # More than the pipe takes.
    said, death = asked("def main(): raise ValueError('mine')", {"texts": ["x" * 10**6]})
    assert (said, death) == ([], "(exit status 1): ValueError: mine")


def test_a_job_that_is_cut_short_is_none(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(ECHO)
    with child.start("program", piped=True, environment={"PYTHONPATH": str(tmp_path)}) as started:
        started.stdin.write(b'{"texts": [')
        started.stdin.close()
        assert started.stdout.read() == b""
        assert started.death().status == 1
