"""A client's spare connections at a real endpoint: they are there before a request, and counted as what they are."""

from __future__ import annotations

import pytest
from metrics import samples
from serving import PICTURE, Endpoint, until

from ondevice import OffloadClient

LONG_MS = 60_000.0


def unused(endpoint: Endpoint) -> float:
    return samples(endpoint.ask("GET", "/metrics").text)[("ondevice_unused_connections", ())]


@pytest.mark.parametrize("mode", ["cloud", "hedge"])
def test_from_the_first_contact_on_one_is_there(endpoint: Endpoint, mode: str) -> None:
    before = unused(endpoint)
    with OffloadClient(endpoint.url, "digits_xs_int8", LONG_MS, mode) as client:
        assert client.cloud
        assert client.ready(10)
        until(lambda: unused(endpoint) == before + 1)
        for _ in range(10):
            client.classify(PICTURE)
        assert (client.cloud.link.waited, client.cloud.link.connections.begun) == (0, 2)
    until(lambda: unused(endpoint) == before)
