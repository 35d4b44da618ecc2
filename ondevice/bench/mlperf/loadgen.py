"""LoadGen itself: one run of it, with the settings that make it what was asked for."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from ondevice import records
from ondevice.bench.mlperf.settings import LOADGEN, ScenarioSettings

# A server that is more than this behind is not waited for.
_BACKLOG_S = 5.0


@dataclass(frozen=True)
class LoadGenRun:
    """One run of LoadGen. latency_s: an estimate of what one inference takes. log_dir: where its logs go."""

    settings: ScenarioSettings
    library_size: int
    latency_s: float
    log_dir: str

    @classmethod
    def from_json(cls, text: str) -> LoadGenRun:
        """The run that `as_json` wrote."""
        return records.read(cls, json.loads(text))

    def as_json(self) -> str:
        """The run as LoadGen's own process takes it."""
        return json.dumps(asdict(self))

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
        test.scenario = getattr(mlperf_loadgen.TestScenario, LOADGEN[wanted.scenario].spelling)
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
