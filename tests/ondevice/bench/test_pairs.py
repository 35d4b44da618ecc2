"""Measurements of two files, paired by the model file that they are of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ondevice.bench.measure import measure
from ondevice.bench.pairs import paired
from ondevice.bench.record import BenchRecord
from ondevice.bench.spec import Spec


@pytest.fixture(scope="module")
def real() -> BenchRecord:
    return measure(Spec("digits_xs_int8", warmup=1, runs=2, min_secs=0))


def of(real: BenchRecord, folder: str, checksum: str, **more: Any) -> BenchRecord:
    return replace(real, model="model", path=f"/{folder}/model.tflite", sha256=checksum, **more)


def test_files_of_one_name_are_paired_with_themselves(real: BenchRecord) -> None:
    a, b = of(real, "a", "1"), of(real, "b", "2")
    assert paired([a, b], [b, a]).pairs == ((a, a, True), (b, b, True))


def test_a_name_that_two_have_pairs_nothing(real: BenchRecord) -> None:
    ours, theirs = of(real, "a", "1"), [of(real, "b", "2"), of(real, "c", "3")]
    found = paired([ours], theirs)
    assert (found.pairs, found.only_a, found.only_b) == ((), (ours,), tuple(theirs))


def test_a_file_that_changed_where_it_lies_comes_before_another_of_its_name(real: BenchRecord) -> None:
    ours, changed, other = of(real, "a", "1"), of(real, "a", "2"), of(real, "b", "3")
    found = paired([ours], [other, changed])
    assert (found.pairs, found.only_b) == (((ours, changed, False),), (other,))


def test_the_runtime_chooses_among_measurements_of_one_file(real: BenchRecord) -> None:
    one, other = of(real, "a", "1", runtime="one"), of(real, "a", "1", runtime="other")
    assert paired([one, other], [other, one]).pairs == ((one, one, True), (other, other, True))
    assert paired([one], [other]).pairs == ((one, other, True),), "runtimes are compared"


def test_measured_twice_is_paired_in_order_and_no_measurement_twice(real: BenchRecord) -> None:
    first, second, third = (of(real, "a", "1", started=started) for started in ("1", "2", "3"))
    found = paired([first, second], [third])
    assert (found.pairs, found.only_a, found.only_b) == (((first, third, True),), (second,), ())


def test_the_pairs_stand_as_in_the_first_file(real: BenchRecord) -> None:
    records = [of(real, folder, folder) for folder in "cab"]
    assert [pair.a for pair in paired(records, sorted(records, key=lambda r: r.path)).pairs] == records
