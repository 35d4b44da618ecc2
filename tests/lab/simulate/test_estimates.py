"""What policies are told of the reply and the link."""

from __future__ import annotations

import numpy as np
import pytest

from ondevice.lab.simulate.estimates import WINDOW, ReplyEstimate, RequestEstimator
from ondevice.lab.simulate.legs import DEFAULT_SIZES, Legs, find
from ondevice.selection.replies import Replies

NETWORK = find("lognormal:mean=46,std=24")


def legs(first: int, n: int) -> Legs:
    return NETWORK.sample(np.zeros(n), np.random.default_rng(first), DEFAULT_SIZES, first)


def test_only_the_past_is_seen_whole_or_in_parts() -> None:
    whole = legs(0, 100)
    parts = [Legs(whole.through_ms[s], whole.upload_ms[s], lambda leaves_ms, part, s=s: whole.reply_ms[s][part])  # type: ignore[misc]
             for s in (slice(0, 1), slice(1, 40), slice(40, 100))]  # fmt: skip
    estimator = RequestEstimator(ReplyEstimate.SEEN, NETWORK, DEFAULT_SIZES)
    told = [estimator.requests(part, 200, 0.4) for part in parts]
    reply_ms, link_ms = (np.concatenate([getattr(t, name) for t in told]) for name in ("reply_ms", "link_ms"))
    total_ms = whole.upload_ms + whole.reply_ms
    for i in range(WINDOW, 100):
        assert reply_ms[i] == pytest.approx(whole.reply_ms[i - WINDOW : i])
        assert link_ms[i, 0] == pytest.approx(total_ms[i - WINDOW : i].mean())
    # Before, it is taken to be as the first upload.
    assert reply_ms[0] == pytest.approx(np.full(WINDOW, whole.upload_ms[0]))
    assert reply_ms[1, -1] == whole.reply_ms[0]


def test_the_reply_given_the_upload_is_learned_from_the_past_in_parts_or_whole() -> None:
    whole = legs(0, 60)
    parts = [Legs(whole.through_ms[s], whole.upload_ms[s], lambda leaves_ms, part, s=s: whole.reply_ms[s][part])  # type: ignore[misc]
             for s in (slice(0, 1), slice(1, 60))]  # fmt: skip
    estimator = RequestEstimator(ReplyEstimate.GIVEN, NETWORK, DEFAULT_SIZES)
    told = np.concatenate([estimator.requests(part, 200, 0.4).reply_ms for part in parts])  # type: ignore[misc]
    replies = Replies()
    for i in range(60):
        assert told[i] == pytest.approx(replies.points_ms(whole.upload_ms[i]))
        replies.add(float(whole.upload_ms[i]), float(whole.reply_ms[i]))


def test_published_knowledge_is_the_upload_alone() -> None:
    told = RequestEstimator(ReplyEstimate.UPLOAD, NETWORK, DEFAULT_SIZES).requests(legs(0, 9), 200, 0.4)
    assert told.reply_ms is None
    assert told.link_ms is None
    assert (told.return_ms == told.upload_ms).all()
    assert told.sla_ms.tolist() == [200] * 9
    assert told.device_top1.tolist() == [0.4]


def test_the_truth_is_the_network_s() -> None:
    told = RequestEstimator(ReplyEstimate.TRUE, NETWORK, DEFAULT_SIZES).requests(legs(0, 9), 200, 0.4)
    assert told.reply_ms is not None
    assert told.reply_ms.shape == (9, 21)
    assert told.reply_ms[0].mean() == pytest.approx(46, rel=0.05)
    assert np.unique(told.link_ms) == pytest.approx([92])
