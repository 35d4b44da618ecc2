"""A model that several backends have: one entry a name, and where it is asked."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from given_backend import Given, model, selector

from ondevice import remote
from ondevice.client.endpoint.cnnselect import CnnSelectEndpoint
from ondevice.cloud.app import describe
from ondevice.cloud.app.directory import Directory
from ondevice.protocol.metadata import ModelMetadata, TensorMetadata
from ondevice.protocol.upload_shares import UploadShares
from ondevice.selection.ladder import UploadLadder, ladder
from ondevice.timing.recent import Recent


def backend(name: str, *times_ms: tuple[str, float], top1: float | None = 0.5) -> Given:
    """A backend whose models take so long."""
    given = Given(name, [model(one, top1) for one, _ in times_ms])
    for known, (_, ms) in zip(given.times.learned, times_ms, strict=True):
        known.invoke = Recent([ms] * 20)
    return given


def published(*backends: Given) -> dict[str, Any]:
    found: dict[str, Any] = describe.virtual(selector(*backends), Directory(backends))["parameters"]
    return found


def means_ms(rows: list[dict[str, Any]]) -> dict[str, float]:
    return {row["model"]: round(row["mean_ms"], 3) for row in rows}


def test_a_model_here_and_there_has_one_profile_of_the_faster_place_and_all_places_within() -> None:
    here, there = backend("local", ("a", 9.0), ("b", 5.0)), backend("gpu:8000", ("a", 3.0))
    said = published(here, there)
    assert means_ms(said["profiles"]) == {"a": 3.0, "b": 5.0}
    assert [row["model"] for row in said["profiles"]] == ["a", "b"]
    assert list(said["places"]) == ["a"]
    assert [(one["where"], one["top1"], one["mean_ms"]) for one in said["places"]["a"]] == [
        ("gpu:8000", 0.5, 3.0),
        ("local", 0.5, 9.0),
    ]


def test_the_faster_place_counts_only_while_it_is_there() -> None:
    here, there = backend("local", ("a", 9.0)), backend("gpu:8000", ("a", 3.0))
    there.off.add("a")
    assert means_ms(published(here, there)["profiles"]) == {"a": 9.0}
    here.is_ready = False
    assert means_ms(published(here, there)["profiles"]) == {"a": 3.0}, "neither: it may come back"


def test_a_place_of_unknown_accuracy_is_not_chosen_and_not_published() -> None:
    said = published(backend("local", ("a", 9.0)), backend("gpu:8000", ("a", 3.0), top1=None))
    assert (means_ms(said["profiles"]), said["top1"], said["places"]) == ({"a": 9.0}, {"a": 0.5}, {})


def test_the_client_understands_it() -> None:
    virtual = describe.virtual(
        selector(here := backend("local", ("a", 9.0)), there := backend("gpu:8000", ("a", 3.0))),
        Directory([here, there]),
    )
    assert CnnSelectEndpoint(ModelMetadata.parse(virtual)).names == ("a",)


def test_a_named_model_keeps_the_tensors_that_its_metadata_tell_while_any_such_is_available() -> None:
    here, twin, other = (backend(name, ("a", 5.0)) for name in ("local", "twin:1", "other:1"))
    own = other.models[0]
    other.models = [own.__class__(**{**vars(own), "input": TensorMetadata.of("x", (1, 4, 4, 1), np.dtype("f4"))})]
    directory = Directory([here, other, twin])
    assert directory.find("a")[0] is here
    here.is_ready = False
    assert directory.find("a")[0] is twin
    twin.off.add("a")
    assert directory.find("a")[0] is other
    other.is_ready = False
    assert directory.find("a")[0] is here


def test_what_can_be_sent_to_those_that_can_be_chosen_is_published() -> None:
    assert "uploads" not in published(backend("local", ("a", 9.0))), "its input, 4 x 4, is nobody's"
    given = backend("local", ("a", 9.0), ("b", 3.0))
    sides = (128, 224)
    given.models = [
        replace(one, input=TensorMetadata("in", "UINT8", (1, side, side, 3)), crop=0.875)
        for one, side in zip(given.models, sides, strict=True)
    ]
    read = UploadLadder.from_dict(published(given)["uploads"])
    assert (read.names, read.crop, read.measured) == (("a", "b"), 0.875, ())
    assert np.array_equal(read.kept, ladder({"a": 128, "b": 224}, {}, {}, 0.875).kept.round(4))


def test_a_named_model_tells_what_was_measured_of_it() -> None:
    given = backend("local", ("a", 9.0))
    own = replace(given.models[0], output=TensorMetadata("out", "INT8", (1, 2)))
    plain = describe.model(given, own)["parameters"]
    assert (plain["crop"], "uploads" in plain) == (1.0, False)
    shares = UploadShares(("128,40",), (2500.0,), (0.8,))
    told = describe.model(given, replace(own, crop=0.875, uploads=shares))
    assert told["parameters"]["uploads"] == {"rungs": ("128,40",), "bytes": (2500.0,), "kept": (0.8,)}
    in_front = remote.describe("a", ModelMetadata.parse(json.loads(json.dumps(told))), "there").served
    assert (in_front.crop, in_front.uploads) == (0.875, shares)
