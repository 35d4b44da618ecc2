"""An unknown model file is tried in a child process, once."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from serving import children, living, until

from ondevice import Runner, trial
from ondevice.errors import HostileModelError, ModelError, OnDeviceError
from ondevice.models import files, zoo
from ondevice.process import child

ROOT = Path(__file__).parents[2]


def tried() -> list[Path]:
    return sorted((files.cache_dir() / "tried").glob("*"))


def test_an_unknown_file_is_tried_once_and_remembered_by_checksum(
    stranger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Runner(stranger)
    (mark,) = tried()
    assert mark.name.startswith(files.sha256(stranger))
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    moved = stranger.rename(stranger.with_name("moved.tflite"))
    assert Runner(moved).name == "moved"


def test_a_known_file_needs_no_trial(tmp_path: Path) -> None:
    copy = tmp_path / "copy.tflite"
    copy.write_bytes(zoo.find("digits_xs_fp32").path.read_bytes())
    assert Runner(copy).name == "digits_xs_fp32"
    assert tried() == []


@pytest.mark.parametrize(
    ("program", "timeout_s", "said"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", 60.0, "SIGSEGV"),
        ("import os; os.abort()", 60.0, "SIGABRT"),
        ("import time; time.sleep(60)", 0.5, "took over"),
    ],
)
def test_a_file_that_crashes_or_hangs_the_runtime_is_refused(
    stranger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, timeout_s: float, said: str
) -> None:
    # A real process that dies or hangs for real, where the runtime would.
    fake = tmp_path / "python"
    fake.write_text(f"#!{sys.executable}\n{program}\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    monkeypatch.setattr(trial, "TIMEOUT_S", timeout_s)
    with pytest.raises(HostileModelError, match=said) as caught:
        Runner(stranger)
    assert "\n" not in str(caught.value)
    assert str(stranger) in str(caught.value)
    assert tried() == []


def test_a_trial_by_another_version_blames_no_file(stranger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "__version__", "0.0.1")
    with pytest.raises(OnDeviceError, match=r"^ondevice 0\.0\.1 was replaced by .*: start it again$") as caught:
        Runner(stranger)
    assert not isinstance(caught.value, ModelError)
    assert tried() == []


def test_a_trial_that_fails_in_python_says_how(stranger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(stranger.parent))
    (stranger.parent / "sitecustomize.py").write_text("import sys; sys.exit('no memory')")
    with pytest.raises(ModelError, match=r"its trial run failed \(exit status 1\): SystemExit: no memory$"):
        Runner(stranger)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_ctrl_c_in_the_middle_of_a_trial_leaves_nothing(stranger: Path, sample: Path) -> None:
    (stranger.parent / "sitecustomize.py").write_text(
        "import sys, time\nif 'ondevice.trial' in sys.orig_argv: time.sleep(600)\n"
    )
    path = os.pathsep.join(filter(None, [str(stranger.parent), os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, "-m", "ondevice", "run", str(stranger), str(sample)]
    environment = {**os.environ, "PYTHONPATH": path}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        (pid,) = until(lambda: children(process.pid))
        process.send_signal(signal.SIGINT)
        assert process.communicate()[1] == "ondevice: error: interrupted\n"
    assert process.returncode == 130
    assert living([pid]) == []
    assert tried() == []


def test_an_unwritable_cache_costs_a_trial_each_time_and_nothing_else(stranger: Path, home: Path) -> None:
    (home / "cache").write_text("a file where the folder should be")
    assert Runner(stranger).model.outputs == 10


def test_a_child_has_no_core_dumps(stranger: Path) -> None:
    program = (
        "import resource; from ondevice import trial; trial._limit(); print(resource.getrlimit(resource.RLIMIT_CORE))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(0, 0)"


def test_mutated_files_give_an_answer_or_a_one_line_error() -> None:
    program = (ROOT / "benchmarks" / "mutants.py").read_text()
    done = subprocess.run(
        [sys.executable, "-c", program, "--count", "12"],
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ),
    )
    lines = done.stdout.splitlines()
    assert lines[0].startswith("12 mutants")
    assert sum(int(line.split()[0]) for line in lines[1:]) == 12
    assert "several lines" not in done.stdout


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\x1c\x00\x00\x00TFL3" + bytes(100), b"not a model at all" * 100])
def test_what_is_no_model_is_a_one_line_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        Runner(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_kind_of_mutant_differs_from_the_original() -> None:
    import importlib.util

    spec = importlib.util.spec_from_file_location("mutants", ROOT / "benchmarks" / "mutants.py")
    assert spec is not None
    assert spec.loader is not None
    mutants = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(mutants)
    good, rng = zoo.find("digits_l_int8").path.read_bytes(), np.random.default_rng(0)
    for kind, _ in itertools.product(mutants.KINDS, range(5)):
        assert mutants.mutant(good, kind, rng) != good
