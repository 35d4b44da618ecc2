"""What the child of a fork does with its parent's connections: it leaves them alone, whatever it calls."""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter

import pytest
import rude
import streams
from certificates import self_signed, server_context
from ports import full_port
from rude import Rude, answering, http, stalling
from serving import until
from streams import PATIENCE_S, PICTURE, ask, connect

from ondevice.client.connection import address as addresses
from ondevice.client.connection import connecting
from ondevice.client.connection.address import ServerAddress
from ondevice.client.connection.http import HttpStream
from ondevice.client.connection.pool import ConnectionPool

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def in_child(act: Callable[[], object], then: Callable[[], object] = lambda: None) -> None:
    """What `act` does in the child of a fork, and `then` here while that lives. It must raise nothing."""
    ours, theirs = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads, which is what is tried here
        child = os.fork()
    if not child:
        status = 1
        try:
            os.close(theirs)
            act()
            os.read(ours, 1)
            status = 0
        finally:
            os._exit(status)
    os.close(ours)
    try:
        then()
    finally:
        os.close(theirs)
        assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("act", ["abandon", "close"])
@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "TLS"])
def test_a_child_that_closes_a_connection_leaves_the_parent_s_open(tmp_path: Path, act: str, encrypted: bool) -> None:
    tls = server_context(*self_signed(tmp_path)) if encrypted else None
    with Rude(answering(lambda asked: http(asked.body)), tls=tls) as server:
        connection = connect(server.url, verify=False)
        ask(connection)

        def child() -> None:
            getattr(connection.stream, act)()
            assert not connection.stream.usable

        def parent() -> None:
            assert connection.usable
            for _ in range(3):
                assert ask(connection).body == PICTURE.body

        in_child(child, parent)
        parent()
        connection.close()


def test_a_request_under_way_in_the_parent_survives_its_end_in_the_child(engine: streams.Engine) -> None:
    def behave(visit: rude.Visit) -> None:
        visit.next()
        until(lambda: forked)
        visit.send(http(b"whole"))
        visit.pause()

    forked: list[bool] = []
    with Rude(behave) as server:
        connection = connect(server.url)
        asked = connection.begin()
        until(lambda: server.asked)
        engine.call(lambda: None)  # the step that sent it is over, for a task in the middle of one cannot be closed

        def child() -> None:  # as where the parent's tasks are done away with
            for task in asyncio.all_tasks(engine.loop):
                task.get_coro().close()
            assert not connection.stream.usable

        in_child(child)
        forked.append(True)
        assert asked.result(PATIENCE_S).body == b"whole"
        connection.close()


@pytest.fixture
def pool(engine: streams.Engine) -> Iterator[ConnectionPool]:
    with Rude(answering(lambda asked: http(asked.body))) as server:
        pool = ConnectionPool(ServerAddress.parse(server.url), addresses.bearer(None), None, lambda stream: None)
        yield pool
        engine.call(pool.close)


def opened(engine: streams.Engine, pool: ConnectionPool) -> HttpStream:
    return engine.run(pool.open(perf_counter() + PATIENCE_S))


def test_a_child_begins_with_none_and_opens_its_own(engine: streams.Engine, pool: ConnectionPool) -> None:
    waiting, used = opened(engine, pool), opened(engine, pool)
    engine.call(pool.keep, waiting)

    async def its_own() -> None:
        assert pool.take() is None
        stream = await pool.open(perf_counter() + PATIENCE_S)
        assert (await stream.ask(PICTURE, perf_counter() + PATIENCE_S)).body == PICTURE.body
        pool.keep(stream)
        assert pool.take() is stream
        stream.close()

    def child() -> None:
        pool.abandon()
        assert not waiting.usable
        assert not used.usable
        asyncio.run(its_own())

    in_child(child)
    assert engine.call(pool.take) is waiting
    engine.call(pool.keep, waiting)
    engine.call(pool.keep, used)


def test_what_the_parent_closes_is_closed_though_the_child_lives(engine: streams.Engine) -> None:
    with Rude(stalling(http(), 0)) as server:
        pool = ConnectionPool(ServerAddress.parse(server.url), None, None, lambda stream: None)
        waiting, used = opened(engine, pool), opened(engine, pool)
        engine.call(pool.keep, waiting)
        asked = engine.begin(used.ask(PICTURE, perf_counter() + PATIENCE_S))
        until(lambda: server.asked)

        def parent() -> None:
            engine.call(pool.drop)
            asked.cancel()
            assert all(visit.gone.wait(PATIENCE_S) for visit in server.visits)

        in_child(pool.abandon, parent)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_what_the_parent_was_opening_is_closed_with_it_though_the_child_lives(
    engine: streams.Engine, scheme: str
) -> None:
    """A handshake that is never answered: of TLS, or of TCP."""
    with rude.Rude(rude.Visit.pause) as server, full_port() as full:
        place = server.url.replace("http:", "https:") if scheme == "https" else f"http://{rude.HOST}:{full}"
        address = ServerAddress.parse(place)
        tls = addresses.tls_context(False) if scheme == "https" else None
        pool = ConnectionPool(address, None, tls, lambda stream: None)
        engine.call(pool.fill, 1)
        until(lambda: server.visits or scheme == "http")
        until(lambda: [begun for begun in connecting._begun if begun.fileno() >= 0])

        def child() -> None:
            pool.abandon()
            assert [begun for begun in connecting._begun if begun.fileno() >= 0] == []

        def parent() -> None:
            engine.call(pool.close)
            assert all(visit.gone.wait(PATIENCE_S) for visit in server.visits)

        in_child(child, parent)
        until(lambda: not engine.call(lambda: asyncio.all_tasks() - {asyncio.current_task()}))
