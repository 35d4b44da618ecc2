"""The device's own answer: how accurate it is, and how long it takes.

::

    pixel-3:mobilenet_v1_0.25_128           a device card and one of its published models (`/quant` for that kernel)
    nexus-5                                 a card with one model
    profiles.json:mobilenet_v2_1.0_224      a profile that `ondevice bench MODEL --device CARD --save FILE` wrote
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ondevice import reading, words
from ondevice.devices import card
from ondevice.devices.card import Device, Latency
from ondevice.devices.spread import times_of
from ondevice.errors import OnDeviceError, UsageError
from ondevice.models import zoo
from ondevice.timing import profile
from ondevice.timing.arrays import FloatArray
from ondevice.timing.distribution import Distribution


@dataclass(frozen=True, eq=False)
class DeviceModel:
    """The model that a device runs by itself.

    top1: its accuracy. times: of its inference. load_ms: what loading it takes, before each request where it is cold.
    """

    name: str
    top1: float
    times: Distribution
    load_ms: float = 0.0

    def sample(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Draw what n answers take, ms [n]."""
        return self.load_ms + self.times.sample(n, rng)


def given(top1: float, ms: float) -> DeviceModel:
    """A model of which only its accuracy is known, and that it takes ms each time. Raises UsageError."""
    if not 0 <= top1 <= 1:
        raise UsageError(f"--device-top1 is a fraction from 0 to 1, not {top1:g}")
    if not 0 <= ms < np.inf:
        raise UsageError(f"--device-ms is a number of ms from 0 up, not {ms:g}")
    return DeviceModel("device", top1, Distribution.of([ms]))


def find(text: str, top1: float | None, known_top1: Mapping[str, float], cold: bool = False) -> DeviceModel:
    """The device's model that `text` names. top1: its accuracy; None: as in known_top1, or as the zoo knows it.

    Raises UsageError, for a model without an accuracy too, and OnDeviceError for a file that does not hold profiles.
    """
    name, _, model = text.partition(":")
    if Path(name).suffix == ".json":
        made = _profiled(Path(name), model, cold)
    else:
        made = _published(card.find(name), model, cold)
    accuracy = _top1(made.name, known_top1) if top1 is None else top1
    return DeviceModel(text, given(accuracy, 0.0).top1, made.times, made.load_ms)


def _published(device: Device, text: str, cold: bool) -> DeviceModel:
    latency = _latency(device, text)
    return DeviceModel(latency.model, 0.0, times_of(device, latency), _load_ms(device, latency) if cold else 0.0)


def _latency(device: Device, text: str) -> Latency:
    """The published latency of a model, `float` before `quant` where the text does not say."""
    model, slash, kind = text.partition("/")
    models = list(dict.fromkeys(latency.model for latency in device.published()))
    if not model:
        if len(models) != 1:
            raise UsageError(
                f"--device {device.name}: of which model? Give {device.name}:MODEL, as `ondevice devices show "
                f"{device.name}` lists them"
            )
        model = models[0]
    words.known(model, models, f"published time on {device.name} of")
    found = {latency.kind: latency for latency in device.published() if latency.model == model}
    if slash:
        return found[words.known(kind, found, f"kernel of {model} on {device.name}")]
    return found.get("float") or next(iter(found.values()))


def _load_ms(device: Device, latency: Latency) -> float:
    if latency.load_ms is not None:
        return latency.load_ms
    if device.load is not None and latency.size_mb is not None:
        return device.load.overhead_ms + device.load.ms_per_mb * latency.size_mb
    raise UsageError(f"--cold: nothing is published of loading {latency.model} on {device.name}; leave it out")


def _profiled(path: Path, model: str, cold: bool) -> DeviceModel:
    if cold:
        raise UsageError(f"--cold: profiles such as {path} do not say what loading takes; leave it out")
    try:
        profiles = profile.loads(reading.text(path))
    except OSError as error:
        raise UsageError(f"--device {path}: {words.reason(error)}") from error
    except ValueError as error:
        raise OnDeviceError(f"{path}: {error}; write one with `ondevice bench MODEL --save FILE.json`") from error
    names = list(dict.fromkeys(each.model for each in profiles))
    if not model and len(names) == 1:
        model = names[0]
    words.known(model, names, f"profile in {path} of")
    found = [each for each in profiles if each.model == model]
    if len(found) > 1:
        those = ", ".join(f"{each.host} with {each.threads} threads" for each in found)
        raise UsageError(f"{path} has {len(found)} profiles of {model} ({those}): give a file with one of them")
    return DeviceModel(model, 0.0, found[0].distribution.lowered())


def _top1(model: str, known_top1: Mapping[str, float]) -> float:
    if model in known_top1:
        return known_top1[model]
    for entry in zoo.entries():
        if entry.card.name == model and entry.card.accuracy is not None:
            return entry.card.accuracy.top1
    raise UsageError(f"--device: the accuracy of {model} is not known; give --device-top1")
