"""Which command is meant, how it is run, and how the process ends."""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Annotated, NoReturn

import typer

from ondevice._version import __version__
from ondevice.cli import console, interrupts
from ondevice.cli.commands import Commands, Debug, Quiet, begin
from ondevice.errors import OnDeviceError, UsageError

# Each is a module here with a function, or an app of its own, of that name.
COMMANDS = (
    "demo", "run", "bench", "evaluate", "convert", "models", "devices", "serve", "offload", "link", "simulate",
    "doctor",
)  # fmt: skip

# Typer bundles its click from some version on: the class of all its errors is found through what typer exports.
_ClickError: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"ondevice {__version__}")
        raise typer.Exit


def _begin(
    context: typer.Context,
    debug: Debug = False,
    quiet: Quiet = False,
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    begin(context)


app = Commands(
    "Run CNNs on the phone or in the cloud. Start with `ondevice demo`.",
    _begin,
    name="ondevice",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def run() -> NoReturn:
    """Run the command that the arguments name, and end the process."""
    arguments = _without_help(sys.argv[1:])
    _register(arguments)
    # We have a pixel limit of our own, and report it as an error.
    warnings.filterwarnings("ignore", module="PIL")
    try:
        try:
            interrupts.arm()
            status = _status(arguments)
        finally:
            interrupts.finish()
    except KeyboardInterrupt:  # just now
        status = _interrupted()
    _exit(status)


def _status(arguments: list[str]) -> int:
    """Run the command; gives the exit status, once its error is told."""
    try:
        status: int = app(arguments, standalone_mode=False) or 0
        sys.stdout.flush()
        return _interrupted() if status == interrupts.STATUS else status  # typer has caught the KeyboardInterrupt
    except _ClickError as error:
        return _fail(getattr(error, "format_message")(), 2, error)  # noqa: B009
    except UsageError as error:
        return _fail(str(error), 2, error)
    except OnDeviceError as error:
        return _fail(str(error), 1, error)
    except BrokenPipeError:
        return 1  # the reader (head, less) has enough
    except SystemExit as end:  # so typer ends there, and `demo` on SIGTERM
        return end.code if isinstance(end.code, int) else 1
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()


def _interrupted() -> int:
    console.error("interrupted")
    return interrupts.STATUS


def _exit(status: int) -> NoReturn:
    """Run the exit handlers and end at once: taking numpy and the runtime apart costs an eighth of a short run."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OnDeviceError, OSError):  # told already, where there was anything to print
            stream.flush()
    os._exit(status)


def _without_help(arguments: list[str]) -> list[str]:
    """The arguments, `help COMMAND` as `COMMAND --help`."""
    if next(_words(arguments), None) != "help":
        return arguments
    at = arguments.index("help")
    return _without_help([*arguments[:at], *arguments[at + 1 :], "--help"])


def _words(arguments: list[str]) -> Iterator[str]:
    """What does not begin with a dash: the command first, for no flag before it takes a value."""
    return (argument for argument in arguments if not argument.startswith("-"))


def _register(arguments: list[str]) -> None:
    """Add the command that is called, or all, where it is help or a typing error that has to know them."""
    called = next(_words(arguments), "")
    for name in (called,) if called in COMMANDS else COMMANDS:
        module = importlib.import_module(f"ondevice.cli.{name}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name)
        else:
            app.command()(getattr(module, name))


def _fail(message: str, status: int, error: BaseException | None) -> int:
    if console.Manner.debug and error is not None:
        raise error
    console.error(message)
    return status
