"""What the choice of a model sees of the queue before another server."""

from __future__ import annotations

import math
from contextlib import ExitStack
from types import SimpleNamespace
from typing import cast

import pytest
from clock import Clock
from upstream_models import model

from ondevice.cloud.backends.upstream.decoder import PictureDecoder
from ondevice.cloud.backends.upstream.queue import UpstreamQueue
from ondevice.cloud.backends.upstream.round_trips import RoundTrips
from ondevice.cloud.backends.upstream.send_turns import MAX_INFERENCES, SendTurns
from ondevice.cloud.backends.workers.pool import Pool
from ondevice.models.card import Input
from ondevice.protocol.picture import PictureHead

PHOTO = PictureHead.guessed(100_000)


def test_the_wait_is_for_a_turn_and_where_pictures_are_decoded_here_for_a_worker() -> None:
    models, turns = [model("a", 0, 20.0), model("b", 1, 40.0, feed=Input(8, 8))], SendTurns()
    jobs = SimpleNamespace(wait_ms=lambda due: 7.0 if due == math.inf else 3.0)
    workers = cast(Pool, SimpleNamespace(queue=jobs))
    queue = UpstreamQueue(models, turns, PictureDecoder(workers), RoundTrips(models, Clock()).table)
    assert queue.wait_ms(None).tolist() == [0.0, 0.0]
    assert queue.wait_ms(PHOTO).tolist() == [0.0, 7.0]
    assert queue.wait_ms(PHOTO, due=1.0).tolist() == [0.0, 3.0]
    with ExitStack() as requests:
        for _ in range(2 * MAX_INFERENCES - 1):
            requests.enter_context(turns)
        assert queue.wait_ms(None).tolist() == pytest.approx([30.0, 30.0])
        assert queue.wait_ms(PHOTO).tolist() == pytest.approx([30.0, 37.0])
        assert (queue.waiting, queue.saturated, queue.room) == (2 * MAX_INFERENCES - 1, True, 0)
