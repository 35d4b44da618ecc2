"""The arguments and flags that several commands have, in one wording."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from ondevice.cli.console import Format

ModelArgument: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="A name from `ondevice models list`, or a path to any .tflite.", show_default=False
    ),
]
Threads: TypeAlias = Annotated[
    int | None, typer.Option("--threads", "-t", help="Threads of the runtime, 1 or more.", show_default="1")
]
DeviceName: TypeAlias = Annotated[
    str | None,
    typer.Option("--device", help="Emulate a device of `ondevice devices list`.", show_default="this machine"),
]
RuntimeName: TypeAlias = Annotated[
    str | None,
    typer.Option("--runtime", help="litert, tflite-runtime or tensorflow.", show_default="the first that is installed"),
]
ScaledDecode: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--scaled-decode/--full-decode", help="Decode JPEGs at the smallest scale that suffices, or always in full."
    ),
]
OutputFormat: TypeAlias = Annotated[Format, typer.Option("--format", "-f", help="How to print the result.")]
