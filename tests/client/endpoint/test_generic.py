"""The client in front of servers that choose no model themselves: real models, by their own tensors or by pictures."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web
from oip_server import Server, running
from one_upload import effective_top1

from ondevice.client.endpoint.generic import GenericEndpoint
from ondevice.client.network import NetworkEstimates
from ondevice.client.offload import OffloadClient, Options
from ondevice.errors import OffloadError
from ondevice.models import zoo
from ondevice.runner import Runner
from ondevice.timing.quantiles import LEVELS

PICTURES = sorted(zoo.samples_dir().glob("*/*.png"))[::9]
SMALL, GOOD = "digits_xs_fp32", "digits_m_fp32"
SLOW_MS = 10_000.0


def profile(name: str, ms: float) -> dict[str, Any]:
    row = {"model": name, "mean_ms": ms, "std_ms": 1.0, "n": 30, "host": "there", "runtime": "litert", "threads": 1}
    return {**row, "quantiles_ms": [ms] * len(LEVELS)}


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.WARNING, "ondevice.client"):
        yield caplog


@pytest.mark.parametrize("pictures", [True, False])
def test_the_most_accurate_model_that_is_in_time(pictures: bool, said: pytest.LogCaptureFixture) -> None:
    server, runner = Server(SMALL, GOOD, pictures=pictures), Runner(GOOD)
    with running(server) as url, OffloadClient(url, sla_ms=20_000) as client:
        assert client.ready(60)
        answers = [client.classify(path) for path in PICTURES]
    expected = [runner.classify(path) for path in PICTURES]
    assert [answer.index for answer in answers] == [answer.index for answer in expected]
    assert [answer.label for answer in answers] == [answer.label for answer in expected]
    assert {answer.model for answer in answers} == {GOOD}
    assert {answer.where for answer in answers} == {"cloud"}
    assert set(server.asked) == {GOOD}
    assert sum("no cnnselect" in record.getMessage() for record in said.records) == 1


def learn(client: OffloadClient, name: str, ms: float) -> GenericEndpoint:
    """Have it seen that a model takes so long, often enough to be believed."""
    assert client.ready(60)
    assert client.cloud
    endpoint = client.cloud.endpoint
    assert isinstance(endpoint, GenericEndpoint)
    for _ in range(61):
        endpoint.record_inference(name, ms)
    return endpoint


def test_a_model_that_is_known_to_be_late_is_left_out() -> None:
    server = Server(SMALL, GOOD)
    server.profile = profile("m", SLOW_MS)
    with running(server) as url, OffloadClient(url, sla_ms=2000) as client:
        learn(client, SMALL, 5.0)
        assert client.classify(PICTURES[0]).model == SMALL


def test_what_it_learns_changes_its_choice() -> None:
    with running(Server(SMALL, GOOD)) as url, OffloadClient(url) as client:
        overhead_ms = NetworkEstimates().points_ms(1000)
        assert client.ready(60)
        assert client.cloud
        assert client.cloud.endpoint
        before = effective_top1(client.cloud.endpoint, 1000, overhead_ms, 1.0, 0.0)
        after = effective_top1(learn(client, GOOD, SLOW_MS), 1000, overhead_ms, 1.0, 0.0)
    accuracies = [zoo.find(name).card.accuracy for name in (SMALL, GOOD)]
    assert [round(value, 3) for value in (after, before)] == pytest.approx([a.top1 for a in accuracies if a], abs=0.01)


def test_models_of_which_too_little_is_known_are_named_once(said: pytest.LogCaptureFixture) -> None:
    server = Server(SMALL)
    server.extra["mystery"] = {"name": "mystery", "inputs": [], "outputs": []}
    with running(server) as url, OffloadClient(url) as client:
        assert client.ready(60)
    assert [record.getMessage() for record in said.records if "mystery" in record.getMessage()] == [
        "mystery is not used: nothing is known of its labels and accuracy: "
        "`ondevice models add FILE --name mystery` adds a card of its name"
    ]


def test_it_is_not_asked_for_what_it_does_not_have() -> None:
    """A client that has just begun asks what there is before it sends a picture."""
    server = Server(SMALL, GOOD)
    with running(server) as url:
        for _ in range(5):
            with OffloadClient(url, sla_ms=20_000) as client:
                assert client.classify(PICTURES[0]).model == GOOD
    assert server.asked == [GOOD] * 5
    assert client.totals.failures == {}


def test_a_server_that_tells_of_its_one_model_whatever_it_is_asked_for() -> None:
    server = Server(SMALL, pictures=False)
    server.extra["cnnselect"] = server.of(SMALL)
    with running(server) as url, OffloadClient(url, sla_ms=20_000) as client:
        assert client.ready(60)
        assert client.classify(PICTURES[0]).model == SMALL


def test_nothing_of_use() -> None:
    server = Server()
    with running(server) as url, OffloadClient(url, options=Options(patience_ms=0)) as client:
        assert not client.ready(10)
        with pytest.raises(OffloadError, match="no model"):
            client.classify(PICTURES[0])
        assert client.cloud.problem
        assert client.cloud.problem.failure == "missing"


def test_behind_an_ingress_that_goes_by_path_and_host() -> None:
    server = Server(SMALL)
    server.prefix, server.host = "/serving/digits", "digits.example.com"
    with running(server) as url:
        with OffloadClient(url, sla_ms=20_000, options=Options(host="digits.example.com")) as client:
            assert client.ready(60)
            assert client.classify(PICTURES[0]).label == Runner(SMALL).classify(PICTURES[0]).label
        with OffloadClient(url, options=Options(patience_ms=0)) as client:
            assert not client.ready(10)


def test_a_response_that_is_none_is_a_failure() -> None:
    async def spoil(response: web.Response) -> web.Response:
        return web.Response(text="<html>")

    server = Server(SMALL)
    server.spoil[SMALL] = spoil
    with running(server) as url, OffloadClient(url, SMALL, 2000, "hedge") as client:
        assert client.ready(60)
        answer = client.classify(PICTURES[0])
    assert answer.where == "device"
    assert "the cloud failed: its response is not valid OIP" in answer.why
