"""The child process of a measurement: takes a Spec and limits on standard input, streams what it times as JSON lines.

It has a process to itself, so that memory and CPU time are the model's, limits bind nothing else, and whatever the
runtime does to it leaves the caller alone. Messages: `loaded`, `warmup`, `samples` (many), `done`; `note`; or `error`.
"""

from __future__ import annotations

import contextlib
import gc
import os
import time
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

from ondevice import host, records, runtime
from ondevice.bench import runs
from ondevice.bench.runs import Once, Timed
from ondevice.bench.spec import Spec
from ondevice.bench.subject import Subject, load
from ondevice.errors import OnDeviceError
from ondevice.host.clocks import Clocks
from ondevice.limits.limits import Limits
from ondevice.process import messages
from ondevice.process.messages import Send

# How often samples are sent: rarely enough to disturb none, often enough for a progress bar and an interrupt.
FLUSH_S = 0.25


def measure(spec: Spec, send: Send) -> None:
    """Load, warm up and time the model, telling `send` of each step."""
    runtime.get(spec.runtime)  # what importing it takes is not the model's
    _reset_peak()
    memory = host.current().memory.resident_bytes() or host.current().memory.peak_bytes()
    subject = load(spec)
    send("loaded", **_facts(subject), init_mem_bytes=host.current().memory.peak_bytes() - memory)
    once = runs.of(subject, spec, send)
    send("warmup", warmup_ms=[round(sum(once(i)), 6) for i in range(spec.warmup)])
    if spec.scenario is None:
        cpu, other = _steady(once, spec, send)
    else:
        cpu, other = None, None
        send("scenario", **_scenario(subject, spec, once))
    send(
        "done",
        cpu_per_wall=cpu,
        other_cpu=other,
        overall_mem_bytes=host.current().memory.peak_bytes() - memory,
        emulation=subject.emulation.as_dict() if subject.emulation else None,
    )


def _facts(subject: Subject) -> dict[str, Any]:
    loaded = subject.executable
    return {
        "model": subject.name,
        "runtime": str(loaded.runtime),
        "num_threads": loaded.threads,
        "init_ms": round(loaded.load_ms, 6),
        "precision": subject.precision,
        "sha256": subject.sha256,
        "emulation": subject.emulation.as_dict() if subject.emulation else None,
        "sizes": runs.sizes(subject),
    }


def _steady(once: Once, spec: Spec, send: Send) -> tuple[float | None, float | None]:
    """Time steady runs until there are enough; gives CPU seconds a wall second, own (None if spaced) and others'."""
    spans: list[Timed] = []
    count, rest = 0, spec.interval_ms / 1e3
    gc.disable()
    start = Clocks.now(host.current())
    end, flushed = start.wall + spec.min_secs, start.wall
    while count < spec.runs or perf_counter() < end:
        if count and rest:
            time.sleep(rest)
        spans.append(once(count))
        count += 1
        if perf_counter() - flushed > FLUSH_S:
            _flush(spans, send)
            flushed = perf_counter()
    own, other = Clocks.now(host.current()).since(start)
    _flush(spans, send)
    return None if rest or spec.device else own, other


def _flush(spans: list[Timed], send: Send) -> None:
    # Whole nanoseconds, as JSON keeps them: a record read back has the same figures.
    send("samples", samples=[(round(decode, 6), round(invoke, 6)) for decode, invoke in spans])
    spans.clear()


def _scenario(subject: Subject, spec: Spec, once: Once) -> dict[str, Any]:
    from dataclasses import asdict

    from ondevice.bench import mlperf

    fields = dict(spec.scenario or {})
    folder = f"{subject.name}-{subject.executable.threads}t-{fields['scenario']}"
    log_dir = Path(fields.pop("log_dir")) / folder
    library = max(len(spec.images), 1)
    return asdict(mlperf.run(once, library, mlperf.ScenarioSettings(**fields), log_dir))


def _reset_peak() -> None:
    """Let the peak count from here, so that it shows what the model added and not what importing took."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


@contextlib.contextmanager
def _errors_sent(send: Send) -> Iterator[None]:
    try:
        yield
    except MemoryError:
        send("error", message="out of memory", type="MemoryError")
    except OnDeviceError as error:
        send("error", message=str(error), type=type(error).__name__)


def main() -> None:
    """Measure what standard input asks for."""
    job, send = messages.receive()
    with _errors_sent(send):
        records.read(Limits, job["limits"]).apply_here()
        measure(records.read(Spec, job["spec"]), send)
    os._exit(0)  # taking the runtime apart costs time, and can fail under a memory limit
