"""What runs any .tflite file, whatever it computes, and what is said of a file that is no classifier."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import no_classifiers
import numpy as np
import pytest
from tflite import Network

from ondevice import runtime as runtimes
from ondevice import trial
from ondevice.errors import ModelError, NotClassifierError
from ondevice.random_input import tensors
from ondevice.runtime import Executable, Model, TensorSpec

SEED = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("make", "given", "made"),
    [
        (no_classifiers.detector, [(1, 32, 32, 3)], [(1, 10, 4), (1, 10), (1, 10), (1, 1)]),
        (no_classifiers.audio, [(1, 1600)], [(1, 5)]),
        (no_classifiers.lstm, [(1, 12, 8)], [(1, 12, 4)]),
        (no_classifiers.words, [(1, 16)], [(1, 16, 4)]),
        (no_classifiers.sums, [(1, 6), (1, 6)], [(1, 6)]),
    ],
)
def test_any_file_runs_on_random_input_of_its_own_shapes(
    make: Callable[[Path], Path], given: list[tuple[int, ...]], made: list[tuple[int, ...]], tmp_path: Path
) -> None:
    executable = Executable(make(tmp_path / "any.tflite"))
    outputs = executable.run(tensors(executable.inputs, SEED))
    assert ([spec.shape for spec in executable.inputs], [out.shape for out in outputs]) == (given, made)
    assert (executable.threads, executable.load_ms > 0) == (1, True)


def test_inputs_and_outputs_keep_their_order(tmp_path: Path) -> None:
    executable = Executable(no_classifiers.sums(tmp_path / "sums.tflite"))
    assert [spec.name for spec in executable.inputs] == ["a", "b"]
    (total,) = executable.run([np.full((1, 6), 2, np.float32), np.full((1, 6), 3, np.float32)])
    assert total.tolist() == [[5.0] * 6]


def test_free_sizes_are_known_and_can_be_given(tmp_path: Path) -> None:
    path = no_classifiers.detector(tmp_path / "free.tflite", (1, -1, -1, 3))
    (spec,) = Executable(path).inputs
    assert (spec.shape, spec.signature) == ((1, 1, 1, 3), (1, -1, -1, 3))
    executable = Executable(path, shapes=[(1, 24, 40, 3)])
    assert executable.inputs[0].shape == (1, 24, 40, 3)
    executable.run(tensors(executable.inputs, SEED))


@pytest.mark.parametrize("shapes", [[(1, 24, 40, 4)], [(24, 40, 3)]])
def test_shapes_that_the_file_cannot_take(shapes: list[tuple[int, ...]], tmp_path: Path) -> None:
    path = no_classifiers.detector(tmp_path / "free.tflite", (1, -1, -1, 3))
    with pytest.raises(ModelError, match=r"^[^\n]*free\.tflite: [^\n]* cannot load it: [^\n]+$"):
        Executable(path, shapes=shapes)


def test_a_tensor_too_few(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"sums\.tflite: inference failed: "):
        Executable(no_classifiers.sums(tmp_path / "sums.tflite")).run([np.zeros((1, 6), np.float32)])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            no_classifiers.detector,
            "it has 1 input and 4 outputs, not one of each): input image [1, 32, 32, 3] float32, "
            "outputs boxes [1, 10, 4] float32, classes [1, 10] float32, [1, 10] float32, count [1, 1] float32",
        ),
        (
            no_classifiers.audio,
            "its input is not [1, height, width, 3 or 1]): input sound [1, 1600] float32, output kinds [1, 5] float32",
        ),
        (
            no_classifiers.lstm,
            "its output is not [1, classes]): input steps [1, 12, 8] float32, output sequence [1, 12, 4] float32",
        ),
        (
            no_classifiers.sums,
            "it has 2 inputs and 1 output, not one of each): inputs a [1, 6] float32, b [1, 6] float32, "
            "output sum [1, 6] float32",
        ),
    ],
)
def test_what_is_no_classifier_says_what_it_is(make: Callable[[Path], Path], said: str, tmp_path: Path) -> None:
    path = make(tmp_path / "other.tflite")
    with pytest.raises(NotClassifierError) as caught:
        Model(path)
    assert str(caught.value) == f"{path}: not an image classifier ({said}; `ondevice bench {path}` times it"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("serving_default_image:0", "image "),
        ("StatefulPartitionedCall:2", ""),
        ("Identity", ""),
        ("a;b;c", "a "),
        ("x" * 80, "x" * 40 + " "),
    ],
)
def test_a_name_is_shown_as_a_person_gave_it(name: str, shown: str) -> None:
    spec = TensorSpec(0, (1, 1, 80), np.dtype("float32"), 0, 0, name, (1, -1, 80))
    assert str(spec) == f"{shown}[1, ?, 80] float32"


def test_a_file_that_takes_only_small_numbers_passes_its_trial(tmp_path: Path) -> None:
    """Of a table of ten words most of the random ones are not in it: an error, and nothing worse."""
    path = no_classifiers.words(tmp_path / "words.tflite", known=10)
    trial.ensure(path, "checksum", runtimes.get())


def test_a_file_that_takes_nothing_does_not_pass_its_trial(tmp_path: Path) -> None:
    net = Network()
    given, made = net.tensor((1, 4), name="x"), net.tensor((1, 4))
    net.operator("GATHER", [net.constant(np.ones(4)), net.constant([9] * 4, "int32")], [made], kind="GatherOptions")
    path = net.write(tmp_path / "never.tflite", [given], [made])
    with pytest.raises(ModelError, match=r"never\.tflite: (inference failed|[^\n]* cannot load it): [^\n]+$"):
        trial.ensure(path, "checksum", runtimes.get())
