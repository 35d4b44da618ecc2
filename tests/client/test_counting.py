"""What the client counts as a failure of the cloud, with real runs of both: what nobody waited for in vain is none."""

from __future__ import annotations

import json

import exchange
import pytest
from good_endpoint import endpoint, metadata
from rude import Rude, http, slow
from serving import until

from ondevice import OffloadClient, Runner
from ondevice.client.network import NetworkSample
from ondevice.client.offload import Options
from ondevice.models import zoo

SMALL = "digits_xs_int8"
PICTURE = min(zoo.samples_dir().glob("7/*.png"))
# Deadlines that are never and always meant to pass, and how long answers of the cloud take.
LONG_MS, SHORT_MS, LATE_S = 20_000.0, 300.0, 2.0


@pytest.fixture(scope="module")
def runner() -> Runner:
    return Runner(SMALL)


@pytest.mark.parametrize("mode", ["hedge", "auto"])
def test_a_confident_device_has_the_cloud_not_be_late(mode: str, runner: Runner) -> None:
    options = Options(confident=1e-6)
    with (
        Rude(slow(endpoint, LATE_S), told=endpoint) as server,
        OffloadClient(server.url, runner, LONG_MS, mode, options) as client,
    ):
        assert client.ready(60)
        answers = [client.classify(PICTURE) for _ in range(3)]
        assert client.cloud
        assert client.cloud.problem is None
        assert client.cloud.link.health.breaker.closed
    assert [each.why for each in answers] == ["the device was confident"] * 3
    assert (client.totals.device, client.totals.failures) == (3, {})


def test_what_only_tries_the_network_has_the_cloud_not_be_late(runner: Runner) -> None:
    told, answer = http(json.dumps(metadata()).encode()), exchange.read().answers[0].reply
    with (
        Rude(slow(answer, LATE_S), told=told) as server,
        OffloadClient(server.url, runner, SHORT_MS, "auto") as client,
    ):
        assert client.ready(60)
        assert client.cloud
        network = client.cloud.link.network
        for _ in range(8):
            client._engine.post(lambda: network.add(NetworkSample(0, 1e3 * LATE_S, 0.0, 0.0)))
        found = client.classify(PICTURE)
        assert found.why.endswith("tried all the same")
        until(lambda: network.replies.count)  # the reply comes, and is learned from
    assert found.where == "device"
    assert (client.totals.both, client.totals.failures) == (1, {})


def test_one_that_is_waited_for_in_vain_is_late(runner: Runner) -> None:
    with (
        Rude(slow(endpoint, LATE_S), told=endpoint) as server,
        OffloadClient(server.url, runner, SHORT_MS, "hedge") as client,
    ):
        assert client.ready(60)
        assert client.classify(PICTURE).where == "device"
    assert client.totals.failures == {"late": 1}
