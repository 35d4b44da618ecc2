"""`ondevice devices`: the phones and boards that can be emulated."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ondevice.cli import console
from ondevice.cli.commands import Commands
from ondevice.cli.console import Format
from ondevice.cli.options import DeviceThreads, OutputFormat
from ondevice.errors import OnDeviceError, UsageError

if TYPE_CHECKING:
    from ondevice.devices.card import Device, Errors, Fit, Latency
    from ondevice.devices.prediction import PredictedTime

# The percentiles of a table's row, as `ondevice bench` shows them; JSON has all.
_SHOWN = ("50", "90", "99")

app = Commands("Phones and boards: list, show, and say how long they would take.")

Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False)]


@app.command("list")
def list_(form: OutputFormat = Format.TABLE) -> None:
    """List all devices, those that can be emulated first."""
    from ondevice.devices import card

    console.emit([_row(device) for device in card.devices()], form)


def _row(device: Device) -> dict[str, Any]:
    fits = [fit for kind in ("float", "quant") if (fit := device.fit(kind, device.threads))]
    return {
        "name": device.name,
        "soc": device.soc,
        "year": device.year,
        "threads": device.threads,
        "published": len(device.latencies),
        "emulated": ", ".join(fit.kind for fit in fits) or "no",
        "within a family": " ".join(_short(fit.family) for fit in fits),
        "new architecture": " ".join(_short(fit.architecture) for fit in fits),
    }


def _short(errors: Errors | None) -> str:
    return f"{errors.mean:.0%}" if errors else "?"


@app.command()
def show(name: Name, form: OutputFormat = Format.TABLE) -> None:
    """Show a device's card: what it is, how it is emulated, and every published latency."""
    import dataclasses
    import json

    from ondevice.devices import card

    device = card.find(name)
    if form in (Format.JSON, Format.JSONL):
        print(json.dumps(console.plain(dataclasses.asdict(device)), indent=2 if form is Format.JSON else None))
        return
    if form is not Format.CSV:
        fields = {k: v for k in ("title", "soc", "cores", "memory", "year", "threads", "runtime", "source", "note")
                  if (v := getattr(device, k))}  # fmt: skip
        fields |= {f"{fit.kind}, {fit.threads} threads": _described(fit) for fit in device.fits}
        console.emit([{"field": key, "value": str(value)} for key, value in fields.items()], form)
        print()
    rows = [_latency(latency, device.threads_of(latency)) for latency in device.latencies]
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
    model = fit.model
    return (
        f"{model.overhead_ms:.3g} ms + {model.per_gmac_ms:.3g} for 10^9 multiply-adds + for 10^6: "
        f"{model.per_m_picture_outputs_ms:.3g} picture outputs, {model.per_m_activations_ms:.3g} activations, "
        f"{model.per_m_elements_ms:.3g} elements + {model.per_layer_ms:.3g} a layer; "
        f"within a family ± {_long(fit.family)}; new architecture ± {_long(fit.architecture)}"
    )


def _long(errors: Errors | None) -> str:
    return f"{errors.mean:.1%} (worst {errors.worst:.0%}) of {errors.count}" if errors else "not known"


@app.command()
def predict(
    name: Name,
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...", help="Names from `ondevice models list`, or paths to any .tflite.", show_default=False
        ),
    ],
    threads: DeviceThreads = None,
    form: OutputFormat = Format.TABLE,
) -> None:
    """Say how long a device would take for models, without running them: the same on every machine."""
    from ondevice.devices import card

    device = card.find(name)
    rows, failed, names = [], 0, _names(models)
    for model in models:
        try:
            rows.append(_prediction(names[model], _predicted(model, device, threads)))
        except UsageError:
            raise
        except OnDeviceError as error:
            failed += 1
            console.error(str(error))
    if rows:
        console.emit(rows, form, ".3g")
    if failed:
        raise typer.Exit(1)


def _predicted(model: str, device: Device, threads: int | None) -> PredictedTime:
    from ondevice import runner, runtime, trial
    from ondevice.devices import network, prediction

    path, entry, checksum = runner.find(model)
    if entry is None:
        trial.ensure(path, checksum, runtime.get())
    with console.quiet_runtime():
        precision = entry.card.precision if entry else runtime.Executable(path).precision
    return prediction.predict(device, network.of_file(path), precision, threads)


def _names(models: list[str]) -> dict[str, str]:
    """What each is called in a table: a zoo's name, or a file's, with as much of its path as tells it from others."""
    from ondevice import words

    places = {model: PurePath(model.removesuffix(".tflite")) for model in models}
    ends = words.apart(places.values())
    return {model: ends[place] for model, place in places.items()}


def _prediction(name: str, predicted: PredictedTime) -> dict[str, Any]:
    return {
        "model": name,
        "device": predicted.device,
        "threads": predicted.threads,
        "mean_ms": predicted.mean_ms,
        **{f"p{round(100 * share)}_ms": float(predicted.times.quantile_ms(share)) for share in (0.1, 0.5, 0.9)},
        "basis": predicted.described,
    }


@app.command(hidden=True, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
def calibrate(context: typer.Context) -> None:
    """Nothing to calibrate any more: emulated times come from the networks' layers, the same on every machine."""
    raise UsageError(
        "emulated times no longer depend on this machine, so there is nothing to calibrate: leave this step out; "
        "`ondevice devices predict NAME MODEL` says what a device takes"
    )
