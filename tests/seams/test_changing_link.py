"""What a client foresees over a link that falls to a quarter and recovers, while it sends small pictures alone."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
from PIL import Image
from serving import Endpoint

from ondevice import OffloadClient
from ondevice.client.offload import Options
from ondevice.lab.link import Direction, Link, Links, LinkSpec

LONG_MS, ONE_WAY_MS = 20_000.0, 20.0
# Slow enough that what else a busy machine takes is little beside it.
FAST_BPS, SLOW_BPS = 600e3, 150e3
SIZES, REQUESTS = (5_000, 10_000), 10


def noise(side: int) -> bytes:
    """A JPEG of that side, of about so many times 1.1 bytes squared."""
    made = io.BytesIO()
    pixels = np.random.default_rng(side).integers(0, 256, (side, side, 3), np.uint8)
    Image.fromarray(pixels).save(made, "JPEG", quality=90)
    return made.getvalue()


PICTURES = [noise(side) for side in (40, 76, 52, 84, 60, 44, 68, 80)]


def asked(client: OffloadClient, link: Link, bits_per_second: float) -> np.ndarray:
    """What it foresees of SIZES, [2], after ten pictures more."""
    assert client.cloud
    link.change(up=Direction(bits_per_second, ONE_WAY_MS))
    for picture in itertools.islice(itertools.cycle(PICTURES), REQUESTS):
        assert client.classify(picture).where == "cloud"
    return np.median(client.cloud.link.network.points_ms(SIZES), axis=-1)


def test_what_is_foreseen_has_followed_after_ten_requests_both_ways(endpoint: Endpoint) -> None:
    assert all(2_000 < len(picture) < 10_000 for picture in PICTURES)
    truth_ms = {rate: 2 * ONE_WAY_MS + np.array(SIZES) * 8e3 / rate for rate in (FAST_BPS, SLOW_BPS)}
    with Links() as links:
        link = links.open(LinkSpec(("127.0.0.1", endpoint.port), down=Direction(latency_ms=ONE_WAY_MS)))
        with OffloadClient(f"http://127.0.0.1:{link.port}", (), LONG_MS, "cloud", Options(upload="file")) as client:
            assert client.ready(60)
            before, fallen, back = (asked(client, link, rate) for rate in (FAST_BPS, SLOW_BPS, FAST_BPS))
    # A link lets nothing pass sooner than it may, and a busy machine is not three times as slow as this link.
    for found, rate in ((before, FAST_BPS), (fallen, SLOW_BPS), (back, FAST_BPS)):
        assert (found > 0.75 * truth_ms[rate]).all()
    assert (before < 0.75 * fallen).all()
    assert back == pytest.approx(before, rel=0.35)
