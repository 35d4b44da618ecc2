"""Device cards: what a phone or board is, what was published of its speed, and the time model fitted to that."""

from __future__ import annotations

import math
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from ondevice import records, words
from ondevice.devices.timemodel import TimeModel
from ondevice.errors import CardError
from ondevice.timing.distribution import Distribution

_CARDS = Path(__file__).parent / "cards"
# Made by `benchmarks/devices.py --write`: cards hold what was published, this what follows from it.
_FITS = Path(__file__).parent / "fits.toml"


@dataclass(frozen=True)
class Latency:
    """A published mean time of one model on the device: inference, and loading where that was published too.

    kind: of kernels, `float` or `quant`. size_mb: of the file, where published. threads: None where they are the
    card's. percentiles_ms: percent of the inferences -> ms that they did not exceed ({"50": 74.2}), where published.
    network: None where the layers are those of the architecture that is called as the model; another architecture's
    name; or "" where they are known of none.
    """

    model: str
    kind: str
    infer_ms: float
    load_ms: float | None = None
    size_mb: float | None = None
    threads: int | None = None
    percentiles_ms: dict[str, float] = field(default_factory=dict)
    network: str | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.infer_ms) and self.infer_ms > 0):
            raise ValueError(f"infer_ms is a time above 0, not {self.infer_ms:g}")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads are 1 or more, not {self.threads}")
        times = list(self._shares().values())
        if not all(math.isfinite(ms) and ms > 0 for ms in times) or times != sorted(times):
            raise ValueError("percentiles_ms are times above 0 that never fall with the percent")

    def _shares(self) -> dict[float, float]:
        """percentiles_ms by share, from 0 to 1, rising."""
        found = {_share(percent): ms for percent, ms in self.percentiles_ms.items()}
        if len(found) < len(self.percentiles_ms):
            raise ValueError("percentiles_ms has a percent twice")
        return dict(sorted(found.items()))

    @cached_property
    def times(self) -> Distribution | None:
        """Single inferences as published: percentiles_ms, with infer_ms for their mean; None without percentiles.

        Raises CardError where no times have both.
        """
        if not self.percentiles_ms:
            return None
        try:
            return Distribution.through(self._shares(), self.infer_ms)
        except ValueError as error:
            raise CardError(
                f"{self.model}, {self.kind}: percentiles_ms and infer_ms do not agree ({error}): correct them, or add "
                'the shortest and longest time, "0" and "100"',
                "",
            ) from error


def _share(percent: str) -> float:
    try:
        share = float(percent) / 100
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise ValueError(f"percentiles_ms: a percent is a number from 0 to 100, not {percent!r}")
    return share


@dataclass(frozen=True)
class Errors:
    """Absolute relative errors of published models that a fit had not seen: mean, largest, and of how many."""

    mean: float
    worst: float
    count: int


@dataclass(frozen=True)
class Fit:
    """The time model of one kind of kernels with one count of threads, and how good it is.

    model: its figures, as in TimeModel. networks: the published ones it was fitted on, by name. family: of networks,
    each left out, of whose architecture others were left. architecture: of architectures, each left out whole; mean and
    count are over architectures. None where the device has none such, or fewer than three.
    """

    kind: str
    threads: int
    model: TimeModel
    networks: tuple[str, ...]
    family: Errors | None = None
    architecture: Errors | None = None

    def __post_init__(self) -> None:
        if not all(math.isfinite(figure) and figure >= 0 for figure in self.model):
            raise ValueError("a time model's figures are 0 or more")


@dataclass(frozen=True)
class Load:
    """Loading: overhead_ms + ms_per_mb * the file's megabytes; error as in Fit."""

    overhead_ms: float
    ms_per_mb: float
    error: float


@dataclass(frozen=True)
class Spread:
    """How single inferences scatter: quantiles of time / mean, evenly spaced from 0 to 1, and whose they are."""

    quantiles: tuple[float, ...]
    source: str

    def around(self, mean_ms: float) -> Distribution:
        """The times, ms, of a model that takes so long in the mean."""
        return Distribution.shaped(self.quantiles, mean_ms)


@dataclass(frozen=True)
class Device:
    """A phone or board. threads: those of the published latencies that do not say otherwise, and so of the emulation.

    A device without a fit is listed for comparison and cannot be emulated; `refusal` says why.
    """

    name: str
    title: str
    soc: str
    cores: str
    memory: str
    year: int
    threads: int
    runtime: str
    source: str
    note: str = ""
    latencies: tuple[Latency, ...] = ()
    fits: tuple[Fit, ...] = ()
    load: Load | None = None
    spread: Spread | None = None

    def __post_init__(self) -> None:
        seen = Counter((each.model, each.kind, self.threads_of(each)) for each in self.latencies)
        for (model, kind, threads), times in seen.items():
            if times > 1:
                raise ValueError(f"latencies: {model}, {kind}, with threads = {threads} is there {times} times")

    def threads_of(self, latency: Latency) -> int:
        """With how many threads it was measured."""
        return latency.threads or self.threads

    def published(self, threads: int | None = None) -> tuple[Latency, ...]:
        """The latencies with so many threads, of the card's own where it is None; empty where there are none."""
        wanted = threads or self.threads
        return tuple(each for each in self.latencies if self.threads_of(each) == wanted)

    def fit(self, kind: str, threads: int) -> Fit | None:
        """The time model for a kind of kernels and a count of threads, where there is one."""
        return next((each for each in self.fits if (each.kind, each.threads) == (kind, threads)), None)

    @property
    def thread_counts(self) -> tuple[int, ...]:
        """The counts of threads that something is published of, rising."""
        return tuple(sorted({self.threads_of(each) for each in self.latencies}))

    @property
    def emulated(self) -> bool:
        """Whether it can be emulated."""
        return bool(self.fits)

    @property
    def refusal(self) -> str:
        """Why it is not emulated, in a line."""
        return f"{self.name} is listed, not emulated: {self.note or 'no time model was fitted to it'}"

    @classmethod
    def read(cls, path: Path, fits: Sequence[Any] = ()) -> Device:
        """Read a card; fits: its time models. Raises CardError with the file and what is wrong in it."""
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
            return records.read(cls, {**table, "fits": list(fits)})
        except (OSError, ValueError) as error:
            raise CardError(f"{path}: {error}", str(path)) from error


@cache
def devices() -> tuple[Device, ...]:
    """All cards, those that can be emulated first, then by year."""
    return tuple(sorted(map(_bundled, _names()), key=lambda d: (not d.emulated, d.year, d.name)))


def find(name: str) -> Device:
    """The card called `name`. Raises UsageError with the nearest names."""
    return _bundled(words.known(name, _names(), "device"))


@cache
def _names() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in _CARDS.glob("*.toml")))


@cache
def _bundled(name: str) -> Device:
    # One alone, for they are long: all of them take some tenths of a second.
    return Device.read(_CARDS / f"{name}.toml", _fits().get(name, ()))


@cache
def _fits() -> dict[str, Any]:
    return tomllib.loads(_FITS.read_text(encoding="utf-8"))
