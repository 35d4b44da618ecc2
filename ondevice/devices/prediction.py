"""What a device takes for a network, said before anything has run, and what that rests on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ondevice.devices import networks
from ondevice.devices.card import Device, Errors, Fit, Latency
from ondevice.devices.network import Network
from ondevice.devices.spread import spread_of, times_of
from ondevice.devices.timemodel import KINDS
from ondevice.errors import EmulationError, UsageError
from ondevice.timing.distribution import Distribution


class Basis(StrEnum):
    """What a time rests on: these very layers were published, or others of their architecture were, or neither."""

    PUBLISHED = "published for this network"
    FAMILY = "within a family"
    NEW = "new architecture"


@dataclass(frozen=True)
class PredictedTime:
    """A device's time for one network with so many threads.

    mean_ms, times: of single inferences. errors: of published models that are to the fit what this one is; None where
    the time was published, or where too few others were. spread: whose scatter the times have. runtime: what the
    published times were measured with. load_ms: what loading it takes, where that was published, too.
    """

    device: str
    threads: int
    mean_ms: float
    times: Distribution
    basis: Basis
    errors: Errors | None
    spread: str
    runtime: str
    load_ms: float | None = None

    @property
    def described(self) -> str:
        """The basis and its error, in words."""
        if self.basis is Basis.PUBLISHED:
            return f"{self.basis} ({self.runtime})"
        if self.errors is None:
            return f"{self.basis}: how far off is not known, for too few others are published of {self.device}"
        what = "models" if self.basis is Basis.FAMILY else "architectures"
        return (
            f"{self.basis}: ± {self.errors.mean:.0%} (worst {self.errors.worst:.0%}) on {self.errors.count} published "
            f"{what}, each left out of the fit"
        )


def predict(device: Device, network: Network, precision: str, threads: int | None = None) -> PredictedTime:
    """The device's time for a network whose weights have such a precision; threads None: the card's own.

    Raises UsageError for a device that is only listed, or a count of threads that its card lacks; EmulationError where
    nothing is published of such a precision, or the network has operators whose time no published model tells.
    """
    if not device.emulated:
        raise UsageError(device.refusal)
    count = device.threads if threads is None else threads
    if count not in device.thread_counts:
        raise UsageError(
            f"nothing is published of {device.name} with {count} thread{'s' * (count > 1)}: give --threads "
            f"{' or '.join(map(str, device.thread_counts))}, or leave it out"
        )
    kind = KINDS.get(precision, precision)
    if latency := _published(device, network, kind, count):
        return _as_published(device, latency, count)
    return _from_fit(device, network, _fit(device, kind, precision, count))


def _published(device: Device, network: Network, kind: str, threads: int) -> Latency | None:
    """The card's latency of these very layers."""
    mark = network.fingerprint
    same = (
        each
        for each in device.published(threads)
        if each.kind == kind and (known := networks.of(each)) and known.fingerprint == mark
    )
    return None if network.unknown else next(same, None)


def _as_published(device: Device, latency: Latency, threads: int) -> PredictedTime:
    spread = "published with it" if latency.times else spread_of(device).source
    times, mean_ms, runtime = times_of(device, latency), latency.infer_ms, device.runtime
    return PredictedTime(device.name, threads, mean_ms, times, Basis.PUBLISHED, None, spread, runtime, latency.load_ms)


def _fit(device: Device, kind: str, precision: str, threads: int) -> Fit:
    if found := device.fit(kind, threads):
        return found
    can = [p for p, k in KINDS.items() if device.fit(k, threads)]
    raise EmulationError(
        f"nothing is published of {precision} models on {device.name} with {threads} thread{'s' * (threads > 1)}; "
        f"it can be emulated for {' and '.join(can) or 'its published networks alone'}"
    )


def _from_fit(device: Device, network: Network, fit: Fit) -> PredictedTime:
    if network.unknown:
        raise EmulationError(
            f"no published model tells what {', '.join(network.unknown[:3])} take{'s' * (len(network.unknown) == 1)} "
            f"on {device.name}: only networks of convolutions, dense layers, sums and poolings can be emulated"
        )
    mean_ms, spread = fit.model(network.work), spread_of(device)
    known, basis, errors = networks.known(), Basis.NEW, fit.architecture
    if fit.family and any(known[name].structure == network.structure for name in fit.networks):
        basis, errors = Basis.FAMILY, fit.family
    return PredictedTime(
        device.name, fit.threads, mean_ms, spread.around(mean_ms), basis, errors, spread.source, device.runtime
    )
