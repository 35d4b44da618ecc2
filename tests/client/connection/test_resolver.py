"""Looking up names: who waits for it, for how long, and what is left of it."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from time import perf_counter

import pytest
import streams
from lookups import asleep
from serving import until
from streams import LONG_S, PATIENCE_S, QUICK_S, failure

from ondevice.client.connection.address import ServerAddress
from ondevice.client.connection.resolver import resolve

NAME = ServerAddress.parse("http://name.example:81")
ROWS = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 81))]


def looking() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "ondevice-lookup"]


@pytest.fixture(autouse=True)
def nothing_under_way() -> None:
    until(lambda: not looking())


def test_a_name(engine: streams.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with asleep(monkeypatch) as lookups:
        lookups.rows = ROWS
        lookups.ended.set()
        assert engine.run(resolve(NAME, perf_counter() + PATIENCE_S)) == ROWS
        assert lookups.asked == [("name.example", 81)]


@pytest.mark.parametrize(
    ("host", "where"), [("127.0.0.1", ("127.0.0.1", 81)), ("[::1]", ("::1", 81, 0, 0)), ("[fe80::1%251]", None)]
)
def test_an_address_needs_no_looking_up(engine: streams.Engine, host: str, where: tuple[object, ...] | None) -> None:
    before = looking()
    try:
        rows = engine.run(resolve(ServerAddress.parse(f"http://{host}:81"), perf_counter() + PATIENCE_S))
    except OSError:  # there is no such network device here
        assert where is None
    else:
        assert {row[1] for row in rows} == {socket.SOCK_STREAM}
        assert where is None or [row[4] for row in rows] == [where]
    assert looking() == before == []


def test_a_name_server_that_does_not_answer_is_waited_for_only_so_long(
    engine: streams.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with asleep(monkeypatch):
        said = "^name.example:81: no answer from the name server within 0"
        assert failure(lambda: engine.run(resolve(NAME, perf_counter() + QUICK_S)), said) == "late"


def test_requests_share_one_lookup_and_one_thread(engine: streams.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with asleep(monkeypatch) as lookups:
        for _ in range(3):
            failure(lambda: engine.run(resolve(NAME, perf_counter() + 0.01)))
        waiting = [engine.begin(resolve(NAME, perf_counter() + LONG_S)) for _ in range(3)]
        assert waiting.pop().cancel()
        assert len(lookups.asked) == len(looking()) == 1
        lookups.rows = ROWS
        lookups.ended.set()
        assert [one.result(PATIENCE_S) for one in waiting] == [ROWS, ROWS], "whoever has given up meanwhile"


def test_another_name_does_not_wait_for_it(engine: streams.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with asleep(monkeypatch) as lookups:
        other = ServerAddress.parse("http://other.example:81")
        for address in (NAME, other, other._replace(port=82)):
            failure(lambda address=address: engine.run(resolve(address, perf_counter() + 0.01)))
        assert len(lookups.asked) == 3


def test_nothing_is_remembered(engine: streams.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with asleep(monkeypatch) as lookups:
        lookups.ended.set()
        for rows in (ROWS, ROWS * 2):
            lookups.rows = rows
            assert engine.run(resolve(NAME, perf_counter() + PATIENCE_S)) == rows


def test_a_lookup_that_fails_fails_for_all_who_wait(engine: streams.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    def broken(*_: object, **__: object) -> None:
        ended.wait(PATIENCE_S)
        raise socket.gaierror(socket.EAI_NONAME, "no")

    monkeypatch.setattr(socket, "getaddrinfo", broken)
    waiting = [engine.begin(resolve(NAME, perf_counter() + LONG_S)) for _ in range(2)]
    until(looking)
    ended.set()
    for one in waiting:
        with pytest.raises(socket.gaierror):
            one.result(PATIENCE_S)


def test_no_thread_to_look_up_on(engine: streams.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none_left)
    with pytest.raises(OSError, match="no thread can be had"):
        engine.run(resolve(NAME, perf_counter() + PATIENCE_S))


_PROGRAM = """
import asyncio, os, socket, sys, time
from ondevice.client.connection.address import ServerAddress
from ondevice.client.connection.resolver import resolve
from ondevice.errors import UpstreamError

socket.getaddrinfo = lambda *_, **__: time.sleep(600)
address = ServerAddress.parse("http://name.example")

def late():
    try:
        asyncio.run(resolve(address, time.perf_counter() + 0.2))
    except UpstreamError as error:
        return str(error)

assert late()
if sys.argv[1:] and not (child := os.fork()):
    socket.getaddrinfo = lambda *_, **__: []
    os._exit(asyncio.run(resolve(address, time.perf_counter() + 60)) != [])
if sys.argv[1:]:
    assert os.waitpid(child, 0)[1] == 0
print(late())
"""


@pytest.mark.parametrize("forks", [[], ["fork"]])
def test_a_program_ends_though_its_lookup_does_not(forks: list[str]) -> None:
    command = [sys.executable, "-c", _PROGRAM, *forks]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.stderr == ""
    assert done.stdout.startswith("name.example:80: no answer from the name server within 0")
