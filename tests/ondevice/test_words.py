"""Words for messages: one line from every error of the system, and what may be meant by a name that there is not."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from pathlib import Path, PurePath

import pytest

from ondevice import words
from ondevice.errors import UsageError


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "no space left on device"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "x"), "no such file or directory"),
        (OSError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 9)"), "connection refused"),
        (OSError(errno.EADDRINUSE, "error while attempting to bind on address ('::', 1)"), "address already in use"),
        (socket.gaierror(-2, "Name or service not known"), "name or service not known"),
        (socket.gaierror(8, "nodename nor servname provided"), "nodename nor servname provided"),  # as macOS counts
        (ssl.SSLError(1, "[SSL] PEM lib (_ssl.c:3900)"), "[ssl] pem lib (_ssl.c:3900)"),
        (OSError("It has no address"), "it has no address"),
        (OSError("two\nlines"), "two"),
        (OSError(), "oserror"),
        (ValueError("embedded null byte"), "embedded null byte"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "it is not text in UTF-8"),
    ],
    ids=repr,
)
def test_a_reason_is_the_systems_in_lower_case(error: Exception, said: str) -> None:
    assert words.reason(error) == said


def test_the_reason_for_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file") as caught:
        (tmp_path / "none").read_text()
    assert words.reason(caught.value) == "no such file or directory"


def test_the_reason_for_a_port_that_is_taken() -> None:
    async def main(port: int) -> None:
        await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", port)

    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(OSError, match="attempting to bind") as caught,
    ):
        asyncio.run(main(taken.getsockname()[1]))
    assert words.reason(caught.value) == "address already in use"


NAMES = ("mobilenet_v1_0.25_128_quant", "mobilenet_v2_1.0_224_quant", "efficientnet_lite0", "pixel-3", "normal")


@pytest.mark.parametrize(
    ("word", "best"),
    [
        ("norml", "normal"),
        ("pixel3", "pixel-3"),
        ("mobilenet_v2_1.0_224_qant", "mobilenet_v2_1.0_224_quant"),
        ("../cards/mobilenet_v2_1.0_224_quant", "mobilenet_v2_1.0_224_quant"),
        ("mobilenet", "mobilenet_v2_1.0_224_quant"),
        ("lite0", "efficientnet_lite0"),
    ],
)
def test_a_name_finds_the_one_that_is_meant(word: str, best: str) -> None:
    assert words.nearest(word, NAMES)[0] == best
    assert words.suggestion(word, NAMES).startswith(f"did you mean {best}")


def test_at_most_three_are_named_best_first() -> None:
    near = words.nearest("aaaa", ["aaab", "aaaa5", "aabb", "aaaac", "zz"])
    assert len(near) == 3
    assert "zz" not in near
    assert words.suggestion("aaaa", near) == f"did you mean {', '.join(near)}?"


def test_where_none_is_like_it_all_are_named_or_what_else_helps() -> None:
    assert words.suggestion("qqq", ["one", "two"]) == "there are one, two"
    assert words.suggestion("qqq", []) == "there are none"
    assert words.suggestion("qqq", ["one"], otherwise="`ondevice models list` shows all") == (
        "`ondevice models list` shows all"
    )


def test_what_is_known_is_given_back() -> None:
    assert words.known("normal", NAMES, "network") == "normal"
    assert words.known("a", {"a": 1}, "key") == "a"


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("norml", "no network 'norml'; did you mean normal?"),
        ("x" * 5000, f"no network '{'x' * 57}...'; there are {', '.join(NAMES)}"),
        ("two\nlines\x1b[31m", r"no network 'two\nlines\x1b[31m'; there are mobilenet_v1"),
        ("", f"no network ''; there are {', '.join(NAMES)}"),
    ],
)
def test_what_is_not_known_is_said_in_one_short_line(word: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        words.known(word, NAMES, "network")
    assert str(caught.value).startswith(said)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("paths", "ends"),
    [
        (["/x/a/model", "/x/b/model"], ["a/model", "b/model"]),
        (["/x/a/model"], ["model"]),
        (["/x/a/one", "/x/a/two"], ["one", "two"]),
        (["/a/v/model", "/b/v/model", "/b/w/model"], ["a/v/model", "b/v/model", "w/model"]),
        (["model", "x/model"], ["model", "x/model"]),
        (["/model", "/x/model"], ["/model", "x/model"]),
        (["/x/model", "/x/model"], ["model", "model"]),
    ],
)
def test_paths_are_told_apart_by_their_shortest_ends(paths: list[str], ends: list[str]) -> None:
    found = words.apart(map(PurePath, paths))
    assert [found[PurePath(path)] for path in paths] == ends
