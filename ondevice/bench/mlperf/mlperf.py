"""MLPerf's scenarios, driven by MLPerf's own load generator (LoadGen; the extra `mlperf`).

>>> result = run(invoke, 64, Settings("single-stream"), Path("logs"))
>>> result.value, result.unit, result.valid

LoadGen decides when which sample is wanted, takes the times, and writes its logs. Results are in MLPerf's form, not a
submission: that takes a prescribed model and data set, 600 seconds at least, and an accuracy run.

Single-stream, multi-stream and offline infer inside LoadGen's callback: it times the call and a few microseconds of
Python. Server's queries arrive while others are inferred, and LoadGen cannot be stopped between two of them; there it
has a process of its own, and a query's latency includes its way through two pipes, some 0.2 ms.
"""

from __future__ import annotations

import json
import math
import os
import select
import signal
import struct
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from ondevice.bench.spec import LONGEST_S
from ondevice.errors import OnDeviceError, UsageError
from ondevice.process import child
from ondevice.timing.bounds import LONGEST_MS

Invoke = Callable[[int], object]


class _Form(NamedTuple):
    """How LoadGen spells a scenario, and where its detail log has the figure that MLPerf reports."""

    loadgen: str
    metric: str
    key: str
    unit: str


_FORMS = {
    "single-stream": _Form("SingleStream", "90th percentile latency", "result_90.00_percentile_latency_ns", "ms"),
    "multi-stream": _Form(
        "MultiStream", "99th percentile latency", "result_99.00_percentile_per_query_latency_ns", "ms"
    ),
    "server": _Form("Server", "queries per second", "result_completed_samples_per_sec", "1/s"),
    "offline": _Form("Offline", "samples per second", "result_samples_per_second", "1/s"),
}
_SCALES = {"ms": 1e-6, "1/s": 1.0}
SCENARIOS = tuple(_FORMS)

_DETAILS = ("result_", "early_stopping_", "generated_", "requested_server_target_")
_CONDITIONS = {
    "result_perf_constraints_met": "performance constraints",
    "result_min_duration_met": "min duration",
    "result_min_queries_met": "min queries",
    "early_stopping_met": "early stopping",
}
_DETAIL_LOG, _TRACE = "mlperf_log_detail.txt", "mlperf_log_trace.json"
_LOGS = ("mlperf_log_summary.txt", _DETAIL_LOG, "mlperf_log_accuracy.json", _TRACE)

# The search for the peak. Rates are shares of one inference after the other: the first, and below which to give up;
# the steps until the peak lies between two; how near those must then come.
_FIRST, _LOWEST, _UP, _DOWN, _NEAR, _MAX_RUNS = 0.8, 0.12, 1.25, 0.5, 1.05, 14
# A server that is more than this behind is not waited for.
_BACKLOG_S = 5.0
_ESTIMATE_S = 0.05

# What goes through the pipes: LoadGen's number for a query and its sample; the number when it is answered. Both are
# smaller than PIPE_BUF, so that each is read whole.
_QUERY, _ANSWER = struct.Struct("=QQ"), struct.Struct("=Q")


@dataclass(frozen=True)
class Settings:
    """What LoadGen is asked for.

    A run goes on until `min_queries` and `min_duration_s` are both reached; offline asks for its samples in one query,
    and `min_queries` are its least samples. A server that is 5 s behind (twice the bound, if that is more) ends early
    and INVALID. LoadGen calls a run VALID only from a number of queries that bears out its percentile: 64 in
    single-stream, 662 in multi-stream, 459 in server and more with each that was late.

    target_qps: server's mean rate of Poisson arrivals, 1/s; None: search the highest at which the 99th percentile
    meets `latency_bound_ms`. samples_per_query: multi-stream's. seed: the order of samples and the times of arrival
    follow from it; MLPerf prescribes seeds of its own. Raises UsageError for what cannot be run.
    """

    scenario: str
    min_queries: int = 100
    min_duration_s: float = 10.0
    target_qps: float | None = None
    latency_bound_ms: float = 100.0
    samples_per_query: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        if self.scenario not in _FORMS:
            raise UsageError(f"no scenario '{self.scenario}': choose {', '.join(SCENARIOS)}")
        for value, low, high, what in (
            (self.min_queries, 1, 10**7, "the least queries"),
            (self.min_duration_s, 0, LONGEST_S, "the least duration in seconds"),
            (1.0 if self.target_qps is None else self.target_qps, 0.001, 10**6, "the queries per second"),
            (self.latency_bound_ms, 0.001, LONGEST_MS, "the latency bound in ms"),
            (self.samples_per_query, 1, 10**4, "the samples per query"),
            (self.seed, 0, 2**32 - 1, "the seed"),
        ):
            if not low <= value <= high:
                raise UsageError(f"{what} must be from {low} to {high}, not {value:g}")


@dataclass(frozen=True)
class Result:
    """What LoadGen found.

    value: `metric` in `unit`. Server's is the rate at which queries were completed; it was sought or asked for as
    `details["requested_server_target_qps"]`. reasons: why LoadGen calls the run INVALID, in its words. queries: how
    many it issued; offline issues one. details: the figures of its detail log under their names there, latencies in ns
    (in `early_stopping_latency_ss` and `_ms` too: these stand for single- and multi-stream).
    """

    scenario: str
    metric: str
    value: float
    unit: str
    valid: bool
    reasons: tuple[str, ...]
    queries: int
    log_dir: str
    details: dict[str, float]


def run(invoke: Invoke, library_size: int, settings: Settings, log_dir: Path) -> Result:
    """Run one scenario on samples 0 to `library_size` - 1; `invoke(i)` infers sample i, always in the calling thread.

    LoadGen's logs stay in `log_dir`; a run that fails or is interrupted leaves none. The search for server's peak has
    a folder in it for each rate that it tried, and gives the highest that met the bound (the lowest where none did).
    Its step is 5 %, and since a backlog takes time to build up, a rate that is too high by bound over duration still
    passes: 1 % with the defaults. One run at a time in a process. Raises UsageError, and OnDeviceError where an
    inference fails or the logs cannot be written.
    """
    if library_size < 1:
        raise UsageError("a scenario needs one sample at least")
    job = _Job(settings, library_size, _fastest_s(invoke, library_size), str(log_dir))
    search = settings.scenario == "server" and settings.target_qps is None
    return _peak(invoke, job) if search else _run(invoke, job)


@dataclass(frozen=True)
class _Job:
    """One run of LoadGen; to its own process it goes as JSON. latency_s is an estimate."""

    settings: Settings
    library_size: int
    latency_s: float
    log_dir: str

    @classmethod
    def from_json(cls, text: str) -> _Job:
        table = json.loads(text)
        return cls(**{**table, "settings": Settings(**table["settings"])})

    def start(self, issue: Callable[[Any], None]) -> None:
        """Run LoadGen until it is done; `issue` gets the samples of each query and must not raise."""
        import mlperf_loadgen as loadgen

        log = loadgen.LogSettings()
        log.log_output.outdir, log.log_output.copy_summary_to_stdout, log.enable_trace = self.log_dir, False, False
        system = loadgen.ConstructSUT(issue, lambda: None)
        library = loadgen.ConstructQSL(self.library_size, self.library_size, lambda samples: None, lambda samples: None)
        loadgen.StartTestWithLogSettings(system, library, self._test_settings(), log)
        loadgen.DestroyQSL(library)
        loadgen.DestroySUT(system)

    def _test_settings(self) -> Any:
        import mlperf_loadgen

        wanted, test = self.settings, mlperf_loadgen.TestSettings()
        test.scenario = getattr(mlperf_loadgen.TestScenario, _FORMS[wanted.scenario].loadgen)
        test.mode = mlperf_loadgen.TestMode.PerformanceOnly
        test.min_query_count, test.min_duration_ms = wanted.min_queries, round(wanted.min_duration_s * 1e3)
        test.qsl_rng_seed, test.sample_index_rng_seed, test.schedule_rng_seed = (wanted.seed + i for i in range(3))
        # LoadGen makes its queries beforehand, from this estimate: too few of them would end the run early.
        test.single_stream_expected_latency_ns = self.latency_s * 1e9
        test.multi_stream_expected_latency_ns = self.latency_s * 1e9 * wanted.samples_per_query
        test.offline_expected_qps = 1.25 / self.latency_s
        test.multi_stream_samples_per_query = wanted.samples_per_query
        test.server_target_qps = wanted.target_qps or 1.0
        test.server_target_latency_ns = round(wanted.latency_bound_ms * 1e6)
        backlog_s = max(_BACKLOG_S, 2e-3 * wanted.latency_bound_ms)
        test.server_max_async_queries = math.ceil(backlog_s / self.latency_s)
        return test


def _fastest_s(invoke: Invoke, library_size: int) -> float:
    """The shortest time of a few inferences; the first warms up."""
    times: list[float] = []
    begin = start = perf_counter()
    while len(times) < 4 or start - begin < _ESTIMATE_S:
        _infer(invoke, len(times) % library_size)
        times.append(perf_counter() - start)
        start = perf_counter()
    return max(min(times), 1e-6)


def _infer(invoke: Invoke, sample: int) -> None:
    try:
        invoke(sample)
    except OnDeviceError:
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise OnDeviceError(
            f"inference of sample {sample} failed, which ended the run: {reason} (--debug shows where)"
        ) from error


def _run(invoke: Invoke, job: _Job) -> Result:
    folder = Path(job.log_dir)
    _prepare(folder)
    try:
        (_serve if job.settings.scenario == "server" else _infer_inside)(invoke, job)
        (folder / _TRACE).unlink()  # LoadGen opens it though no trace is wanted
        return _result(job)
    except BaseException:
        # LoadGen's verdict on a run that was broken off would be no measurement.
        for name in _LOGS:
            (folder / name).unlink(missing_ok=True)
        raise


def _prepare(folder: Path) -> None:
    """Make the logs, empty: LoadGen, where it cannot, only says so and leaves the next run to crash."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in _LOGS:
            (folder / name).write_bytes(b"")
    except OSError as error:
        raise OnDeviceError(
            f"{folder}: LoadGen's logs cannot be written there ({error.strerror}); choose another folder"
        ) from error


def _infer_inside(invoke: Invoke, job: _Job) -> None:
    """Infer in LoadGen's callback. After a failure what it still issues is answered at once, so that it can end."""
    import mlperf_loadgen

    failures: list[BaseException] = []

    def issue(samples: Any) -> None:
        for sample in samples:
            if not failures:
                try:
                    _infer(invoke, sample.index)
                except BaseException as error:
                    failures.append(error)
            mlperf_loadgen.QuerySamplesComplete([mlperf_loadgen.QuerySampleResponse(sample.id, 0, 0)])

    with _interrupts_into(failures):
        job.start(issue)
    if failures:
        raise failures[0]


@contextmanager
def _interrupts_into(failures: list[BaseException]) -> Iterator[None]:
    """Note Ctrl-C in `failures`: raised between two inferences, an exception would pass through LoadGen and abort."""
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, lambda *_: failures.append(KeyboardInterrupt()))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _peak(invoke: Invoke, job: _Job) -> Result:
    """Search the highest rate that meets the bound.

    By runs of our own: LoadGen's search stops at an absolute precision, after as many runs as that takes, and keeps
    the last one's log alone.
    """
    low, high, rate = 0.0, math.inf, _FIRST / job.latency_s
    bound_ns = job.settings.latency_bound_ms * 1e6
    # Where one inference alone takes longer than the bound, no rate meets it.
    lowest = (_LOWEST if job.latency_s * 1e9 < bound_ns else 1.0) / job.latency_s
    tried: dict[float, Result] = {}
    while len(tried) < _MAX_RUNS and high > low * _NEAR and (low or high >= lowest):
        folder = Path(job.log_dir) / f"{rate:.5g}_qps"
        tried[rate] = _run(invoke, replace(job, settings=replace(job.settings, target_qps=rate), log_dir=str(folder)))
        met = tried[rate].details["result_99.00_percentile_latency_ns"] <= bound_ns
        low, high = (rate, high) if met else (low, rate)
        rate = _next(low, high)
    return tried[low or high]


def _next(low: float, high: float) -> float:
    if math.isinf(high):
        return low * _UP
    return math.sqrt(low * high) if low else high * _DOWN


def _serve(invoke: Invoke, job: _Job) -> None:
    """Answer the queries of LoadGen in a process of its own, which dies with the run or with this process."""
    with child.start("ondevice.bench.mlperf.mlperf", json.dumps(asdict(job)), piped=True) as loadgen:
        with suppress(BrokenPipeError):
            _answer(invoke, loadgen.stdout.fileno(), loadgen.stdin.fileno())
        death = loadgen.death()
    if death.status:
        raise OnDeviceError(f"LoadGen's process ended {death}; reinstall mlcommons-loadgen")


def _answer(invoke: Invoke, queries: int, answers: int) -> None:
    waiting: deque[tuple[int, int]] = deque()
    while True:
        # All that has arrived: were the pipe full, LoadGen could not issue in time.
        if not waiting or select.select([queries], [], [], 0)[0]:
            data = os.read(queries, 1 << 16)
            if not data:
                return
            waiting.extend(_QUERY.iter_unpack(data))
        number, sample = waiting.popleft()
        _infer(invoke, sample)
        os.write(answers, _ANSWER.pack(number))


def _result(job: _Job) -> Result:
    form, folder = _FORMS[job.settings.scenario], Path(job.log_dir)
    entries = list(_entries(folder / _DETAIL_LOG))
    log = {entry["key"]: entry["value"] for entry in entries}
    if "result_validity" not in log:
        raise OnDeviceError(f"{folder / _DETAIL_LOG}: LoadGen gave no result; is the disk full?")
    valid = log["result_validity"] == "VALID"
    errors = [str(entry["value"]) for entry in entries if entry["metadata"]["is_error"]]
    details = {k: float(v) for k, v in log.items() if k.startswith(_DETAILS) and type(v) in (int, float)}
    return Result(
        job.settings.scenario, form.metric, details.get(form.key, math.nan) * _SCALES[form.unit], form.unit, valid,
        () if valid else (*_unmet(log), *errors), int(log["result_query_count"]), str(folder), details,
    )  # fmt: skip


def _unmet(log: dict[str, Any]) -> Iterator[str]:
    """The conditions that were not met, worded as in LoadGen's summary."""
    for key, words in _CONDITIONS.items():
        if log.get(key) is False:
            why = " ".join(log["early_stopping_result"].replace("*", "").split()) if key == "early_stopping_met" else ""
            yield f"{words} not satisfied" + (f": {why}" if why else "")


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        # A rate over no time is written as nan, which is no JSON.
        with suppress(json.JSONDecodeError):
            yield json.loads(line.removeprefix(":::MLLOG "))


def main() -> None:
    """In LoadGen's own process: queries go out on standard output, answers come in on standard input."""
    import mlperf_loadgen

    queries = os.dup(1)
    os.dup2(2, 1)

    def issue(samples: Any) -> None:
        try:
            for sample in samples:
                os.write(queries, _QUERY.pack(sample.id, sample.index))
        except OSError:
            os._exit(1)

    def complete() -> None:
        while numbers := os.read(0, 1 << 16):
            responses = [mlperf_loadgen.QuerySampleResponse(n, 0, 0) for (n,) in _ANSWER.iter_unpack(numbers)]
            mlperf_loadgen.QuerySamplesComplete(responses)
        os._exit(1)  # whoever asked is gone

    threading.Thread(target=complete, daemon=True).start()
    _Job.from_json(sys.argv[1]).start(issue)
    os._exit(0)  # standard input is still being read
