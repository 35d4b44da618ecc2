"""The command line. Only what the command at hand needs is imported, so that each starts as fast as it can."""

from __future__ import annotations

import atexit
import importlib
import os
import sys
import warnings
from typing import Annotated, NoReturn

import typer

from ondevice._version import __version__
from ondevice.errors import OnDeviceError, UsageError

app = typer.Typer(
    name="ondevice",
    help="Run CNNs on the phone or in the cloud. Start with `ondevice demo`.",
    no_args_is_help=True,
    # Plain help and errors: rich's panels cost start-up time, and an error is one line.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# Each is a module here with a function, or an app of its own, of that name.
COMMANDS = (
    "demo", "run", "bench", "evaluate", "convert", "models", "devices", "serve", "offload", "link", "simulate",
    "doctor",
)  # fmt: skip

# Typer bundles its click from some version on: the class of all its errors is found through what typer exports.
_ClickError: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")
_debug = False
_INTERRUPTED = 130


def _version(wanted: bool) -> None:
    if wanted:
        print(f"ondevice {__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    global _debug
    _debug = debug


def main() -> None:
    """Run the command line: errors are one line on standard error; exit status 1, or 2 for wrong usage."""
    _register(sys.argv[1:2])
    # We have a pixel limit of our own, and report it as an error.
    warnings.filterwarnings("ignore", module="PIL")
    try:
        status = app(standalone_mode=False) or 0
        sys.stdout.flush()
        if status == _INTERRUPTED:  # typer has caught the KeyboardInterrupt
            _fail("interrupted", status, None)
    except _ClickError as error:
        status = _fail(getattr(error, "format_message")(), 2, error)  # noqa: B009
    except UsageError as error:
        status = _fail(str(error), 2, error)
    except OnDeviceError as error:
        status = _fail(str(error), 1, error)
    except BrokenPipeError:
        # The reader (head, less) has enough; python would complain once more on closing standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    except (KeyboardInterrupt, typer.Abort):
        status = _fail("interrupted", _INTERRUPTED, None)
    _exit(status)


def _exit(status: int) -> NoReturn:
    """Run the exit handlers and end at once: taking numpy and the runtime apart costs an eighth of a short run."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _register(first: list[str]) -> None:
    """Add the command that is called, or all, where it is help or a typing error that has to know them."""
    for name in first if first and first[0] in COMMANDS else COMMANDS:
        module = importlib.import_module(f"ondevice.cli.{name}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name)
        else:
            app.command()(getattr(module, name))


def _fail(message: str, status: int, error: BaseException | None) -> int:
    if _debug and error is not None:
        raise error
    from ondevice.cli.console import printable

    print(f"ondevice: error: {printable(message.strip())}", file=sys.stderr)
    return status
