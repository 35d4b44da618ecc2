"""The endpoint as a place: connections kept and made anew, faults counted, its models known, its classes compared."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import parse_qsl

import engines
import pytest
from asker import PICTURE, failure
from good_endpoint import answer, described, endpoint, metadata
from rude import (
    Asked,
    Visit,
    answering,
    cutting,
    http,
    in_turn,
    leaving,
    refusal,
    slow,
    stalling,
)
from serving import until

from ondevice.answer import Answer
from ondevice.client.endpoint.cnnselect import CnnSelectEndpoint
from ondevice.resilience.breaker import Breaker
from ondevice.selection.replies import ReplyDistribution


def test_what_a_request_says(context: Any) -> None:
    server, asker = context(answering(endpoint), token="secret-and-long-enough")
    result = asker.ask()
    assert isinstance(result, Answer)
    assert (result.where, result.index, result.label, result.model) == ("cloud", 7, "that", "one")
    assert (result.queue_ms, result.decode_ms, result.invoke_ms) == (0.5, 0.5, 5.0)
    asked = server.asked[0]
    path, _, query = asked.path.partition("?")
    told = dict(pair.split("=") for pair in query.split("&"))
    assert path == "/v2/models/cnnselect/infer"
    assert 0 < float(told["sla_ms"]) < 10_000
    assert set(told) == {"sla_ms", "return_ms", "top"}
    assert asked.headers["content-type"] == "image/png"
    assert asked.headers["authorization"] == "Bearer secret-and-long-enough"
    assert asked.body == PICTURE.read_bytes()


def test_what_was_learned_of_replies_goes_with_the_next(context: Any) -> None:
    def telling(asked: Asked) -> bytes:
        said = "upload;dur=2, total;dur=0.5"
        return http(json.dumps(answer()).encode(), headers={"Server-Timing": said})

    server, asker = context(answering(telling))
    assert isinstance(asker.ask(), Answer)
    assert isinstance(asker.ask(), Answer)
    first, second = (dict(parse_qsl(asked.path.partition("?")[2])) for asked in server.asked)
    assert "reply" not in first
    assert len(ReplyDistribution.parse(second["reply"]).points_ms) == 21


def test_one_connection_serves_many_requests(context: Any) -> None:
    server, asker = context(answering(endpoint))
    assert all(isinstance(asker.ask(), Answer) for _ in range(5))
    assert len(server.visits) == 1


def test_a_kept_connection_that_was_closed_costs_nothing(context: Any) -> None:
    server, asker = context(leaving(endpoint))
    assert all(isinstance(asker.ask(), Answer) for _ in range(5))
    assert len(server.visits) == 5
    assert asker.health.breaker.closed


def once_and_no_more(visit: Visit) -> None:
    """Answer a request, and close without a word when the next has come."""
    if asked := visit.next():
        visit.send(endpoint(asked))
    visit.next()


def test_a_kept_connection_that_dies_with_the_request_on_it_is_tried_again_once(context: Any) -> None:
    server, asker = context(in_turn(once_and_no_more, answering(endpoint)))
    assert isinstance(asker.ask(), Answer)
    assert isinstance(asker.ask(), Answer)
    assert len(server.asked) == 3


def test_a_new_connection_is_not_tried_again(context: Any) -> None:
    server, asker = context(cutting(endpoint, 0))
    asker.discovery.endpoint = CnnSelectEndpoint(described())
    assert failure(asker.ask()) == "cut"
    assert len(server.visits) == 1


def test_three_faults_open_the_breaker_and_a_probe_closes_it(context: Any) -> None:
    server, asker = context(answering(refusal(500, "no")))
    asker.health.breaker = Breaker()
    for _ in range(3):
        assert asker.health.breaker.closed
        assert failure(asker.ask()) == "wrong"
    assert not asker.health.breaker.closed
    server.behaviour = answering(endpoint)
    server.hang_up()
    until(lambda: asker.maintain() or asker.health.breaker.closed)
    assert asker.cloud.problem is None
    assert isinstance(asker.cloud.endpoint, CnnSelectEndpoint)


def test_web_pages_are_no_recovery(context: Any) -> None:
    server, asker = context(answering(http(b"<html>It works!</html>")), told=None)
    asker.health.breaker = Breaker()  # which waits no longer than it must
    for _ in range(3):
        asker.ask()
    until(lambda: asker.maintain() or len(server.asked) >= 5)  # two probes
    assert not asker.health.breaker.closed


@pytest.mark.parametrize("status", [503, 429, 400])
def test_what_is_no_fault_of_the_endpoints_opens_nothing(context: Any, status: int) -> None:
    _, asker = context(answering(refusal(status, "no")))
    for _ in range(5):
        assert failure(asker.ask()) in ("busy", "rejected")
    assert asker.health.breaker.closed
    assert asker.cloud.problem is None


def test_a_request_that_is_given_up_ends_its_connection_and_leaves_fresh_ones(context: Any) -> None:
    server, asker = context(in_turn(stalling(endpoint, 10), answering(endpoint)))
    attempt = asker.begin()
    until(lambda: server.asked)
    engines.on(attempt.cancel)
    assert server.visit(0).gone.wait(10)
    assert attempt.task.outcomes.empty()
    until(lambda: asker.connections.ready)
    waited = asker.cloud.link.waited
    assert isinstance(asker.ask(), Answer)
    assert asker.cloud.link.waited == waited


def test_late_replies_are_learned_from(context: Any) -> None:
    _, asker = context(slow(endpoint, 5))
    size_bytes = PICTURE.stat().st_size
    first_ms = asker.cloud.link.network.points_ms(size_bytes)[10]
    assert failure(asker.ask(sla_ms=400)) == "late"
    assert asker.cloud.link.network.known
    assert asker.cloud.link.network.points_ms(size_bytes)[10] > max(first_ms, 400)


def test_a_reply_that_is_still_of_interest_is_waited_for(context: Any) -> None:
    _, asker = context(slow(endpoint, 0.3))
    attempt = asker.begin(sla_ms=50, keep_s=10)
    assert engines.outcome(attempt.task).attempt is attempt
    assert isinstance(attempt.result, Answer)


def test_its_models_are_asked_for(context: Any) -> None:
    models = {"small": (0.5, 5.0), "large": (0.9, 50.0)}
    said = http(json.dumps(metadata(models, picture_side=224)).encode())
    _, asker = context(answering(endpoint), told=said)
    assert asker.begin().top1 == 1.0, "it may be worth anything"
    assert asker.ready()
    assert asker.begin().top1 == 0.9
    assert isinstance(asker.cloud.endpoint, CnnSelectEndpoint)
    assert (asker.cloud.endpoint.names, asker.cloud.endpoint.side) == (("small", "large"), 224)


def test_metadata_that_are_not_understood_are_a_fault(context: Any) -> None:
    _, asker = context(answering(endpoint), told=http(b'{"name": "cnnselect", "parameters": {}}'))
    assert not asker.ready()
    assert "not understood" in str(asker.cloud.problem)
    assert "not understood" in str(asker.ask())


def test_a_request_waits_for_what_its_endpoint_is(context: Any) -> None:
    server, asker = context(answering(endpoint), told=None)
    assert isinstance(asker.ask(), Answer)
    assert [asked.method for asked in server.asked] == ["GET", "POST"]


def test_what_it_is_is_learned_though_that_takes_longer_than_any_request_waits(context: Any) -> None:
    server, asker = context(slow(endpoint, 0.5), told=None)
    until(lambda: isinstance(asker.ask(sla_ms=50), Answer) or asker.cloud.endpoint is not None)
    assert [asked.method for asked in server.asked].count("GET") == 1


def test_requests_that_come_together_ask_what_it_is_once(context: Any) -> None:
    server, asker = context(answering(endpoint), told=None)
    attempts = [asker.begin() for _ in range(5)]
    assert all(isinstance(engines.outcome(attempt.task).result, Answer) for attempt in attempts)
    assert [asked.method for asked in server.asked].count("GET") == 1


def test_other_classes_than_ours(context: Any) -> None:
    _, asker = context(answering(endpoint))
    asker.cloud.link.labels = ("a",) * 7 + ("that",)
    assert failure(asker.ask()) == "wrong"  # for its class 1 is "other"
    asker.cloud.link.labels = ("a", "other", *"aaaaa", "that")
    assert isinstance(asker.ask(), Answer)
    asker.cloud.link.labels = ("a", "other")
    result = asker.ask()
    assert "its class 7 is 'that', the device's 'none'" in str(result)


def test_as_long_as_its_models_are_not_known_they_are_asked_for_often(
    context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = http(json.dumps(metadata(picture_side=224)).encode())
    server, asker = context(answering(said), told=None)
    assert asker.ready()
    later_s = time.perf_counter() + 10
    monkeypatch.setattr("ondevice.client.executors.discovery.perf_counter", lambda: later_s)
    for known, questions in ((asker.cloud.endpoint, 1), (None, 2)):
        asker.discovery.endpoint = known
        asker.maintain()
        until(lambda: len(server.asked) >= questions)  # noqa: B023  # called at once
        time.sleep(0.1)
        assert len(server.asked) == questions


# What is sent besides a request's first send


def test_where_too_much_has_failed_no_second_answer_is_asked_for(context: Any) -> None:
    server, asker = context(answering(endpoint))
    asker.discovery.endpoint = CnnSelectEndpoint(described(anytime=2))
    for _ in range(5):
        asker.health.budget.failed()
    engines.outcome(asker.begin(anytime=2).task)
    assert "anytime" not in server.asked[-1].path


def test_where_too_much_has_failed_a_lost_connection_is_not_tried_again(context: Any) -> None:
    server, asker = context(in_turn(once_and_no_more, answering(endpoint)))
    assert isinstance(asker.ask(), Answer)
    for _ in range(5):
        asker.health.budget.failed()
    assert failure(asker.ask()) == "cut"
    assert len(server.asked) == 2


# What the endpoint itself says of when to come back


def test_a_request_is_held_back_as_long_as_the_endpoint_asked(context: Any) -> None:
    server, asker = context(answering(refusal(503, "no", {"Retry-After": "30"})))
    assert failure(asker.ask()) == "busy"
    assert "asked not to be asked for another" in str(asker.ask())
    assert len(server.asked) == 1
    assert asker.health.breaker.closed
    assert asker.health.budget.allows
