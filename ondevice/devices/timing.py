"""How fast this host runs a model, measured against a bundled network in the same moments."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np

from ondevice import host, records
from ondevice.models import files, zoo
from ondevice.runtime import Model, Runtime

# The largest of the bundled family: the small ones time the call, not the machine.
ANCHORS = {"float": "digits_l_fp32", "quant": "digits_l_int8"}
# Together about a second, by which the first run of a model is longer: enough for the best pass to fall between the
# slow moments of a shared machine. A block is short, so that the model's and the anchor's are of the same moment.
PASSES, BLOCK_MS = 9, 40.0

Opener = Callable[[], Model]


class Timing(NamedTuple):
    """host_ms: the model's inference on one thread here; relative: over the anchor's, taken in turn with it."""

    host_ms: float
    relative: float


def host_key(runtime: Runtime) -> str:
    """This host and its runtime, as a file name: times measured under another key mean nothing here."""
    here = f"{host.current().cpu_model()}|{host.system.cores()}|{host.system.kernel_machine()}|{runtime}"
    return hashlib.sha256(here.encode()).hexdigest()[:16]


def of(open_model: Opener, checksum: str, kind: str, runtime: Runtime) -> Timing:
    """A model's timing on this host, from the cache or measured now (about a second) and cached.

    A cache that is unwritable or broken costs the next run a measurement, nothing else.
    """
    path = files.cache_dir() / "timings" / f"{host_key(runtime)}.json"
    key, known = f"{checksum}.{kind}", _cached(path)
    if key in known:
        return known[key]
    model = open_model()
    (timing,) = measure([(lambda: model, kind)])
    try:
        with files.locked(path.with_suffix(".lock")), files.replacing(path) as out:
            out.write(json.dumps({**_cached(path), key: timing}).encode())
    except OSError:
        pass
    return timing


def _cached(path: Path) -> dict[str, Timing]:
    try:
        found = records.read(dict[str, Timing], json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError):
        return {}
    return {key: t for key, t in found.items() if all(math.isfinite(v) and v > 0 for v in t)}


def measure(models: Sequence[tuple[Opener, str]], on_step: Callable[[], None] = lambda: None) -> list[Timing]:
    """Time models, each given as a function that opens it and its kind, and their anchors, all in turn, on one thread.

    Every pass runs a block of each, and the best pass counts: a shared machine slows down for seconds at a time, and
    not evenly for all models; the published times are of phones that had nothing else to do. Tells `on_step` of each
    block.
    """
    blocks: list[list[float]] = [[] for _ in models]
    anchors: dict[str, list[float]] = {kind: [] for _, kind in models}
    for _ in range(PASSES):
        for (open_model, kind), times in zip(models, blocks, strict=True):
            model = open_model()
            if len(anchors[kind]) < len(times) + 1:
                anchors[kind].append(_block_ms(_anchor(kind, model.runtime.name)))
            times.append(_block_ms(model))
            on_step()
    return [
        Timing(min(times), min(times) / min(anchors[kind])) for times, (_, kind) in zip(blocks, models, strict=True)
    ]


@functools.cache
def _anchor(kind: str, runtime: str) -> Model:
    return Model(zoo.find(ANCHORS[kind]).path, 1, runtime)


def _block_ms(model: Model) -> float:
    """The median of some inferences in a row, about BLOCK_MS; the first two are not counted: they warm up."""
    tensor = np.zeros(model.input.shape, model.input.dtype)

    def once() -> float:
        start = perf_counter()
        model.invoke(tensor)
        return (perf_counter() - start) * 1e3

    once()
    count = max(1, min(50, round(BLOCK_MS / once())))
    return statistics.median(once() for _ in range(count))
