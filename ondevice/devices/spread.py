"""How single inferences scatter on a real phone; devices without a measured spread of their own borrow it."""

from __future__ import annotations

import dataclasses

import numpy as np

from ondevice.devices.card import Device, Latency, Spread, find
from ondevice.timing.distribution import Distribution

# A phone, which does more meanwhile than a board does; of the two phones with percentiles the steadier one.
LENDER = "pieslicer-phone"


def times_of(device: Device, latency: Latency) -> Distribution:
    """Single inferences of a published model: as published where they were, else scattered as the device's others."""
    return latency.times or spread_of(device).around(latency.infer_ms)


def spread_of(device: Device) -> Spread:
    """The card's spread, or that of the models whose percentiles it has, or a borrowed one, saying so."""
    if found := device.spread or _of_models(device):
        return found
    lent = spread_of(find(LENDER))
    return dataclasses.replace(lent, source=f"borrowed from {LENDER}: {lent.source}")


def _of_models(device: Device) -> Spread | None:
    """The mean of the models' quantiles, each over its model's mean; None where no percentiles were published."""
    known = [latency.times for latency in device.latencies if latency.times]
    if not known:
        return None
    ratios = np.mean([times.quantiles_ms / times.mean_ms for times in known], axis=0)
    return Spread(tuple(ratios.tolist()), f"published percentiles of {len(known)} models on it, each over its mean")
