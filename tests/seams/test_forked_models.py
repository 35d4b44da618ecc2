"""A process that has models and forks: the child's answers are its parent's, with as many threads, and both end."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from forked import PATIENCE_S, forked
from tflite import Network

from ondevice.answer import Prediction
from ondevice.devices.emulate import EmulatedExecutable
from ondevice.errors import ModelError
from ondevice.models import zoo
from ondevice.runner import Runner
from ondevice.runtime import Executable, Model

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

linux = pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")


def threads_now() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def convolution(path: Path, side: int = 96, kinds: int = 32) -> Path:
    """A picture through a three-dimensional convolution, which XNNPACK leaves to the runtime's own threads."""
    net = Network()
    picture = net.tensor((1, side, side, 3), name="picture")
    deep = (1, 1, side, side, 3)
    given = net.operator("RESHAPE", [picture, net.constant(deep, "int32")], [net.tensor(deep)], kind="ReshapeOptions")
    filters = net.constant(np.random.default_rng(0).standard_normal((1, 3, 3, 3, kinds)))
    strides = {f"{what}{axis}{end}": 1 for what, end in (("stride", ""), ("dilation", "Factor")) for axis in "DHW"}
    inputs = [given, filters, net.constant(np.zeros(kinds))]
    made = net.operator("CONV_3D", inputs, [net.tensor((1, 1, side, side, kinds))], kind="Conv3DOptions", **strides)
    axes, scores = net.constant([1, 2, 3], "int32"), net.tensor((1, kinds), name="scores")
    net.operator("MEAN", [made, axes], [scores], kind="ReducerOptions", keepDims=False)
    return net.write(path, [picture], [scores])


def best(runner: Runner, sample: Path) -> tuple[Prediction, ...]:
    return runner.classify(sample).top


@pytest.mark.parametrize("used", [True, False], ids=["used", "unused"])
@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("name", ["digits_m_fp32", "digits_m_int8"])
def test_a_child_answers_as_its_parent_and_so_does_its_own_child(
    name: str, threads: int, used: bool, sample: Path
) -> None:
    runner, expected = Runner(name, threads), best(Runner(name), sample)
    if used:
        best(runner, sample)
    assert forked(best, runner, sample) == expected
    assert forked(forked, best, runner, sample) == expected
    assert best(runner, sample) == expected


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_so_does_one_whose_operators_have_threads_of_the_runtimes_own(threads: int, tmp_path: Path) -> None:
    model = Model(convolution(tmp_path / "convolution.tflite"), threads)
    picture = np.random.default_rng(1).random(model.input.shape, np.float32)
    model.invoke(picture)
    np.testing.assert_array_equal(forked(model.invoke, picture), model.invoke(picture))


@linux
def test_a_child_has_as_many_threads(sample: Path) -> None:
    runner = Runner("digits_m_fp32", threads=4)
    best(runner, sample)

    def more() -> int:
        before = threads_now()
        best(runner, sample)
        return threads_now() - before

    assert forked(more) == 3


def test_the_real_ones_too(data: Path, tmp_path: Path) -> None:
    photo = min((data / "imagenet").glob("*.JPEG"))
    for path in sorted((data / "tflite").glob("*.tflite")):
        runner = Runner(path, threads=2)
        expected = best(runner, photo)
        assert forked(best, runner, photo) == expected, path.name


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_a_child_may_let_go_of_what_it_inherited(threads: int, sample: Path) -> None:
    kept = [Runner("digits_m_fp32", threads)]
    best(kept[0], sample)
    forked(kept.clear)


_PROGRAM = """
import os, sys
from ondevice import Runner

runner = Runner("digits_m_fp32", threads=4)
first = runner.classify(sys.argv[1]).top
child = os.fork()
if child == 0 and sys.argv[2] == "asks":
    assert runner.classify(sys.argv[1]).top == first
if child:
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.parametrize("what", ["asks", "asks not"])
def test_a_child_ends_as_programs_do(what: str, sample: Path) -> None:
    command = [sys.executable, "-c", _PROGRAM, str(sample), what]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.stdout == "0\n", done.stderr


def test_a_pool_of_forked_processes_answers(sample: Path) -> None:
    runner = Runner("digits_m_int8", threads=2)
    expected = best(runner, sample)
    with multiprocessing.get_context("fork").Pool(2, _keep, (runner,)) as pool:
        assert pool.map_async(_ask, [sample] * 20).get(PATIENCE_S) == [expected] * 20


_kept: list[Runner] = []


def _keep(runner: Runner) -> None:
    _kept.append(runner)


def _ask(picture: Path) -> tuple[Prediction, ...]:
    return best(_kept[0], picture)


def failure(model: Model) -> str:
    with pytest.raises(ModelError) as caught:
        model.invoke(np.zeros(model.input.shape, model.input.dtype))
    return str(caught.value)


def test_a_file_that_is_gone_by_then_is_told(stranger: Path) -> None:
    model = Model(stranger, threads=2)
    stranger.unlink()
    assert forked(failure, model) == (
        f"{stranger}: its file is gone, and a forked process loads its models anew: keep the file, or load it after "
        "the fork"
    )
    model.invoke(np.zeros(model.input.shape, model.input.dtype))  # here it is loaded


def test_a_file_that_is_another_one_by_then_is_told(stranger: Path) -> None:
    model = Model(stranger)
    other = zoo.find("digits_xs_int8").path.read_bytes()
    stranger.unlink()
    stranger.write_bytes(other)
    assert "its file is another one now" in forked(failure, model)


def test_a_child_in_another_folder_finds_a_file_that_was_named_from_here(
    stranger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(stranger.parent)
    model = Model(stranger.name)
    zeros = np.zeros(model.input.shape, model.input.dtype)

    def elsewhere() -> int:
        os.chdir("/")
        return len(model.invoke(zeros))

    assert forked(elsewhere) == 10


def test_free_sizes_are_what_they_were(tmp_path: Path) -> None:
    net = Network()
    picture = net.tensor((1, -1, -1, 3), name="picture")
    axes, scores = net.constant([1, 2], "int32"), net.tensor((1, 3), name="scores")
    net.operator("MEAN", [picture, axes], [scores], kind="ReducerOptions", keepDims=False)
    executable = Executable(net.write(tmp_path / "free.tflite", [picture], [scores]), shapes=[(1, 24, 40, 3)])
    ones = [np.ones((1, 24, 40, 3), np.float32)]
    np.testing.assert_array_equal(forked(executable.run, ones)[0], [[1, 1, 1]])


def test_children_of_an_emulated_device_draw_times_of_their_own(sample: Path) -> None:
    runner = Runner("digits_xs_fp32", device="pieslicer-phone")
    executable = runner.model.executable
    assert isinstance(executable, EmulatedExecutable)
    expected = best(runner, sample)

    def drawn() -> tuple[tuple[Prediction, ...], list[float]]:
        return best(runner, sample), [executable._draw() for _ in range(3)]

    (one, times), (other, others) = forked(drawn), forked(drawn)
    assert one == other == expected
    assert times != others
