"""MLPerf's scenarios by LoadGen: figures and verdicts, the logs, the search for the peak, failures, interrupts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ondevice.bench import mlperf
from ondevice.bench.mlperf import ScenarioSettings
from ondevice.errors import OnDeviceError, UsageError
from ondevice.models import zoo
from ondevice.runtime import Model

pytest.importorskip("mlperf_loadgen")

LIBRARY = 5
LOGS = {"mlperf_log_accuracy.json", "mlperf_log_detail.txt", "mlperf_log_summary.txt"}


class Calls:
    """A bundled CNN on random tensors, which remembers what it was asked for and by which thread."""

    def __init__(self) -> None:
        self.model = Model(zoo.find("digits_xs_int8").path)
        noise = np.random.default_rng(0).integers(-128, 127, (LIBRARY, *self.model.input.shape))
        self.tensors = noise.astype(self.model.input.dtype)
        self.samples: Counter[int] = Counter()
        self.threads: set[int] = set()

    def __call__(self, sample: int) -> np.ndarray[Any, Any]:
        self.samples[sample] += 1
        self.threads.add(threading.get_ident())
        return self.model.invoke(self.tensors[sample])


@pytest.fixture
def calls() -> Calls:
    return Calls()


def _settings(scenario: str, **changes: Any) -> ScenarioSettings:
    return ScenarioSettings(scenario, **{"min_queries": 700, "min_duration_s": 0.2, "target_qps": 1000.0} | changes)


def _files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("scenario", "metric", "unit", "key", "scale"),
    [
        ("single-stream", "90th percentile latency", "ms", "result_90.00_percentile_latency_ns", 1e6),
        ("multi-stream", "99th percentile latency", "ms", "result_99.00_percentile_per_query_latency_ns", 1e6),
        ("server", "queries per second", "1/s", "result_completed_samples_per_sec", 1),
        ("offline", "samples per second", "1/s", "result_samples_per_second", 1),
    ],
)
def test_a_run_has_the_figure_that_mlperf_reports_its_details_and_the_logs(
    scenario: str, metric: str, unit: str, key: str, scale: float, calls: Calls, tmp_path: Path
) -> None:
    result = mlperf.run(calls, LIBRARY, _settings(scenario, samples_per_query=2), tmp_path / "new" / "logs")
    assert (result.scenario, result.log_dir) == (scenario, str(tmp_path / "new" / "logs"))
    assert _files(Path(result.log_dir)) == LOGS
    assert (result.metric, result.unit) == (metric, unit)
    assert result.value * scale == pytest.approx(result.details[key])
    assert result.value > 0
    assert result.details["result_min_latency_ns"] <= result.details["result_50.00_percentile_latency_ns"]
    assert result.details["result_50.00_percentile_latency_ns"] <= result.details["result_max_latency_ns"]
    assert result.valid or result.reasons
    assert set(calls.samples) == set(range(LIBRARY))
    assert calls.threads == {threading.get_ident()}


@pytest.mark.parametrize("scenario", mlperf.SCENARIOS)
def test_each_sample_issued_is_inferred_once(scenario: str, tmp_path: Path) -> None:
    inferred: list[int] = []

    def slow(sample: int) -> None:
        inferred.append(sample)
        threading.Event().wait(0.02)  # so that the estimate is over with its fourth inference

    settings = ScenarioSettings(scenario, min_queries=12, min_duration_s=0.1, target_qps=40.0, samples_per_query=2)
    result = mlperf.run(slow, 3, settings, tmp_path)
    assert len(inferred) - 4 == result.queries * result.details["generated_samples_per_query"] >= 12


def test_the_seed_settles_the_order_of_samples(tmp_path: Path) -> None:
    def order(seed: int) -> list[int]:
        samples: list[int] = []

        def slow(sample: int) -> None:
            samples.append(sample)
            threading.Event().wait(0.02)

        mlperf.run(slow, LIBRARY, ScenarioSettings("single-stream", 20, 0.0, seed=seed), tmp_path)
        return samples

    assert order(1) == order(1) != order(2)


@pytest.mark.parametrize(
    ("scenario", "changes", "reason"),
    [
        ("single-stream", {"min_queries": 5}, "early stopping not satisfied: Only processed 5 queries."),
        ("multi-stream", {"min_queries": 5}, "early stopping not satisfied: Only processed 5 queries."),
        ("server", {"latency_bound_ms": 0.001}, "performance constraints not satisfied"),
    ],
)
def test_an_invalid_run_says_why(
    scenario: str, changes: dict[str, Any], reason: str, calls: Calls, tmp_path: Path
) -> None:
    result = mlperf.run(calls, LIBRARY, _settings(scenario, min_duration_s=0.0, **changes), tmp_path)
    assert not result.valid
    assert any(given.startswith(reason) for given in result.reasons)


def test_enough_queries_make_a_valid_run(calls: Calls, tmp_path: Path) -> None:
    result = mlperf.run(calls, LIBRARY, _settings("single-stream"), tmp_path)
    assert (result.valid, result.reasons) == (True, ())


def test_a_server_that_falls_behind_is_not_waited_for(tmp_path: Path) -> None:
    settings = ScenarioSettings("server", 10_000, 0.0, target_qps=2000.0, latency_bound_ms=1.0)
    result = mlperf.run(lambda _: threading.Event().wait(0.02), LIBRARY, settings, tmp_path)
    assert result.queries < 10_000
    assert any("Too many outstanding queries" in reason for reason in result.reasons)


def test_a_backlog_longer_than_the_pipe_is_served(calls: Calls, tmp_path: Path) -> None:
    settings = ScenarioSettings("server", 20_000, 0.0, target_qps=100_000.0, latency_bound_ms=60_000.0)
    assert mlperf.run(calls, LIBRARY, settings, tmp_path).queries == 20_000


def test_the_peak_is_the_highest_rate_tried_that_met_the_bound(tmp_path: Path) -> None:
    settings = ScenarioSettings("server", min_queries=40, min_duration_s=0.4, latency_bound_ms=150.0)
    result = mlperf.run(lambda _: threading.Event().wait(0.01), LIBRARY, settings, tmp_path)
    rates = {float(folder.name.removesuffix("_qps")): folder for folder in tmp_path.iterdir()}
    found = float(Path(result.log_dir).name.removesuffix("_qps"))
    assert result.details["result_99.00_percentile_latency_ns"] <= 150e6
    assert result.details["requested_server_target_qps"] == pytest.approx(found, rel=1e-3)
    assert found < min(rate for rate in rates if rate > found) <= found * 1.06
    assert all(_files(folder) == LOGS for folder in rates.values())


def test_no_rate_meets_a_bound_below_one_inference(tmp_path: Path) -> None:
    settings = ScenarioSettings("server", min_queries=10, min_duration_s=0.0, latency_bound_ms=1.0)
    result = mlperf.run(lambda _: threading.Event().wait(0.01), LIBRARY, settings, tmp_path)
    assert (result.valid, result.reasons[0]) == (False, "performance constraints not satisfied")
    assert len(list(tmp_path.iterdir())) == 1


class Broken:
    """Fails from its 60th inference on."""

    def __init__(self, error: BaseException) -> None:
        self.error, self.left = error, 60

    def __call__(self, sample: int) -> None:
        threading.Event().wait(0.001)
        self.left -= 1
        if self.left < 0:
            raise self.error


@pytest.mark.parametrize("scenario", mlperf.SCENARIOS)
def test_a_failing_inference_ends_the_run_in_one_line(scenario: str, calls: Calls, tmp_path: Path) -> None:
    broken = Broken(ValueError("no\nway"))
    with pytest.raises(OnDeviceError, match=r"^inference of sample \d failed, [^\n]*: ValueError: no way \(") as caught:
        mlperf.run(broken, LIBRARY, _settings(scenario, min_duration_s=60.0, target_qps=20.0), tmp_path)
    assert caught.value.__cause__ is broken.error
    assert broken.left == -1
    assert not _files(tmp_path)
    assert mlperf.run(calls, LIBRARY, _settings(scenario), tmp_path).queries > 0


@pytest.mark.parametrize(
    ("scenario", "error"),
    [
        ("single-stream", KeyboardInterrupt()),
        ("server", OnDeviceError("the model is gone")),
        ("offline", SystemExit(3)),
    ],
)
def test_errors_of_our_own_and_interrupts_pass_as_they_are(error: BaseException, scenario: str, tmp_path: Path) -> None:
    with pytest.raises(type(error)) as caught:
        mlperf.run(Broken(error), LIBRARY, _settings(scenario, min_duration_s=60.0, target_qps=20.0), tmp_path)
    assert caught.value is error


def test_a_model_that_fails_at_once(tmp_path: Path) -> None:
    with pytest.raises(OnDeviceError, match=r"^inference of sample 0 failed, [^\n]*: ZeroDivisionError"):
        mlperf.run(lambda _: 1 / 0, LIBRARY, _settings("offline"), tmp_path)


ENDLESS = """
import sys, threading
from pathlib import Path
from ondevice.bench import mlperf

count = 0

def invoke(sample):
    global count
    threading.Event().wait(0.01)
    count += 1
    if count == 30:
        print("running", flush=True)

mlperf.run(invoke, 5, mlperf.ScenarioSettings(sys.argv[1], min_duration_s=600, target_qps=50.0), Path(sys.argv[2]))
"""


@contextmanager
def _endless(scenario: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", ENDLESS, scenario, str(folder)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "running\n"
            yield process
        finally:
            process.kill()


def _running(folder: Path) -> bool:
    listing = subprocess.run(["ps", "-Awwo", "args"], capture_output=True, text=True, check=True).stdout
    return str(folder) in listing


def _await(condition: Callable[[], bool]) -> bool:
    return any(condition() or threading.Event().wait(0.1) for _ in range(100))


@pytest.mark.parametrize("scenario", mlperf.SCENARIOS)
def test_an_interrupt_ends_the_run(scenario: str, tmp_path: Path) -> None:
    with _endless(scenario, tmp_path) as process:
        assert _running(tmp_path)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert said.strip().endswith("KeyboardInterrupt")
    assert not _running(tmp_path)


def test_loadgen_does_not_outlive_a_killed_caller(tmp_path: Path) -> None:
    with _endless("server", tmp_path) as process:
        assert _running(tmp_path)
        os.kill(process.pid, signal.SIGKILL)
    assert _await(lambda: not _running(tmp_path))


def test_logs_that_cannot_be_written(calls: Calls, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OnDeviceError, match=r"LoadGen's logs cannot be written there \([^\n]*; choose another folder$"):
        mlperf.run(calls, LIBRARY, _settings("offline"), tmp_path / "file" / "logs")


def test_an_empty_library(calls: Calls, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^a scenario needs one sample at least$"):
        mlperf.run(calls, 0, _settings("offline"), tmp_path)
