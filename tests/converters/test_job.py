"""What a conversion is asked to do: what can be asked for, and that it survives the way to another process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ondevice import records
from ondevice.converters.job import IO, PRECISIONS, RANDOM, ConversionJob
from ondevice.errors import UsageError


def test_a_job_is_the_same_after_its_way_as_json() -> None:
    job = ConversionJob(
        "net.keras", "out", precisions=PRECISIONS, calibration="photos", mean=(1.0, 2.0, 3.0), std=(4.0,), side=96
    )
    assert records.read(ConversionJob, json.loads(json.dumps(job.as_dict()))) == job


@pytest.mark.parametrize(
    ("source", "name", "stem"),
    [
        ("mobilenet_v1_0.25_128", "", "mobilenet_v1_0.25_128"),
        ("some/where/net.keras", "", "net"),
        ("net.h5", "", "net"),
        ("net.weights.h5", "", "net"),
        ("saved/", "", "saved"),
        ("net.keras", "mine", "mine"),
    ],
)
def test_files_are_called_as_their_source_is(source: str, name: str, stem: str) -> None:
    job = ConversionJob(source, "out", name=name)
    assert job.stem == stem
    assert job.path("fp16") == Path("out") / f"{stem}_fp16.tflite"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"precisions": ("fp32", "int4")}, "--precision takes fp32,fp16,dynamic,weight_only,int8, not 'int4'"),
        ({"precisions": ("",)}, "--precision takes fp32,"),
        ({"precisions": ()}, "--precision takes fp32,"),
        ({"io": "int16"}, "--io is one of int8, uint8, float, not 'int16'"),
        ({"mean": (1.0,)}, "mean and std are given together"),
        ({"mean": (1.0,), "std": (1.0,), "value_range": (0.0, 1.0)}, "a range, or mean and std"),
        ({"value_range": (1.0, 0.0)}, "the range's low end must be below its high end"),
        ({"calibration_size": 0}, "--calibration-size must be from 1 to 10000"),
        ({"calibration_size": 10_001}, "--calibration-size must be from 1 to 10000"),
        ({"side": 7}, "--size must be from 8 to 4096 pixels"),
        ({"side": -32}, "--size must be from 8 to 4096 pixels"),
        ({"side": 4097}, "--size must be from 8 to 4096 pixels"),
        ({"precisions": ("int8",)}, "int8 needs --calibration DIR: the ranges of the activations are read off real"),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        ConversionJob("net.keras", "out", **given)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_source_whose_name_no_card_can_have_needs_another() -> None:
    for source, name, better in (
        ("my net.keras", "", "my_net"),
        ("net.keras", "../up", "up"),
        ("net.h5", "a" * 100, "a" * 80),
    ):
        with pytest.raises(UsageError, match=f" cannot be a model's name: give another, such as --name {better}$"):
            ConversionJob(source, "out", name=name).check_name()
        ConversionJob(source, "out", name=better).check_name()


@pytest.mark.parametrize("io", IO)
def test_random_calibration_has_to_be_asked_for_by_name(io: str) -> None:
    assert ConversionJob("net.keras", "out", precisions=("int8",), calibration=RANDOM, io=io).calibration == "random"
