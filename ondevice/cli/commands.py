"""What makes functions into commands: flags in groups, flags that may stand anywhere, and help without a command."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import is_dataclass
from typing import Annotated, Any, TypeVar

import typer

from ondevice.cli.console import Manner

Function = TypeVar("Function", bound=Callable[..., None])
# Wrong usage, as for any other command line that is not complete: a script whose variable is empty must not go on.
_INCOMPLETE = 2


def _quiet(wanted: bool) -> None:
    Manner.quiet |= wanted


def _debug(wanted: bool) -> None:
    Manner.debug |= wanted


def _quiet_flag(hidden: bool) -> Any:
    said = "No notes and no progress: results and errors alone."
    return typer.Option("--quiet", "-q", help=said, callback=_quiet, is_eager=True, hidden=hidden)


def _debug_flag(hidden: bool) -> Any:
    said = "Show a traceback with an error."
    return typer.Option("--debug", help=said, callback=_debug, is_eager=True, hidden=hidden)


Quiet = Annotated[bool, _quiet_flag(hidden=False)]
Debug = Annotated[bool, _debug_flag(hidden=False)]


class Commands(typer.Typer):
    """Several commands, or groups of them, under one name. first: what is called before any of them."""

    def __init__(self, text: str, first: Callable[..., None] | None = None, **more: Any) -> None:
        super().__init__(
            help=text,
            callback=first or _anywhere(begin),
            invoke_without_command=True,
            # Plain help and errors: rich's panels cost start-up time, and an error is one line.
            rich_markup_mode=None,
            pretty_exceptions_enable=False,
            **more,
        )

    def command(self, name: str | None = None, **more: Any) -> Callable[[Function], Function]:
        """Add the decorated function as a command."""
        add = super().command(name, **more)

        def decorate(function: Function) -> Function:
            add(_anywhere(function))
            return function

        return decorate


def begin(context: typer.Context) -> None:
    """Before a command of a group; where none is given, print the group's help."""
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(_INCOMPLETE)


def grouped(function: Callable[..., None]) -> Callable[..., None]:
    """For typer, the function with a flag for each field of those of its parameters that are dataclasses.

    A field is annotated as a parameter would be, with the flag, and its default is the flag's.
    """
    parameters: list[inspect.Parameter] = []
    groups: dict[str, tuple[Callable[..., Any], list[str]]] = {}
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        group = parameter.annotation
        if isinstance(group, type) and is_dataclass(group):
            fields = inspect.signature(group, eval_str=True).parameters
            groups[parameter.name] = group, list(fields)
            parameters += fields.values()
        else:
            parameters.append(parameter)

    def command(**given: Any) -> None:
        made = {
            name: group(**{field: given.pop(field) for field in fields if field in given})
            for name, (group, fields) in groups.items()
        }
        function(**given, **made)

    return _seen(command, function, parameters)


def _anywhere(function: Callable[..., None]) -> Callable[..., None]:
    """For typer, the function with the flags that may stand at any command; their callbacks do what they ask."""
    flags = (("quiet", _quiet_flag(hidden=True)), ("debug", _debug_flag(hidden=True)))
    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Annotated[bool, flag])
        for name, flag in flags
    ]

    def command(*, quiet: bool, debug: bool, **given: Any) -> None:
        function(**given)

    return _seen(command, function, [*inspect.signature(function, eval_str=True).parameters.values(), *parameters])


def _seen(
    command: Callable[..., None], function: Callable[..., None], parameters: Iterable[inspect.Parameter]
) -> Callable[..., None]:
    """The command, which typer sees as the function with these parameters."""
    command.__name__, command.__doc__ = function.__name__, function.__doc__
    by_name = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    command.__signature__ = inspect.Signature(by_name)  # type: ignore[attr-defined]
    return command
