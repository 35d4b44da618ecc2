"""A client's spare connections at a real endpoint: they are there before a request, and counted as what they are."""

from __future__ import annotations

from metrics import samples
from serving import PICTURE, Endpoint, not_by_ray, until

from ondevice import OffloadClient
from ondevice.lab.link import Direction, Links, LinkSpec

# A deadline that is hardly meant to pass, and of which the round trip is more than a hundredth all the same.
SLA_MS, ONE_WAY_MS = 3000.0, 40.0


def unused(endpoint: Endpoint) -> float:
    return samples(endpoint.ask("GET", "/metrics").text)[("ondevice_unused_connections", ())]


@not_by_ray("connections are its proxy's, and counted by nobody")
def test_from_the_first_contact_on_some_are_there(endpoint: Endpoint) -> None:
    before, far = unused(endpoint), Direction(latency_ms=ONE_WAY_MS)
    with Links() as links:
        link = links.open(LinkSpec(("127.0.0.1", endpoint.port), far, far))
        with OffloadClient(f"http://127.0.0.1:{link.port}", "digits_xs_int8", SLA_MS, "hedge") as client:
            assert client.cloud
            assert client.ready(60)
            until(lambda: unused(endpoint) == before + 2)
            for _ in range(5):
                client.classify(PICTURE)
            assert client.cloud.link.waited == 0
        until(lambda: unused(endpoint) == before)


def test_a_client_that_is_near_needs_none(endpoint: Endpoint) -> None:
    with OffloadClient(endpoint.url, "digits_xs_int8", 60_000.0, "hedge") as client:
        assert client.cloud
        for _ in range(5):
            client.classify(PICTURE)
        assert client.cloud.link.connections.begun == 1
