"""How well do emulated devices predict what no choice of their time model's form has seen?

    python benchmarks/foresight.py [--models] [--build FOLDER]

In benchmarks/unseen are cards as those that ship, of published latencies that no device's card has and that lend
nothing: nothing is chosen by them. A form of the time model that was chosen by them is to be judged by others. Printed:
what the fits that ship say of networks that their device's card lacks; then devices that no card is of, fitted as those
that ship are and with proportions of other processors alone, each model and each architecture left out.

--models prints every model's figures. --build makes the networks that no card names, as benchmarks/devices.py does,
and writes benchmarks/unseen/networks.csv.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from devices import Fitted, Group, borrowed, build, groups_of

from ondevice.cli import console
from ondevice.devices import card, networks
from ondevice.devices.card import Device, Fit
from ondevice.timing.arrays import FloatArray

UNSEEN = Path(__file__).parent / "unseen"
# Networks that no card names.
NETWORKS = UNSEEN / "networks.csv"


def main() -> None:
    """Print both tables, or build the networks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--models", action="store_true", help="print every model's figures")
    parser.add_argument("--build", type=Path, metavar="FOLDER", help="make the networks that no card names")
    arguments = parser.parse_args()
    if arguments.build:
        named = {networks.name_of(each) for device in unseen() for each in device.latencies}
        build(arguments.build, named - set(networks.known()), NETWORKS)
        return
    print(console.table([row(group) for group in missing()], ".3g"), end="\n\n")
    fitted = foreign()
    print(console.table([each.row() for each in fitted], ".3g"), end="\n\n")
    print(together(fitted))
    if arguments.models:
        for group in missing():
            print(f"\n{group.title}\n\n{console.table(models(group), '.3g')}")
        for each in fitted:
            print(f"\n{each.group.title}: {each.figures()}\n\n{console.table(each.models(), '.3g')}")


def unseen() -> tuple[Device, ...]:
    """The cards of what nothing was chosen by."""
    return tuple(Device.read(path) for path in sorted(UNSEEN.glob("*.toml")))


def missing() -> list[Group]:
    """Networks that the cards of devices lack, by device, where a time model ships for such kernels and threads."""
    ours = [device for device in unseen() if device.name in _shipped()]
    return [group for group in groups_of(ours, networks.known(), least=1) if _fit(group)]


def foreign() -> list[Fitted]:
    """Devices that no card is of, each with proportions of other processors."""
    lenders = list(groups_of(card.devices(), networks.known()))
    theirs = [device for device in unseen() if device.name not in _shipped()]
    known = {**networks.known(), **networks.read(NETWORKS)}
    return [Fitted(group, borrowed(group, lenders)) for group in groups_of(theirs, known)]


def _shipped() -> set[str]:
    return {device.name for device in card.devices()}


def _fit(group: Group) -> Fit | None:
    return card.find(group.device.name).fit(group.kind, group.threads)


def predicted(group: Group) -> FloatArray:
    """What the fit that ships says of each network, ms. Raises ValueError where none does."""
    if (fit := _fit(group)) is None:
        raise ValueError(f"{group.title}: no time model ships")
    return np.array([fit.model(each.work) for each in group.known])


def together(fitted: Sequence[Fitted]) -> str:
    """The errors of all devices that no card is of, every model counting once, in a line."""
    models, architectures = (np.concatenate(each) for each in zip(*map(_errors, fitted), strict=True))
    return (
        f"all of these: each of {len(models)} models left out {models.mean():.1%} off, architectures left out "
        f"{architectures.mean():.1%} over {len(architectures)} models"
    )


def _errors(fitted: Fitted) -> tuple[FloatArray, FloatArray]:
    """Absolute errors of models, and of those of whose device there is another architecture."""
    whole = np.abs(fitted.architecture_out)
    return np.abs(fitted.one_out), whole[~np.isnan(whole)]


def row(group: Group) -> dict[str, Any]:
    """For the table of networks that cards lack."""
    off = predicted(group) / group.published.ms - 1
    return {
        "device, kernels, threads": group.title,
        "networks": ", ".join(dict.fromkeys(group.published.architectures)),
        "models": len(off),
        "mean": f"{np.abs(off).mean():.1%}",
        "largest": f"{np.abs(off).max():.1%}",
        "all together": f"{off.mean():+.1%}",
    }


def models(group: Group) -> list[dict[str, Any]]:
    """A row for each network that a card lacks."""
    return [
        {"model": latency.model, "published_ms": latency.infer_ms, "predicted_ms": ms, "off": ms / latency.infer_ms - 1}
        for latency, ms in zip(group.latencies, predicted(group), strict=True)
    ]


if __name__ == "__main__":
    main()
