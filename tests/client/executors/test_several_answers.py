"""Several answers to one request: each when it is there, and what the request is when they end."""

from __future__ import annotations

import json
import threading
import time
from typing import Any
from urllib.parse import parse_qsl

import engines
import pytest
from asker import failure
from good_endpoint import answer, described, endpoint
from rude import (
    Behaviour,
    Visit,
    answering,
    http,
)

from ondevice.client.endpoint.cnnselect import CnnSelectEndpoint
from ondevice.client.executors.attempt import Attempt, AttemptOutcome
from ondevice.client.network import NetworkSample

LINES = http(headers={"Content-Type": "application/x-ndjson", "Transfer-Encoding": "chunked"}, length=-1)
END = b"0\r\n\r\n"


def line(top1: float, *, final: bool = False, server_ms: float = 1.0) -> bytes:
    said = answer(expected_top1=top1, selected_model=f"m{top1:g}", final=final, server_ms=server_ms)
    data = json.dumps(said).encode() + b"\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


def telling(*pieces: bytes, go: threading.Semaphore | None = None) -> Behaviour:
    """Send the head, and then these pieces. go: acquired before each but the first."""

    def behave(visit: Visit) -> None:
        while visit.next():
            visit.send(LINES)
            for number, piece in enumerate(pieces):
                while number and go and not go.acquire(timeout=0.01):
                    visit.pause(0)  # the server may end
                visit.send(piece)
            if not pieces[-1].endswith(END):
                return

    return behave


def outcomes(attempt: Attempt, go: threading.Semaphore | None = None) -> list[AttemptOutcome]:
    """All that comes of it. go: released after each, for a server that waits for that."""
    found = [engines.outcome(attempt.task)]
    while not found[-1].last:
        if go:
            go.release()
        found.append(engines.outcome(attempt.task))
    return found


def test_each_answer_is_handed_in_when_it_is_there(context: Any) -> None:
    go = threading.Semaphore(0)
    server, asker = context(telling(line(0.4), line(0.6), line(0.8, final=True) + END, go=go))
    for _ in range(2):
        found = outcomes(asker.begin(), go)
        assert [outcome.result.model for outcome in found] == ["m0.4", "m0.6", "m0.8"]
        assert [(outcome.top1, outcome.last) for outcome in found] == [(0.4, False), (0.6, False), (0.8, True)]
    assert len(server.visits) == 1


def test_only_the_first_answer_tells_of_the_network(context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, asker = context(telling(line(0.4), line(0.8, final=True) + END))
    samples: list[NetworkSample] = []
    monkeypatch.setattr(asker.cloud.link.network, "add", samples.append)
    assert len(outcomes(asker.begin())) == 2
    assert len(samples) == 1


def test_where_none_is_said_to_be_the_last_it_is_the_one_before_the_end(context: Any) -> None:
    _, asker = context(telling(line(0.4), line(0.6) + END))
    found = outcomes(asker.begin())
    assert [(outcome.top1, outcome.last) for outcome in found] == [(0.4, False), (0.6, False), (0.6, True)]


def test_a_reply_that_is_cut_leaves_the_answers_that_were_there(context: Any) -> None:
    _, asker = context(telling(line(0.4), line(0.6)[:50]))
    found = outcomes(asker.begin())
    assert found[0].result.model == "m0.4"
    assert failure(found[1].result) == "cut"


@pytest.mark.parametrize(
    ("pieces", "kind"),
    [
        ((END,), "wrong"),
        ((b"5\r\nhello\r\n" + END,), "wrong"),
        ((b"zz\r\n",), "wrong"),
        ((line(0.4),), "cut"),
        ((line(0.4), b"2\r\n{}\r\n" + END), "wrong"),
    ],
    ids=["nothing", "no JSON", "no chunk", "no end", "no answer after one"],
)
def test_lines_that_are_none_are_a_failure(context: Any, pieces: tuple[bytes, ...], kind: str) -> None:
    _, asker = context(telling(*pieces))
    assert failure(outcomes(asker.begin())[-1].result) == kind


def test_giving_up_after_the_first_answer_says_nothing_of_the_network(context: Any) -> None:
    _, asker = context(telling(line(0.4), line(0.8, final=True) + END, go=threading.Semaphore(0)))
    attempt = asker.begin()
    assert not engines.outcome(attempt.task).last
    before = asker.cloud.link.network.points_ms(100)
    time.sleep(0.2)
    engines.on(attempt.cancel)
    time.sleep(0.2)
    assert asker.cloud.link.network.points_ms(100).tolist() == before.tolist()
    assert attempt.task.outcomes.empty()
    assert asker.health.breaker.closed


@pytest.mark.parametrize(("published", "asked", "told"), [(2, 3, "2"), (4, 3, "3"), (1, 3, None), (2, 1, None)])
def test_as_many_as_the_endpoint_allows_are_asked_for(
    context: Any, published: int, asked: int, told: str | None
) -> None:
    server, asker = context(answering(endpoint))
    asker.discovery.endpoint = CnnSelectEndpoint(described(anytime=published))
    outcomes(asker.begin(anytime=asked))
    query = dict(parse_qsl(server.asked[-1].path.partition("?")[2]))
    assert query.get("anytime") == told
