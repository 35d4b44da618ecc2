"""What keeps many clients from harming one endpoint, through clients as they are used and servers that listen."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import formatdate

import exchange
import pytest
from good_endpoint import endpoint as good
from offloading import NOWHERE
from rude import Rude, answering, endless, refusal
from serving import PICTURE

from ondevice import OffloadClient, Runner
from ondevice.client.executors.health import CloudHealth

SMALL = "digits_xs_int8"
LONG_MS = 20_000.0


@pytest.fixture(scope="module")
def runner() -> Runner:
    return Runner(SMALL)


def health(client: OffloadClient) -> CloudHealth:
    assert client.cloud
    return client.cloud.link.health


# What a server says of when to come back


def at(seconds: float) -> dict[str, str]:
    """As a date, by the server's own clock, which is an hour ahead."""
    now = time.time() + 3600
    return {"Date": formatdate(now, usegmt=True), "Retry-After": formatdate(now + seconds, usegmt=True)}


@pytest.mark.parametrize("status", [503, 429])
@pytest.mark.parametrize(
    "said",
    [lambda: {"Retry-After": "30"}, lambda: at(30), lambda: {"Retry-After": "1", "retry-after-ms": "30000"}],
    ids=["seconds", "date", "ms"],
)
@pytest.mark.parametrize("mode", ["hedge", "auto", "cloud"])
def test_nobody_is_asked_before_it_wants_to_be(
    mode: str, said: Callable[[], dict[str, str]], status: int, runner: Runner
) -> None:
    with Rude(answering(refusal(status, "no", said())), told=good) as server:
        local = () if mode == "cloud" else runner
        with OffloadClient(server.url, local, LONG_MS, mode) as client:
            assert client.ready(60)
            whys = [_why(client) for _ in range(5)]
            held_ms = health(client).held_ms(LONG_MS)
        assert len(server.asked) == 1
    assert f"answers {status}" in whys[0]
    assert all("asked not to be asked for another" in why for why in whys[1:])
    assert 20_000 < held_ms <= 31_000
    assert health(client).breaker.closed


def _why(client: OffloadClient) -> str:
    try:
        return client.classify(PICTURE).why
    except Exception as error:
        return str(error)


def test_want_of_time_holds_back_those_with_no_more_of_it(runner: Runner) -> None:
    # As `ondevice serve` refused somebody once, but for how long.
    said = exchange.read().refused.reply.replace(b"retry-after-ms: 25", b"retry-after-ms: 30000")
    with (
        Rude(answering(said), told=good) as server,
        OffloadClient(server.url, runner, LONG_MS, "hedge") as client,
    ):
        assert client.ready(60)
        for sla_ms, asked in ((8000.0, 1), (8000.0, 1), (4000.0, 1), (9000.0, 2), (8500.0, 2), (10_000.0, 3)):
            why = client.classify(PICTURE, sla_ms).why
            assert len(server.asked) == asked, sla_ms
            assert ("answers 503" in why) != ("asked not to be asked" in why)
        assert health(client).breaker.closed


# Probes


def test_two_clients_that_lose_it_together_do_not_probe_together(runner: Runner) -> None:
    due = []
    for _ in range(8):
        with OffloadClient(NOWHERE, runner, LONG_MS, "hedge") as client:
            begun = time.perf_counter()
            assert client.classify(PICTURE).where == "device"
            at_s = health(client).breaker.probe_at
            assert at_s
            due.append(at_s - begun)
    assert max(due) - min(due) > 0.5, "eight places of a period of 5.5 s"
    assert min(due) > 0


# Words without end


def test_endless_interim_replies_make_nobody_late(runner: Runner) -> None:
    forever = endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n")
    with Rude(forever, told=good) as server, OffloadClient(server.url, runner, LONG_MS, "hedge") as client:
        assert client.ready(60)
        answer = client.classify(PICTURE)
    assert (answer.where, answer.on_time) == ("device", True)
    assert "its answer is not HTTP: it says over 8 times" in answer.why
    assert client.totals.failures == {"wrong": 1}
