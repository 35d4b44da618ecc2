"""What models are called beside each other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ondevice.bench.measure import measure
from ondevice.bench.names import names
from ondevice.bench.record import BenchRecord
from ondevice.bench.spec import Spec


@pytest.fixture(scope="module")
def real() -> BenchRecord:
    return measure(Spec("digits_xs_int8", warmup=1, runs=2, min_secs=0))


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([("/x/model.tflite", "1"), ("/y/model.tflite", "1")], ["model", "model"]),
        ([("/x/a/model.tflite", "1"), ("/x/b/model.tflite", "2")], ["a/model", "b/model"]),
        ([("/x/a/v/model.tflite", "1"), ("/x/b/v/model.tflite", "2")], ["a/v/model", "b/v/model"]),
        ([("model.tflite", "1"), ("b/model.tflite", "2")], ["model", "b/model"]),
        ([("/a/model.tflite", "1"), ("/a/model.tflite", "2" * 64)], ["model (1)", "model (22222222)"]),
        (
            [("/a/model.tflite", "1"), ("/b/model.tflite", "2"), ("/a/model.tflite", "1")],
            ["a/model", "b/model", "a/model"],
        ),
    ],
)
def test_files_of_one_name_have_as_much_of_their_paths_as_tells_them_apart(
    real: BenchRecord, files: list[tuple[str, str]], expected: list[str]
) -> None:
    found = names([replace(real, model="model", path=path, sha256=checksum) for path, checksum in files])
    assert found == expected


def test_a_name_of_its_own_stays_as_it_is(real: BenchRecord) -> None:
    assert names([real, replace(real, model="other", path="/x/other.tflite", sha256="1")]) == [real.model, "other"]
