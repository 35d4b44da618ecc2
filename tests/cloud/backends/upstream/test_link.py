"""An inference at another server: what its error says, of the picture or of the model."""

from __future__ import annotations

import asyncio
from typing import cast

import numpy as np
import pytest
from clock import Clock
from upstream_models import SAMPLE, model
from upstream_models import server as well

from ondevice.cloud.backends.upstream.link import UpstreamLink
from ondevice.cloud.backends.upstream.model import UpstreamModel
from ondevice.cloud.backends.upstream.oip_client import OipClient
from ondevice.errors import FailureKind, ImageError, UpstreamError
from ondevice.protocol.response import InferResponse
from ondevice.protocol.served import Work
from ondevice.protocol.tensor import Tensor

PHOTO = SAMPLE._replace(payload=b"photo")
TENSOR = PHOTO._replace(payload=b"photo" + bytes(8 * 8 * 3 * 4 - 5), is_picture=False)


class Refusing:
    """A server that rejects these payloads, and counts how often it is asked."""

    def __init__(self, *rejected: bytes) -> None:
        self.rejected, self.asked = rejected, 0

    async def infer(self, name: str, body: bytes, length: int | None, limit_s: float) -> InferResponse:
        self.asked += 1
        if any(payload in body for payload in self.rejected):
            raise UpstreamError("it answers 400", FailureKind.REJECTED)
        return InferResponse("m", None, None, {}, [Tensor.of("y", np.zeros((1, 2), np.float32))])


def outcome(server: Refusing, work: Work) -> tuple[UpstreamModel, Exception | None]:
    """The model after it was asked to do this, and what that raised."""
    known = model("m", at=(health := well(Clock())))
    link = UpstreamLink(cast(OipClient, server), health)
    link.framing.understood(binary=True)

    async def three() -> Exception | None:
        raised: Exception | None = None
        for _ in range(3):
            try:
                await link.ask(known, work)
            except (UpstreamError, ImageError) as error:
                raised = error
        return raised

    return known, asyncio.run(three())


def test_a_picture_is_blamed_where_the_model_does_what_it_can_do() -> None:
    known, error = outcome(Refusing(b"photo"), PHOTO)
    assert isinstance(error, ImageError)
    assert known.health.available


def test_a_picture_is_not_blamed_where_the_model_refuses_all() -> None:
    known, error = outcome(Refusing(b"photo", SAMPLE.payload), PHOTO)
    assert isinstance(error, UpstreamError)
    assert not known.health.available


def test_a_tensor_that_is_rejected_is_held_against_the_model_without_another_try() -> None:
    server = Refusing(b"photo")
    known, error = outcome(server, TENSOR)
    assert isinstance(error, UpstreamError)
    assert (known.health.available, server.asked) == (False, 3)


def test_the_sample_is_tried_once() -> None:
    server = Refusing(SAMPLE.payload)
    known, error = outcome(server, SAMPLE)
    assert isinstance(error, UpstreamError)
    assert (known.health.available, server.asked) == (False, 3)


@pytest.mark.parametrize("work", [PHOTO, TENSOR, SAMPLE], ids=["picture", "tensor", "sample"])
def test_what_is_answered_is_well(work: Work) -> None:
    server = Refusing()
    known, error = outcome(server, work)
    assert error is None
    assert (known.health.available, server.asked) == (True, 3)
