"""Pictures of the distributions behind the percentiles (extra `lab`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ondevice.bench.names import names
from ondevice.bench.record import BenchRecord
from ondevice.devices.emulation import Emulation
from ondevice.errors import UsageError
from ondevice.models import files

_SUFFIXES = (".png", ".svg", ".pdf")


def check(path: Path) -> None:
    """Raise UsageError for a picture that cannot be made; before an hour's measuring, not after it."""
    if path.suffix.lower() not in _SUFFIXES:
        raise UsageError(f"--plot makes {', '.join(_SUFFIXES)}, not '{path.name}'")


def distributions(records: Sequence[BenchRecord], path: Path) -> None:
    """Draw every record's empirical distribution, and its samples in the order they were taken.

    Raises UsageError for an unknown file type, OnDeviceError where the file cannot be written.
    """
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    check(path)
    drawn = [(record, name) for record, name in zip(records, names(records), strict=True) if record.samples_ms]
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.5 + 0.18 * len(drawn)), layout="constrained")
    spans = [record.summary.p50_ms for record, _ in drawn]
    scale = "log" if spans and max(spans) > 5 * min(spans) else "linear"
    for record, name in drawn:
        values, label = np.sort(record.samples_ms), _label(record, name)
        (line,) = left.step(values, np.arange(1, len(values) + 1) / len(values), where="post", label=label)
        right.plot(record.samples_ms, ".", markersize=2, color=line.get_color(), alpha=0.6)
    left.set(xlabel="ms", ylabel="share of the runs that took at most this", xscale=scale, ylim=(0, 1.02))
    for level in (0.5, 0.9, 0.99):
        left.axhline(level, color="0.8", linewidth=0.6, zorder=0)
    right.set(xlabel="run, in the order they were taken", ylabel="ms", yscale=scale)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=1, fontsize="small")
    try:
        with files.replacing(path) as out:
            figure.savefig(out, format=path.suffix[1:].lower(), dpi=130)
    except OSError as error:
        raise files.explain(error, path) from error
    finally:
        plt.close(figure)


def _label(record: BenchRecord, name: str) -> str:
    emulated = f", {Emulation(**record.emulation).quality}" if record.emulation else ""
    threads = f"{record.num_threads} thread{'s' * (record.num_threads > 1)}"
    return (
        f"{name} on {record.device}{emulated}, {threads}, {record.runtime}, n = {record.num_runs}: "
        f"p50 {record.summary.p50_ms:.3g} ms, p90 {record.summary.p90_ms:.3g} ms, {record.verdict}"
    )
