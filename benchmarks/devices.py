"""How well do emulated devices predict published latencies? Every published model is left out of the fit and predicted.

    python benchmarks/devices.py [--build FOLDER] [--write] [--plot FILE.png] [--models]

Printed, for each device, kind of kernels and count of threads: the errors of models left out one by one, and of whole
architectures left out; those of overhead and multiply-adds alone, left out in the same way; and by how much the
delivered fit is off, which has seen them all.

--build makes the networks that cards name with Keras and TensorFlow's converter in FOLDER, as `ondevice convert` would
(random weights: an hour of one core), and writes ondevice/devices/networks.csv: their marks and their work. --write
fits the time models and writes ondevice/devices/fits.toml. Neither depends on the machine. --models prints every
model's figures, --plot draws published against predicted times.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ondevice.cli import console
from ondevice.devices import card, fitting, network, networks
from ondevice.devices.card import Device, Latency
from ondevice.devices.fitting import Published
from ondevice.devices.networks import KnownNetwork
from ondevice.errors import UsageError
from ondevice.models import files, graph
from ondevice.timing.arrays import FloatArray

FITS = Path(card.__file__).parent / "fits.toml"


class Group(NamedTuple):
    """One device's published models of one kind of kernels with one count of threads."""

    device: Device
    kind: str
    threads: int
    latencies: tuple[Latency, ...]
    known: tuple[KnownNetwork, ...]

    @property
    def published(self) -> Published:
        """As it is fitted."""
        return Published(
            tuple(each.work for each in self.known),
            tuple(each.infer_ms for each in self.latencies),
            tuple(architecture(each.name) for each in self.known),
        )

    @property
    def title(self) -> str:
        """For tables."""
        return f"{self.device.name}, {self.kind}, {self.threads} thread{'s' * (self.threads > 1)}"


def architecture(name: str) -> str:
    """A network's name without width, resolution and depth."""
    return re.sub(r"(_\d+(\.\d+)?)+$|(?<=_lite)\d$", "", name)


def main() -> None:
    """Build, fit, print and draw what was asked for."""
    arguments = _arguments()
    if arguments.build:
        named = {networks.name_of(each) for device in card.devices() for each in device.latencies}
        build(arguments.build, named, networks.TABLE)
        return
    groups = list(groups_of(card.devices(), networks.known()))
    fitted = [Fitted(group, borrowed(group, groups)) for group in groups]
    print(console.table([each.row() for each in fitted], ".3g"))
    if arguments.models:
        for each in fitted:
            print(f"\n{each.group.title}: {each.figures()}\n")
            print(console.table(each.models(), ".3g"))
    if arguments.write:
        write(fitted)
    if arguments.plot:
        plot(fitted, arguments.plot)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--build", type=Path, metavar="FOLDER", help="make the networks, and networks.csv")
    parser.add_argument("--write", action="store_true", help=f"write {FITS.name}")
    parser.add_argument("--models", action="store_true", help="print every model's figures")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw published against predicted times")
    return parser.parse_args()


def groups_of(
    devices: Iterable[Device], known: Mapping[str, KnownNetwork], least: int = fitting.MIN_MODELS
) -> Iterator[Group]:
    """Those with networks enough for a fit; a card's note says why nothing is fitted to it."""
    for device in (each for each in devices if not each.note):
        for threads in device.thread_counts:
            for kind in ("float", "quant"):
                pairs = [(each, known[name]) for each in device.published(threads)
                         if each.kind == kind and (name := networks.name_of(each)) in known]  # fmt: skip
                if len(pairs) >= least:
                    latencies, found = zip(*pairs, strict=True)
                    yield Group(device, kind, threads, latencies, found)


def borrowed(group: Group, groups: Sequence[Group]) -> FloatArray:
    """The proportions of the devices, of another processor, that have architectures enough."""
    others = [each for each in groups if each.kind == group.kind and each.device.soc != group.device.soc]
    return fitting.proportions([each.published for each in others if each.published.lends])


class Fitted:
    """A group's time model, and its errors on models that it had not seen."""

    def __init__(self, group: Group, borrowed: FloatArray) -> None:
        self.group, published = group, group.published
        self.model = fitting.fit(published, borrowed)
        self.predicted = np.array([self.model(work) for work in published.work])
        ms, names = np.array(published.ms), published.architectures
        self.off = self.predicted / ms - 1
        self.one_out = fitting.left_out(published, borrowed, range(len(ms)))
        self.architecture_out = fitting.left_out(published, borrowed, names)
        self.by_multiply_adds = np.array([_line_without(published, names, name, i) for i, name in enumerate(names)])

    def _of_families(self) -> FloatArray:
        """Errors of models, left out, of whose architecture others were left."""
        names = self.group.published.architectures
        return self.one_out[[names.count(name) > 1 for name in names]]

    def _per_architecture(self) -> FloatArray:
        """Mean absolute errors of architectures, each left out whole."""
        names = np.array(self.group.published.architectures)
        found = np.array(
            [np.abs(self.architecture_out[names == name]).mean() for name in dict.fromkeys(names.tolist())]
        )
        return found[~np.isnan(found)]

    def row(self) -> dict[str, Any]:
        """For the table of all devices."""
        over = self._per_architecture()
        return {
            "device, kernels, threads": self.group.title,
            "models": len(self.one_out),
            "architectures": len(set(self.group.published.architectures)),
            "left out: mean": _percent(self.one_out),
            "worst": _percent(self.one_out, np.max),
            "architectures left out: over models": _percent(self.architecture_out),
            "over architectures": _percent(over),
            "largest": _percent(self.architecture_out, np.max),
            "multiply-adds alone: left out": _percent(self.by_multiply_adds[:, 0]),
            "architectures left out": _percent(self.by_multiply_adds[:, 1]),
            "delivered": _percent(self.off),
        }

    def figures(self) -> str:
        """The time model's, in a line."""
        return ", ".join(f"{name} {value:.3g}" for name, value in self.model._asdict().items())

    def models(self) -> list[dict[str, Any]]:
        """A row for each model."""
        return [
            {
                "model": latency.model,
                "published_ms": latency.infer_ms,
                "fitted_ms": predicted,
                "left out": f"{one:+.1%}",
                "architecture left out": "" if np.isnan(group) else f"{group:+.1%}",
            }
            for latency, predicted, one, group in zip(
                self.group.latencies, self.predicted, self.one_out, self.architecture_out, strict=True
            )
        ]

    def toml(self) -> list[str]:
        """The fit as fits.toml has it.

        Of two architectures, each left out, the errors are those of a fit to a single one, and say nothing of this.
        """
        families, architectures = self._of_families(), self._per_architecture()
        return [
            "",
            f"[[{self.group.device.name}]]",
            f'kind = "{self.group.kind}"',
            f"threads = {self.group.threads}",
            f"model = [{', '.join(f'{figure:.6g}' for figure in self.model)}]",
            f"networks = [{', '.join(f'{chr(34)}{each.name}{chr(34)}' for each in self.group.known)}]",
            *_errors_toml("family", families, families),
            *(_errors_toml("architecture", architectures, self.architecture_out) if len(architectures) > 2 else ()),
        ]


def _errors_toml(name: str, errors: FloatArray, all_errors: FloatArray) -> list[str]:
    if not len(errors):
        return []
    mean, worst = np.abs(errors).mean(), np.nanmax(np.abs(all_errors))
    return [f"{name} = {{ mean = {mean:.4f}, worst = {worst:.4f}, count = {len(errors)} }}"]


def _line_without(published: Published, names: Sequence[str], name: str, index: int) -> tuple[float, float]:
    """Errors of a model by overhead and multiply-adds alone, without it and without its architecture."""
    rows, ms = published.rows(), np.array(published.ms)

    def error(kept: FloatArray) -> float:
        if not kept.any():
            return np.nan
        figures = fitting.least_squares(rows[kept][:, :2], np.ones(int(kept.sum())))
        return float(rows[index, :2] @ figures - 1)

    return error(np.arange(len(ms)) != index), error(np.array(names) != name)


def _percent(errors: FloatArray, of: Any = np.mean) -> str:
    known = np.abs(errors)[~np.isnan(errors)]
    return f"{of(known):.1%}" if len(known) else "-"


def write(fitted: Sequence[Fitted]) -> None:
    """Write the fits that ship with the cards."""
    lines = ["# Written by benchmarks/devices.py --write. The fields are those of ondevice.devices.card.Fit."]
    with files.replacing(FITS) as out:
        out.write("\n".join([*lines, *(line for each in fitted for line in each.toml()), ""]).encode())


def build(folder: Path, named: set[str], table: Path) -> None:
    """Make the networks named that are missing in folder, and the table of all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in sorted(named - {""}):
        path = folder / f"{name}.tflite"
        if path.exists() or _make(name, path):
            found = network.of(graph.read(path))
            rows.append([name, found.fingerprint, found.structure, *(f"{figure:.0f}" for figure in found.work)])
    with files.replacing(table) as out:
        text = [["network", "fingerprint", "structure", *network.Workload._fields], *rows]
        out.write("".join(",".join(row) + "\n" for row in text).encode())
    print(f"{table}: {len(rows)} networks", file=sys.stderr)


def _make(name: str, path: Path) -> bool:
    """Whether it is an architecture that can be made, and has been."""
    from ondevice.converters.architectures import catalogue
    from ondevice.converters.export import saver, tensorflow, to_tflite

    try:
        catalogue.find(name)
    except UsageError as error:
        print(error, file=sys.stderr)
        return False
    tensorflow().keras.backend.clear_session()
    content = to_tflite(saver(catalogue.build(name)), "fp32", [])
    with files.replacing(path) as out:
        out.write(content)
    print(path.name, file=sys.stderr)
    return True


def plot(fitted: Sequence[Fitted], path: Path) -> None:
    """Published against predicted times, left out singly and by architecture; a colour a family, a row a kind."""
    import matplotlib.pyplot as plt

    families = sorted({name for each in fitted for name in each.group.published.architectures})
    colors = dict(zip(families, plt.colormaps["tab20"](np.linspace(0, 1, len(families))), strict=True))
    figure, axes = plt.subplots(2, 2, figsize=(11, 11), sharex=True, sharey=True, layout="constrained")
    for row, kind in zip(axes, ("float", "quant"), strict=True):
        of_kind = [each for each in fitted if each.group.kind == kind]
        _panel(row[0], [(each, each.one_out) for each in of_kind], colors, f"{kind}, each model left out")
        _panel(
            row[1], [(each, each.architecture_out) for each in of_kind], colors, f"{kind}, each architecture left out"
        )
    handles = [plt.Line2D([], [], marker="o", linestyle="", color=colors[name], label=name) for name in families]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, fontsize="small")
    with files.replacing(path) as out:
        figure.savefig(out, format=path.suffix[1:].lower(), dpi=100)
    plt.close(figure)


def _panel(axis: Any, errors: Sequence[tuple[Fitted, FloatArray]], colors: Mapping[str, Any], title: str) -> None:
    for fitted, off in errors:
        ms = np.array(fitted.group.published.ms)
        c = [colors[name] for name in fitted.group.published.architectures]
        axis.scatter(ms, ms * (1 + off), s=14, c=c, alpha=0.8, linewidths=0)
    limits = np.array([0.3, 5000.0])
    for factor, style in ((1, "-"), (0.8, "--"), (1.25, "--")):
        axis.plot(limits, limits * factor, color="0.5", linewidth=0.8, linestyle=style)
    axis.set(xscale="log", yscale="log", xlim=limits, ylim=limits, title=title)
    axis.set(xlabel="published, ms", ylabel="predicted, ms")


if __name__ == "__main__":
    main()
