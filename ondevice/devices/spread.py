"""How single inferences scatter on a real phone; devices without a measured spread of their own borrow it."""

from __future__ import annotations

import dataclasses

from ondevice.devices.card import Device, Spread, find

# The only phone here whose single inferences, not only their mean, were published.
LENDER = "pieslicer-phone"


def spread_of(device: Device) -> Spread:
    """The device's own spread, or the borrowed one, saying so."""
    if device.spread is not None:
        return device.spread
    lent = find(LENDER).spread
    assert lent is not None  # a bundled card that has one
    return dataclasses.replace(lent, source=f"borrowed from {LENDER}: {lent.source}")
