"""Measure a model in a child process, under limits, and judge the result."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ondevice import host
from ondevice._version import __version__
from ondevice.bench import subject, verdict
from ondevice.bench.record import BenchRecord
from ondevice.bench.spec import Spec
from ondevice.bench.subject import AnyFile
from ondevice.errors import BenchError, EmulationError, OnDeviceError, UsageError
from ondevice.limits import cgroup
from ondevice.limits.limits import Limits
from ondevice.process import child, messages
from ondevice.runner import Resolved

OnProgress = Callable[[int], None]
OnText = Callable[[str], None]


# Errors of the child that have another cause than too little memory, even where that is limited.
_NOT_MEMORY: dict[str, type[OnDeviceError]] = {"UsageError": UsageError, "EmulationError": EmulationError}


class Interrupted(KeyboardInterrupt):
    """Ctrl-C in the middle; `record` has what was measured so far, None where that is nothing."""

    def __init__(self, record: BenchRecord | None) -> None:
        super().__init__()
        self.record = record


def measure(  # noqa: PLR0913
    spec: Spec,
    limits: Limits | None = None,
    on_progress: OnProgress = lambda n: None,
    on_error: OnText = lambda s: None,
    on_note: OnText = lambda s: None,
    on_found: Callable[[Resolved | AnyFile], None] = lambda f: None,
) -> BenchRecord:
    """Run `spec` in a child process under `limits`.

    Tells `on_found` of the file before it is loaded, `on_progress` of every few runs, `on_error` of a bad picture,
    `on_note` of anything else that is odd.

    Raises UsageError, ModelError and the like for what cannot be run, BenchError where the child died or did not fit
    into its memory, Interrupted.
    """
    limits = limits or Limits()
    limits.check()
    if spec.device and (limits.cpus or limits.cpu_quota):
        raise UsageError(f"{spec.device} is emulated under its own limits: leave --cpus and --cpu-quota out")
    # An unknown file is tried here, without the limits: a crash then means the file, not too little memory.
    found = subject.resolve(spec)
    on_found(found)
    measurement = _Measurement(spec, limits, found.path)
    before = host.current().sensors.throttling()
    try:
        measurement.run(on_progress, on_error, on_note)
    except KeyboardInterrupt:
        done = measurement.samples or measurement.scenario
        raise Interrupted(measurement.record(before) if done else None) from None
    return measurement.record(before)


class _Measurement:
    """What the child has said so far."""

    def __init__(self, spec: Spec, limits: Limits, path: Path) -> None:
        self.spec, self.limits, self.path = spec, limits, path
        self.size_bytes, self.unreadable = path.stat().st_size, 0
        self.loaded: dict[str, Any] = {}
        self.done: dict[str, Any] = {}
        self.scenario: dict[str, Any] | None = None
        self.warmup: list[float] = []
        self.samples: list[tuple[float, float]] = []
        self.started = datetime.now(UTC).isoformat(timespec="seconds")

    def run(self, on_progress: OnProgress, on_error: OnText, on_note: OnText) -> None:
        """Start the child and read it to its end."""
        # One thread of OpenBLAS: numpy would set memory aside for a thread a core, and none is used.
        environment = {"OPENBLAS_NUM_THREADS": "1"}
        with contextlib.ExitStack() as stack:
            group = stack.enter_context(cgroup.cpu_group(self.limits.cpu_quota)) if self.limits.cpu_quota else None
            process = stack.enter_context(child.start("ondevice.bench.worker", piped=True, environment=environment))
            if group is not None:
                group.add(process.pid)
            for message in messages.ask(process, {"spec": self.spec.as_dict(), "limits": asdict(self.limits)}):
                self._receive(message, on_progress, on_error, on_note)
            if not self.done:
                raise self._died(str(process.death()))

    def _receive(self, message: messages.Message, on_progress: OnProgress, on_error: OnText, on_note: OnText) -> None:
        kind = message.pop("kind")
        if kind == "samples":
            self.samples += [(decode, invoke) for decode, invoke in message["samples"]]
            on_progress(len(message["samples"]))
        elif kind == "warmup":
            self.warmup = message["warmup_ms"]
        elif kind == "bad_image":
            self.unreadable += 1
            on_error(message["message"])
        elif kind == "note":
            on_note(message["message"])
        elif kind == "error":
            raise self._error(message)
        else:
            setattr(self, kind, message)

    def _error(self, message: messages.Message) -> OnDeviceError:
        if message["type"] in _NOT_MEMORY:
            return _NOT_MEMORY[message["type"]](message["message"])
        if self.limits.memory_bytes:
            return self._does_not_fit(message["message"])
        return BenchError(message["message"], self.spec.model)

    def _died(self, death: str) -> BenchError:
        if self.limits.memory_bytes:
            return self._does_not_fit(death)
        return BenchError(f"{self.spec.model}: the measuring process died {death}", self.spec.model)

    def _does_not_fit(self, reason: str) -> BenchError:
        limit = f"{(self.limits.memory_bytes or 0) / 1e6:g} MB"
        message = f"{self.spec.model} does not fit into --memory {limit}; give it more. It said: {reason}"
        return BenchError(message, self.spec.model)

    def record(self, before: host.Throttling | None) -> BenchRecord:
        """What was measured, judged."""
        loaded, done, images = self.loaded, self.done, self.spec.images
        facts = host.describe()
        record = BenchRecord(
            model=loaded["model"],
            precision=loaded["precision"],
            path=str(self.path),
            sha256=loaded["sha256"],
            model_size_bytes=self.size_bytes,
            runtime=loaded["runtime"],
            num_threads=loaded["num_threads"],
            device=self.spec.device or facts["cpu_model"],
            emulated=self.spec.device is not None,
            input=(f"{len(images) - self.unreadable} pictures" if images else "random") + loaded["sizes"],
            decode=bool(images),
            interval_ms=self.spec.interval_ms,
            init_ms=loaded["init_ms"],
            warmup_first_ms=self.warmup[0] if self.warmup else math.nan,
            warmup_avg_ms=sum(self.warmup) / len(self.warmup) if self.warmup else math.nan,
            num_warmup_runs=len(self.warmup),
            init_mem_bytes=loaded["init_mem_bytes"],
            overall_mem_bytes=done.get("overall_mem_bytes"),
            cpu_per_wall=done.get("cpu_per_wall"),
            other_cpu=done.get("other_cpu"),
            verdict="",
            reasons=(),
            started=self.started,
            version=__version__,
            limits={k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self.limits).items() if v is not None},
            host=facts,
            emulation=done.get("emulation") or loaded["emulation"],
            scenario=self.scenario,
            samples_ms=tuple(decode + invoke for decode, invoke in self.samples),
            decode_samples_ms=tuple(decode for decode, _ in self.samples) if images else (),
        )
        return verdict.judged(record, before, host.current().sensors.throttling(), interrupted=not done)
