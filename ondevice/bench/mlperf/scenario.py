"""One scenario from beginning to end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ondevice.bench.mlperf.callback import infer_in_callback
from ondevice.bench.mlperf.inference import Invoke, fastest_s
from ondevice.bench.mlperf.loadgen import LoadGenRun
from ondevice.bench.mlperf.logs import discard, finish, prepare
from ondevice.bench.mlperf.peak import search
from ondevice.bench.mlperf.result import ScenarioResult, read
from ondevice.bench.mlperf.server import serve
from ondevice.bench.mlperf.settings import ScenarioSettings
from ondevice.errors import UsageError


def run(invoke: Invoke, library_size: int, settings: ScenarioSettings, log_dir: Path) -> ScenarioResult:
    """Run one scenario on samples 0 to `library_size` - 1; `invoke(i)` infers sample i, always in the calling thread.

    LoadGen's logs stay in `log_dir`; a run that fails or is interrupted leaves none. The search for server's peak has
    a folder in it for each rate that it tried, and gives the highest that met the bound (the lowest where none did).
    Its step is 5 %, and since a backlog takes time to build up, a rate that is too high by bound over duration still
    passes: 1 % with the defaults. One run at a time in a process. Raises UsageError, and OnDeviceError where an
    inference fails or the logs cannot be written.
    """
    if library_size < 1:
        raise UsageError("a scenario needs one sample at least")
    once = LoadGenRun(settings, library_size, fastest_s(invoke, library_size), str(log_dir))
    if settings.scenario != "server" or settings.target_qps is not None:
        return _once(invoke, once)

    def run_at(rate: float) -> ScenarioResult:
        at_rate = replace(settings, target_qps=rate)
        return _once(invoke, replace(once, settings=at_rate, log_dir=str(log_dir / f"{rate:.5g}_qps")))

    return search(run_at, once.latency_s, settings.latency_bound_ms)


def _once(invoke: Invoke, run: LoadGenRun) -> ScenarioResult:
    folder = Path(run.log_dir)
    prepare(folder)
    try:
        (serve if run.settings.scenario == "server" else infer_in_callback)(invoke, run)
        finish(folder)
        return read(run.settings.scenario, folder)
    except BaseException:
        discard(folder)
        raise
