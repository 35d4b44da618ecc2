"""What the endpoint says of its models: what is to be expected of it, against a plain computation, and lies."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
from collections.abc import Callable
from typing import Any

import engines
import numpy as np
import pytest
from good_endpoint import described, metadata, profile
from hypothesis import event, example, given, settings
from hypothesis import strategies as st
from junk import ANYTHING, spoiled
from one_upload import effective_top1

from ondevice.client.endpoint.cnnselect import CnnSelectEndpoint, picture_request
from ondevice.client.endpoint.description import RequestContext
from ondevice.client.picture import Upload
from ondevice.errors import UpstreamError
from ondevice.protocol.metadata import ModelMetadata
from ondevice.selection import policies
from ondevice.selection.problem import Models, Requests
from ondevice.timing.profile import Profile
from ondevice.timing.recent import Recent

MODELS = {"small": (0.5, 10.0), "middle": (0.7, 40.0), "large": (0.9, 120.0)}
AROUND_MS = np.linspace(20, 80, 21)


def published(policy: str = "effective", **more: Any) -> CnnSelectEndpoint:
    return CnnSelectEndpoint(described(MODELS, policy=policy, **more))


# What is expected


def chance(quantiles_ms: list[float], within_ms: float) -> float:
    """P(time <= within_ms), the time uniform between neighbouring quantiles."""
    total = 0.0
    for low, high in itertools.pairwise(quantiles_ms):
        total += float(within_ms >= high) if high == low else min(max((within_ms - low) / (high - low), 0.0), 1.0)
    return total / (len(quantiles_ms) - 1)


def brute(policy: str, within_ms: float, return_ms: float, device_top1: float) -> float:
    """The expected effective accuracy: for each time of the network what the endpoint chooses, and whether it fits."""
    rows = [profile(name, mean_ms) for name, (_, mean_ms) in MODELS.items()]
    top1 = [accuracy for accuracy, _ in MODELS.values()]
    models = Models(
        tuple(MODELS), np.array(top1), *(np.array([row[key] for row in rows]) for key in ("mean_ms", "std_ms")),
        np.array([row["quantiles_ms"] for row in rows]),
    )  # fmt: skip
    set_aside_ms, total = min(return_ms, AROUND_MS[0]), 0.0
    for overhead_ms in AROUND_MS.tolist():
        seen = Requests.one(within_ms, overhead_ms - set_aside_ms, set_aside_ms, device_top1)
        chosen = policies.find(policy)(models, seen)[0].tolist()
        for row, accuracy, probability in zip(rows, top1, chosen, strict=True):
            on_time = chance(row["quantiles_ms"], within_ms - overhead_ms)
            better = max(accuracy, device_top1)  # the client keeps the better of two answers
            total += probability * (on_time * better + (1 - on_time) * device_top1)
    return total / len(AROUND_MS)


@pytest.mark.parametrize("policy", [*policies.POLICIES, "cnnselect:threshold_ms=20,reading=sigma"])
@given(
    within_ms=st.sampled_from([5, 50, 75, 100, 160, 180]) | st.floats(0, 1000),
    return_ms=st.sampled_from([0, 15]) | st.floats(0, 1000),
    device_top1=st.sampled_from([0, 0.6, 0.95]) | st.floats(0, 1),
)
@settings(max_examples=20)
def test_the_effective_accuracy_is_that_of_a_plain_computation(
    policy: str, within_ms: float, return_ms: float, device_top1: float
) -> None:
    found = effective_top1(published(policy), within_ms, AROUND_MS, return_ms, device_top1)
    assert found == pytest.approx(brute(policy, within_ms, return_ms, device_top1), abs=1e-9)


def test_the_effective_accuracy_by_hand() -> None:
    endpoint = CnnSelectEndpoint(described({"one": (0.8, 10.0)}))  # between 9 and 11 ms
    overhead_ms = np.array([10.0, 20.0, 30.0, 40.0])
    assert effective_top1(endpoint, 40, overhead_ms, 5, 0.0) == pytest.approx(0.8 * (1 + 1 + 0.5 + 0) / 4)
    assert effective_top1(endpoint, 40, overhead_ms, 5, 0.6) == pytest.approx(0.6 + 0.2 * 2.5 / 4)
    assert effective_top1(endpoint, 5, overhead_ms, 5, 0.6) == 0.6
    assert effective_top1(endpoint, 100, overhead_ms, 5, 0.9) == 0.9, "the device is better in any case"


def test_more_time_is_never_worse_with_the_default_policy() -> None:
    expected = [effective_top1(published(), within_ms, AROUND_MS, 10, 0.4) for within_ms in range(0, 300, 5)]
    assert (np.diff(expected) > -1e-9).all()
    assert (expected[0], expected[-1]) == (0.4, pytest.approx(0.9))


@pytest.mark.parametrize("policy", ["", "clairvoyant", "cnnselect:width=3", "mdinference:gamma=much", "\0" * 1000])
def test_a_policy_that_is_not_known_here_is_taken_for_the_default(policy: str) -> None:
    for within_ms in (50.0, 100.0, 160.0):
        found = effective_top1(published(policy), within_ms, AROUND_MS, 10, 0.4)
        assert found == effective_top1(published("effective"), within_ms, AROUND_MS, 10, 0.4)


def test_what_it_says() -> None:
    found = published(picture_side=160)
    assert (found.names, found.best_top1, found.side) == (("small", "middle", "large"), 0.9, 160)
    assert published().side == 0


def test_of_a_model_that_stands_twice_the_faster_place_counts() -> None:
    """0.1.0 published a model that it had here and at another server once for each place."""
    rows = [profile("one", 50.0), profile("other", 5.0), profile("one", 10.0)]
    endpoint = CnnSelectEndpoint(described({"one": (0.8, 0.0), "other": (0.5, 0.0)}, profiles=rows))
    assert endpoint.names == ("one", "other")
    assert effective_top1(endpoint, 20, np.zeros(1), 0, 0.0) == pytest.approx(0.8)


# Learning


@pytest.mark.parametrize("policy", ["effective", "mdinference", "layercake:share=1,buffer_ms=0"])
def test_a_model_that_has_become_slow_is_expected_to_be(policy: str) -> None:
    endpoint = CnnSelectEndpoint(described({"one": (0.8, 10.0), "other": (0.5, 5.0)}, policy=policy))
    overhead_ms = np.zeros(1)
    before = effective_top1(endpoint, 20, overhead_ms, 0, 0.0)
    assert before == pytest.approx(0.8)
    for _ in range(60):
        endpoint.record_inference("one", 100.0)
    assert effective_top1(endpoint, 20, overhead_ms, 0, 0.0) == pytest.approx(0.5), "the other is chosen, and in time"
    assert effective_top1(endpoint, 101, overhead_ms, 0, 0.0) == pytest.approx(0.8)


def test_learning_is_that_of_recent_times_seeded_with_the_profile() -> None:
    endpoint = CnnSelectEndpoint(described({"one": (0.8, 10.0)}))
    recent = Recent.seeded(Profile(**profile("one", 10.0)).distribution, 1)
    for ms in (12.0, 13.0, 14.0):
        endpoint.record_inference("one", ms)
        recent.add(ms)
    for within_ms in np.linspace(8, 15, 30).tolist():
        expected = 0.8 * chance(recent.distribution.quantiles_ms.tolist(), within_ms)
        assert effective_top1(endpoint, within_ms, np.zeros(1), 0, 0.0) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("model", "ms"), [("unknown", 5.0), ("", 5.0), ("large", math.nan), ("large", math.inf), ("large", -1.0)]
)
def test_what_cannot_be_learned_changes_nothing(model: str, ms: float) -> None:
    endpoint, untouched = published(), published()
    for _ in range(50):
        endpoint.record_inference(model, ms)
    for within_ms in (50.0, 160.0, 190.0):
        arguments = within_ms, AROUND_MS, 10.0, 0.4
        assert effective_top1(endpoint, *arguments) == effective_top1(untouched, *arguments)


# RequestContext


def test_a_question() -> None:
    request, model, top = picture_request(
        Upload(b"jpeg", "image/jpeg"), RequestContext(123.4567, lambda: AROUND_MS, 20, 0.5, 3)
    )
    assert (request.method, request.body, request.headers) == ("POST", b"jpeg", {"Content-Type": "image/jpeg"})
    assert request.path == "/v2/models/cnnselect/infer?sla_ms=123.457&return_ms=20.000&top=3&device_top1=0.5000"
    assert (model, top) == ("", 3)


def test_a_question_where_there_is_no_answer_of_the_device() -> None:
    asked = engines.awaited(
        published().prepare(
            Upload(b"", "image/png"), RequestContext(100, lambda: AROUND_MS, 0, 0, 1), engines.ENGINE.aside
        )
    )
    assert asked.request.path == "/v2/models/cnnselect/infer?sla_ms=100.000&return_ms=0.000&top=1"


# What is malformed


def _profiles(change: Callable[[list[dict[str, Any]]], Any]) -> dict[str, Any]:
    made = metadata(MODELS)
    change(made["parameters"]["profiles"])
    return made


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"parameters": None},
        {"parameters": []},
        {"parameters": "text"},
        {"parameters": {}},
        {"parameters": {"profiles": [], "top1": {}}},
        metadata(MODELS, profiles=None),
        metadata(MODELS, profiles={}),
        metadata(MODELS, profiles=["small"]),
        metadata(MODELS, top1={}),
        metadata(MODELS, top1=[0.5, 0.7, 0.9]),
        metadata(MODELS, top1={"small": 0.5, "middle": 0.7, "large": 1.5}),
        metadata(MODELS, top1={"small": 0.5, "middle": 0.7, "large": "best"}),
        metadata(MODELS, top1={"small": 0.5, "middle": 0.7, "large": math.nan}),
        metadata(MODELS, picture_side=-1),
        metadata(MODELS, picture_side=math.inf),
        metadata(MODELS, picture_side=10**9),
        metadata(MODELS, picture_side="wide"),
        _profiles(lambda rows: rows[0].update(model=["middle"])),
        _profiles(lambda rows: rows[0].update(quantiles_ms=[1.0] * 20)),
        _profiles(lambda rows: rows[0].update(quantiles_ms=[2.0] + [1.0] * 20)),
        _profiles(lambda rows: rows[0].update(quantiles_ms="short")),
        _profiles(lambda rows: rows[0].update(quantiles_ms=[10**400] * 21)),
        _profiles(lambda rows: rows[0].update(quantiles_ms=[1e308] * 21)),
        _profiles(lambda rows: rows[0].update(mean_ms=math.nan)),
        _profiles(lambda rows: rows[0].update(mean_ms=1e308, std_ms=1e308)),
        _profiles(lambda rows: rows[0].update(std_ms=-1)),
        _profiles(lambda rows: rows[0].update(surplus=1)),
        _profiles(lambda rows: rows[0].update(n="many")),
        _profiles(lambda rows: rows[0].pop("host")),
        _profiles(lambda rows: rows[0].update(model="a\nb")),
    ],
)  # fmt: skip
def test_what_is_no_metadata_is_a_failure_in_one_line(said: dict[str, Any]) -> None:
    with pytest.raises(UpstreamError, match="is not understood") as caught:
        CnnSelectEndpoint(ModelMetadata.parse(said))
    assert caught.value.failure == "wrong"
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def taken(said: dict[str, Any]) -> CnnSelectEndpoint | UpstreamError:
    """What is made of metadata as they come over the connections."""
    try:
        return CnnSelectEndpoint(ModelMetadata.parse(json.loads(json.dumps(said))))
    except UpstreamError as error:
        return error


@given(spoiled(metadata(MODELS, picture_side=224)))
@settings(max_examples=200)
def test_whatever_is_wrong_with_metadata_is_a_failure_or_leaves_what_can_be_reckoned_with(said: dict[str, Any]) -> None:
    found = taken(said)
    event(type(found).__name__)
    if isinstance(found, UpstreamError):
        assert found.failure == "wrong"
        assert "\n" not in str(found)
    else:
        found.record_inference("small", 5.0)
        assert 0 <= effective_top1(found, 100.0, AROUND_MS, 10.0, 0.4) <= 1
        assert 0 <= found.best_top1 <= 1
        assert 0 <= found.side <= 4096


def test_nested_as_deep_as_can_be_read() -> None:
    for depth in (10, 100, 400, 600, 800, 900, 940, 960, 980, 990):
        try:
            nested = json.loads("[" * depth + "]" * depth)
        except RecursionError:
            break
        for key in ("profiles", "top1", "policy", "picture_side"):
            with contextlib.suppress(UpstreamError):
                assert CnnSelectEndpoint(described(MODELS, **{key: nested})).best_top1 == 0.9


@given(ANYTHING)
@example(10**400)
def test_any_policy_at_all(value: Any) -> None:
    try:
        assert 0.4 <= effective_top1(published(value), 100.0, AROUND_MS, 10.0, 0.4) <= 0.9
    except UpstreamError:
        assert isinstance(value, int)
        assert abs(value) > 1e300  # too long to be told
