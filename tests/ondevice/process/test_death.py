"""How a process ended, in a few words."""

from __future__ import annotations

import io

import pytest

from ondevice.process.death import Death, last_line


@pytest.mark.parametrize(
    ("status", "said", "text"),
    [
        (0, "", "(exit status 0): it said nothing"),
        (3, "no memory", "(exit status 3): no memory"),
        (-11, "", "(SIGSEGV): it said nothing"),
        (-9, "loading", "(SIGKILL): loading"),
        (-40, "", "(signal 40): it said nothing"),
    ],
)
def test_what_is_told(status: int, said: str, text: str) -> None:
    assert str(Death(status, said)) == f"{Death(status, said)}" == text


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (b"", ""),
        (b"\n \n", ""),
        (b"one\ntwo\n", "two"),
        (b"one\n two \n\n", "two"),
        (b"one\nINFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n", "one"),
        (b"INFO: alone", ""),
        (b"bytes \xff\n", "bytes \ufffd"),
        (b"cut sho", "cut sho"),
        (b"old\n" * 10**6 + b"new\n", "new"),
    ],
)
def test_the_last_line_that_says_something(log: bytes, said: str) -> None:
    assert last_line(io.BytesIO(log)) == said


def test_a_long_log_is_not_read_whole() -> None:
    class Log(io.BytesIO):
        read_bytes = 0

        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            self.read_bytes += len(data)
            return data

    log = Log(b"line\n" * 10**6)
    assert last_line(log) == "line"
    assert log.read_bytes < 100_000
