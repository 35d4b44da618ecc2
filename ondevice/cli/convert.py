"""`ondevice convert`: from trained CNNs to the files that go onto the phone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ondevice.cli import console
from ondevice.cli.commands import grouped
from ondevice.cli.console import Format
from ondevice.cli.options import Mean, OutputFormat, Std, pixel_range, values

if TYPE_CHECKING:
    from ondevice.converters.convert import Converted
    from ondevice.converters.job import ConversionJob, ConversionResult

Sources = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SOURCE...",
        help="Architectures (such as mobilenet_v1_0.25_128 or ResNet50V2, see --list), .keras or .h5 files, SavedModel "
        "folders; of PyTorch package.module:function, torchvision:NAME, timm:NAME or .pt2 files.",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class JobFlags:
    """What is made of each source, how it is checked, and what its card says."""

    weights: Annotated[
        str,
        typer.Option(
            "--weights",
            help="Of architectures: imagenet, none (random, for latency), a file, or a folder of files. Of PyTorch's: "
            "a state dictionary.",
        ),
    ] = "imagenet"
    precision: Annotated[
        str, typer.Option("--precision", help="Of fp32, fp16, dynamic, weight_only, int8; several with commas.")
    ] = "fp32"
    calibration: Annotated[
        str,
        typer.Option(
            "--calibration",
            metavar="DIR",
            help="Pictures for int8, or `random` where answers do not matter.",
            show_default=False,
        ),
    ] = ""
    calibration_size: Annotated[int, typer.Option("--calibration-size", help="How many of them to take, evenly.")] = 100
    check: Annotated[
        str,
        typer.Option(
            "--check",
            metavar="DIR",
            help="Pictures to compare file and source on; labelled ones give top-1.",
            show_default="those not calibrated on",
        ),
    ] = ""
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where files and cards go.")] = Path()
    io: Annotated[str, typer.Option("--io", help="What int8 files take and give: int8, uint8 or float.")] = "int8"
    name: Annotated[str, typer.Option("--name", help="The files' name.", show_default="the source's")] = ""
    size: Annotated[
        int | None, typer.Option("--size", help="The input's side in pixels.", show_default="the network's own")
    ] = None
    value_range: Annotated[
        str | None,
        typer.Option(
            "--range",
            metavar="LOW,HIGH",
            help="What pixels 0 and 255 become.",
            show_default="what the network scales them from, or its architecture",
        ),
    ] = None
    mean: Mean = None
    std: Std = None
    bgr: Annotated[
        bool | None, typer.Option("--bgr/--rgb", help="Whether it takes blue first.", show_default="--rgb")
    ] = None
    signature: Annotated[
        str,
        typer.Option(
            "--signature", metavar="NAME", help="Of a SavedModel.", show_default="serving_default, or the only one"
        ),
    ] = ""
    crop: Annotated[
        float | None,
        typer.Option(
            "--crop",
            help="The share of the shorter side that is kept.",
            show_default="0.875 for architectures and with ImageNet's classes, as these are evaluated; 1 for others",
        ),
    ] = None
    labels: Annotated[
        str,
        typer.Option(
            "--labels",
            help="imagenet, digits or a text file.",
            show_default="the list beside the source, else imagenet for its 1000 or 1001 classes, else numbers",
        ),
    ] = ""
    licence: Annotated[str, typer.Option("--licence", help="Of the weights, for the card.")] = "unknown"

    def job(self, source: str, seed: int, force: bool) -> ConversionJob:
        """The job for one source. Raises UsageError."""
        from ondevice.converters.convert import weights_of
        from ondevice.converters.job import ConversionJob

        return ConversionJob(
            source=source,
            out=str(self.out),
            name=self.name,
            weights="" if Path(source).exists() else weights_of(source, self.weights),
            precisions=tuple(self.precision.split(",")),
            io=self.io,
            calibration=self.calibration,
            calibration_size=self.calibration_size,
            check=self.check,
            side=self.size,
            value_range=pixel_range(self.value_range),
            mean=values("--mean", self.mean),
            std=values("--std", self.std),
            bgr=self.bgr,
            signature=self.signature,
            crop=self.crop,
            labels=self.labels,
            licence=self.licence,
            seed=seed,
            force=force,
        )


# What each extra is for; of the second pip takes a torch with gigabytes for GPUs on Linux, unless told.
_PURPOSES = {
    "convert": "converting",
    "torch": "converting a network of PyTorch (docs/converting.md says how it takes no gigabytes for GPUs)",
}


@grouped
def convert(
    sources: Sources = None,
    *,
    made: JobFlags,
    zoo: Annotated[
        str,
        typer.Option(
            "--zoo",
            help="paper: the 23 networks of the CNNSelect paper; torch: 27 of torchvision and timm, most since 2019.",
            show_default=False,
        ),
    ] = "",
    listing: Annotated[bool, typer.Option("--list", help="List the architectures, and convert nothing.")] = False,
    jobs: Annotated[int, typer.Option("--jobs", help="Networks converted at the same time.")] = 1,
    seed: Annotated[int, typer.Option("--seed", help="Of random weights and of the choice of pictures.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    form: OutputFormat = Format.TABLE,
) -> None:
    """Convert CNNs to TFLite in several precisions, each checked against its source before it is put in place.

    A file that is not the same network any more is not put in place; the exit status is then 1.
    """
    from ondevice import extras
    from ondevice.converters import beforehand
    from ondevice.converters import convert as converting
    from ondevice.errors import UsageError

    if zoo not in ("", *converting.ZOOS) or [bool(zoo), bool(sources), listing].count(True) != 1:
        raise UsageError("give either sources, or --zoo paper or torch, or --list")
    if listing:
        _list_architectures(form)
        return
    wanted = [made.job(source, seed, force) for source in sources or converting.ZOOS[zoo]]
    for extra, *needed in beforehand.extras(wanted):
        extras.require(extra, _PURPOSES[extra], *needed)
    with _stages() as on_stage:
        done = [_told(converted) for converted in converting.convert(wanted, jobs, on_stage, console.note)]
        done = [converting.with_latency(converted, on_stage) for converted in done]
    _report(done, form)
    if any(c.error or any(r.failed for r in c.results) for c in done):
        raise typer.Exit(2 if all(isinstance(c.error, UsageError) for c in done) else 1)


def _list_architectures(form: Format) -> None:
    from ondevice.converters.architectures import catalogue

    as_text = form in (Format.TABLE, Format.MD)
    rows = []
    for name in catalogue.names():
        architecture, millions = catalogue.find(name), catalogue.published_parameters(name)
        parameters = {"parameters": f"{millions:g} M" if millions else ""}
        rows.append(
            {
                "name": name,
                "Keras's name": catalogue.keras_name(name),
                "side": architecture.side,
                **(parameters if as_text else {"parameters_millions": millions}),
                "classes": catalogue.CLASSES,
                "published weights": "" if architecture.ours else "imagenet",
            }
        )
    console.emit(rows, form)
    console.note("any name takes another side behind it (resnet_v2_50_160), MobileNets and MnasNets any width")


def _told(converted: Converted) -> Converted:
    """Say at once what went wrong, and go on."""
    if converted.error is not None:
        console.error(str(converted.error))
    for result in converted.results:
        if result.failed:
            console.error(f"{result.path} is not put in place: {result.failed}")
    return converted


@contextmanager
def _stages() -> Iterator[Callable[[str], None]]:
    """Show in a line what is being done, if anybody sees it."""
    if not console.shows_progress():
        yield lambda text: None
        return
    from rich.console import Console

    with Console(stderr=True).status("") as status:
        yield lambda text: status.update(console.printable(text))


def _report(done: list[Converted], form: Format) -> None:
    results = [result for converted in done for result in converted.results]
    if form not in (Format.TABLE, Format.MD):
        console.emit([console.as_record(result) for result in results], form)
        return
    if results:
        spread = any(r.error_of_spread is not None for r in results)
        accuracy = any(r.top1 is not None for r in results)
        costly = any(r.transposes or r.float_operators for r in results)
        console.emit([_row(r, _reference(r, results), spread, accuracy, costly) for r in results], form, ".2f")
        print("\n" + "\n".join(_advice(results)))
    peaks = [(c.peak_bytes, c.job.stem) for c in done if c.peak_bytes]
    if peaks:
        peak, stem = max(peaks)
        print(f"Peak memory of a conversion: {peak / 1e9:.1f} GB ({stem}).")


def _reference(result: ConversionResult, results: list[ConversionResult]) -> int | None:
    """The fp32 file's size, to compare with."""
    return next((r.size_bytes for r in results if r.model == result.model and r.precision == "fp32"), None)


def _row(
    result: ConversionResult, fp32_bytes: int | None, spread: bool, accuracy: bool, costly: bool
) -> dict[str, Any]:
    share = result.size_bytes / fp32_bytes if result.size_bytes and fp32_bytes else None
    row: dict[str, Any] = {
        "model": result.model,
        "precision": result.precision,
        "parameters": result.parameters if result.precision == "source" else None,
        "published": _published(result),
        "size_bytes": result.size_bytes,
        "of fp32": share,
        "checked": result.n,
        "agreement": result.agreement if result.error_of_spread is None else None,
        "mean error": f"{result.mean_error:.1e}" if result.mean_error is not None else "",
        "worst error": f"{result.worst_error:.1e}" if result.worst_error is not None else "",
    }
    if spread:
        row["logits' error"] = f"{result.error_of_spread:.1e}" if result.error_of_spread is not None else ""
    if accuracy:
        row |= {"top1": result.top1, "difference (95 %)": _difference(result)}
    if costly:
        row |= {"transposes": result.transposes, "in floats": result.float_operators}
    return {
        **row,
        "p50_ms here": result.latency_ms,
        "timing": result.latency_verdict,
        "convert_s": _seconds(result),
        "verdict": result.verdict,
    }


def _published(result: ConversionResult) -> str:
    """The published number of parameters, in millions, beside the source's own."""
    from ondevice.converters.architectures.catalogue import published_parameters

    known = published_parameters(result.model) if result.precision == "source" else None
    return "" if known is None else f"{known:g} M"


def _difference(result: ConversionResult) -> str:
    if result.top1_difference is None or result.difference_low is None or result.difference_high is None:
        return ""
    return f"{result.top1_difference:+.3f} ({result.difference_low:+.3f} to {result.difference_high:+.3f})"


def _seconds(result: ConversionResult) -> str:
    return "" if result.seconds is None else f"{result.seconds:.0f}"


def _advice(results: list[ConversionResult]) -> Iterator[str]:
    yield "Which to take: int8 on CPUs with int8 dot products (most phones since 2019, Pi 5, AVX-512 VNNI) and on NPUs;"
    yield "fp16 for GPUs and small downloads; weight_only where memory is short and kernels are float; else fp32."
    yield from (
        f"{r.model}: {r.float_operators} operators of int8 compute in floats: {r.float_kinds}." for r in _mixed(results)
    )
    timed = {(r.model, r.precision): r.latency_ms for r in results if r.latency_verdict == "VALID"}
    for model in dict.fromkeys(r.model for r in results):
        reference = timed.get((model, "fp32"))
        for precision in ("dynamic", "weight_only", "int8"):
            latency = timed.get((model, precision))
            if reference and latency and latency > 1.1 * reference:
                yield f"{model}: {precision} is {latency / reference:.1f} x slower than fp32 on this machine."


def _mixed(results: list[ConversionResult]) -> list[ConversionResult]:
    """The files of int8 that are not in int8 throughout."""
    return [result for result in results if result.float_operators]
