"""`ondevice devices`: the phones and boards that can be emulated."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ondevice.cli import console
from ondevice.cli.commands import Commands
from ondevice.cli.console import Format
from ondevice.cli.options import OutputFormat

if TYPE_CHECKING:
    from ondevice.devices.calibration import Candidate
    from ondevice.devices.card import Device, Fit, Latency

app = Commands("Phones and boards: list, show, and calibrate their emulation to this machine.")

# The percentiles of a table's row, as `ondevice bench` shows them; JSON has all.
_SHOWN = ("50", "90", "99")

Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False)]


@app.command("list")
def list_(form: OutputFormat = Format.TABLE) -> None:
    """List all devices, those that can be emulated first."""
    from ondevice.devices import card

    console.emit([_row(device) for device in card.devices()], form)


def _row(device: Device) -> dict[str, Any]:
    return {
        "name": device.name,
        "soc": device.soc,
        "year": device.year,
        "threads": device.threads,
        "published": len(device.latencies),
        "emulated": ", ".join(device.fits) or "no",
        "error": " ".join(f"{fit.error:.0%}" for fit in device.fits.values()),
    }


@app.command()
def show(name: Name, form: OutputFormat = Format.TABLE) -> None:
    """Show a device's card: what it is, how it is emulated, and every published latency."""
    import dataclasses
    import json

    from ondevice.devices import calibration, card

    device = card.find(name)
    if form in (Format.JSON, Format.JSONL):
        print(json.dumps(console.plain(dataclasses.asdict(device)), indent=2 if form is Format.JSON else None))
        return
    if form is not Format.CSV:
        fields = {k: v for k in ("title", "soc", "cores", "memory", "year", "threads", "runtime", "source", "note")
                  if (v := getattr(device, k))}  # fmt: skip
        calibrated = calibration.load(name)
        fields |= {f"{kind} fit": _described(fit) for kind, fit in device.fits.items()}
        fields |= {f"{kind} fit, calibrated here": _described(fit) for kind, fit in calibrated.items()}
        console.emit([{"field": key, "value": str(value)} for key, value in fields.items()], form)
        print()
    rows = [_latency(latency, latency.threads or device.threads) for latency in device.latencies]
    console.emit(rows if form is Format.CSV else _filled(rows), form, ".4g")


def _filled(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows without the columns that are empty in all."""
    return [{key: v for key, v in row.items() if any(r[key] is not None for r in rows)} for row in rows]


def _latency(latency: Latency, threads: int) -> dict[str, Any]:
    percentiles = {f"p{percent}_ms": latency.percentiles_ms.get(percent) for percent in _SHOWN}
    network = "(another)" if latency.network == "" else latency.network
    return {
        "model": latency.model, "kind": latency.kind, "threads": threads, "infer_ms": latency.infer_ms, **percentiles,
        "load_ms": latency.load_ms, "size_mb": latency.size_mb, "network": network,
    }  # fmt: skip


def _described(fit: Fit) -> str:
    from ondevice.devices.timemodel import TimeModel

    line = TimeModel(fit.points).line
    return (
        f"{line.overhead_ms:.3g} ms + {line.factor:.3g} x, and what similar models are off; error ± {fit.error:.1%} "
        f"(worst {fit.worst:.0%}) on {len(fit.points)} models, each left out of its fit; reference: {fit.reference}"
    )


@app.command()
def calibrate(
    name: Name,
    models: Annotated[
        list[Path] | None,
        typer.Option(
            "--models",
            metavar="DIR",
            help="A folder of .tflite files named after the published models. May be repeated.",
            show_default="the zoo's models",
        ),
    ] = None,
    form: OutputFormat = Format.TABLE,
) -> None:
    """Refit a device's time model on this machine, with the published models that are at hand here.

    The machine must have nothing else to do meanwhile.
    """
    from ondevice.devices import calibration, card, timing
    from ondevice.errors import UsageError

    device = card.find(name)
    if not device.emulated:
        raise UsageError(device.refusal)
    points = calibration.at_hand(device, models or [])
    with console.quiet_runtime(), console.progress(len(points) * timing.PASSES, f"timing for {name}") as step:
        timed = calibration.measure(points, lambda: step(1))
    fits = calibration.refit(timed)
    path = calibration.save(name, fits)
    console.emit([_prediction(point, fits) for point in timed if point.published.kind in fits], form, ".3g")
    for kind, fit in fits.items():
        console.note(f"{kind}: {_described(fit)}")
    console.note(f"saved for this machine: {path}")


def _prediction(candidate: Candidate, fits: dict[str, Fit]) -> dict[str, Any]:
    fit, published = fits[candidate.published.kind], candidate.published
    assert candidate.timing is not None
    predicted = fit.predict(candidate.timing.relative, candidate.path.stat().st_size)
    return {
        "model": published.model,
        "kind": published.kind,
        "here_ms": candidate.timing.host_ms,
        "predicted_ms": predicted,
        "published_ms": published.infer_ms,
        "off": f"{predicted / published.infer_ms - 1:+.1%}",
    }
