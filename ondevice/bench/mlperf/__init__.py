"""MLPerf's scenarios, driven by MLPerf's own load generator (LoadGen; the extra `mlperf`).

>>> result = run(invoke, 64, ScenarioSettings("single-stream"), Path("logs"))
>>> result.value, result.unit, result.valid

LoadGen decides when which sample is wanted, takes the times, and writes its logs. Results are in MLPerf's form, not a
submission: that takes a prescribed model and data set, 600 seconds at least, and an accuracy run.

Single-stream, multi-stream and offline infer inside LoadGen's callback: it times the call and a few microseconds of
Python. Server's queries arrive while others are inferred, and LoadGen cannot be stopped between two of them; there it
has a process of its own, and a query's latency includes its way through two pipes, some 0.2 ms.
"""

from ondevice.bench.mlperf.result import ScenarioResult
from ondevice.bench.mlperf.scenario import run
from ondevice.bench.mlperf.settings import SCENARIOS, ScenarioSettings

__all__ = ["SCENARIOS", "ScenarioResult", "ScenarioSettings", "run"]
