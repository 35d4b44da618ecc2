"""What one measurement is to do; travels to the child process as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ondevice.errors import UsageError
from ondevice.limits.threads import MAX_THREADS
from ondevice.models.overrides import Overrides
from ondevice.timing.bounds import LONGEST_MS

# A measurement of more than a day has mistaken the unit.
LONGEST_S = 86_400


@dataclass(frozen=True)
class Spec:
    """One model on one thread count.

    model: as Runner takes it. warmup: inferences that are timed apart, the first among them. runs and min_secs: the
    steady runs go on until both are reached. interval_ms: rest between two steady runs. images: pictures to decode and
    classify in turn; none: one random tensor, inference alone. overrides: what is said of a classifier. shapes: of the
    inputs with free sizes of any file, which then gets random input. scenario: None, or the fields of
    `mlperf.ScenarioSettings`, with `log_dir`. Raises UsageError for what cannot be measured.
    """

    model: str
    threads: int | None = None
    runtime: str | None = None
    device: str | None = None
    warmup: int = 10
    runs: int = 50
    min_secs: float = 1.0
    interval_ms: float = 0.0
    images: tuple[str, ...] = ()
    scaled_decode: bool = True
    seed: int = 0
    scenario: dict[str, Any] | None = None
    overrides: Overrides | None = None
    shapes: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        for value, low, high, what in (
            (1 if self.threads is None else self.threads, 1, MAX_THREADS, "--threads"),
            (self.warmup, 1, 10**6, "--warmup"),
            (self.runs, 1, 10**7, "--runs"),
            (self.min_secs, 0, LONGEST_S, "--min-secs"),
            (self.interval_ms, 0, LONGEST_MS, "--interval"),
        ):
            if not low <= value <= high:
                raise UsageError(f"{what} must be from {low} to {high}, not {value:g}")
        if self.shapes and self.images:
            raise UsageError("--shape is for random input: leave it out, or --image")

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON takes them."""
        return asdict(self)
