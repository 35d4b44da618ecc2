"""A stream of pictures asked of the client: its pace and order."""

from __future__ import annotations

import time
from pathlib import Path

from ondevice.cli.stream import NamedImage, PictureStream
from ondevice.client.offload import OffloadClient


def test_a_steady_stream_keeps_its_pace_and_order(sample: Path) -> None:
    pictures = [NamedImage(str(number), sample, truth) for number, truth in enumerate((7, 1, 7))]
    with OffloadClient(local="digits_xs_int8", mode="device", sla_ms=20_000) as client:
        begin = time.perf_counter()
        done = list(PictureStream(pictures, every_ms=40, repeat=4).ask(client))
    assert time.perf_counter() - begin >= 11 * 0.04
    assert [each.outcome.image for each in done] == 4 * ["0", "1", "2"]
    assert [each.right for each in done] == 4 * [True, False, True]
