"""Help, version, quiet and colour: what all commands do alike."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from terminal import in_a_terminal

from ondevice.cli import program
from ondevice.cli.commands import grouped
from ondevice.models import zoo

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures, and a file that is none."""
    for path in sorted((zoo.samples_dir() / "7").glob("*.png"))[:2]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


@pytest.mark.parametrize("group", [(), ("models",), ("devices",)])
def test_without_a_command_the_help_is_printed_as_help(cli: Cli, group: tuple[str, ...]) -> None:
    done = cli(*group)
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout == cli(*group, "--help").stdout
    assert done.stdout.startswith("Usage: ")
    assert len(done.stdout.splitlines()) > 8


@pytest.mark.parametrize(
    ("asked", "same"),
    [
        (("help",), ("--help",)),
        (("help", "run"), ("run", "--help")),
        (("-q", "help", "models", "pull"), ("models", "pull", "-h")),
        (("help", "help"), ("--help",)),
        (("-V",), ("--version",)),
    ],
)
def test_other_ways_to_ask(cli: Cli, asked: tuple[str, ...], same: tuple[str, ...]) -> None:
    done = cli(*asked)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == cli(*same).stdout != ""


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("runn",), "No such command 'runn'. Did you mean 'run'?"),
        (("help", "runn"), "No such command 'runn'. Did you mean 'run'?"),
        (("models", "lst"), "No such command 'lst'. Did you mean 'list'?"),
    ],
)
def test_a_mistyped_command_is_told_what_it_may_mean(cli: Cli, typed: tuple[str, ...], said: str) -> None:
    done = cli(*typed)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"ondevice: error: {said}\n")


def commands() -> Iterator[tuple[str, Any]]:
    """All commands and groups, as typer makes them."""
    program._register([])
    waiting: list[tuple[str, Any]] = [("ondevice", typer.main.get_command(program.app))]
    while waiting:
        name, command = waiting.pop()
        yield name, command
        waiting += [(f"{name} {sub}", made) for sub, made in getattr(command, "commands", {}).items()]


def test_quiet_and_debug_may_stand_at_every_command() -> None:
    taken = {name: {flag for parameter in command.params for flag in parameter.opts} for name, command in commands()}
    assert len(taken) > 20
    assert [name for name, flags in taken.items() if not {"-q", "--quiet", "--debug"} <= flags] == []


@pytest.mark.parametrize("before", [True, False])
def test_quiet_is_results_and_errors_alone(cli: Cli, folder: Path, before: bool) -> None:
    (folder / "z.png").write_bytes(b"")
    command = ("run", "digits_xs_fp32", folder, "--format", "csv")
    loud, quiet = cli(*command), cli("-q", *command) if before else cli(*command, "--quiet")
    assert [line.split(",")[0] for line in quiet.stdout.splitlines()] == [
        line.split(",")[0] for line in loud.stdout.splitlines()
    ]
    assert "skipped 1 files" in loud.stderr
    assert quiet.returncode == loud.returncode == 1
    (error,) = quiet.stderr.splitlines()
    assert error.startswith("ondevice: error: ")
    assert "z.png" in error


@dataclass(frozen=True)
class SizeFlags:
    """Two flags."""

    height: Annotated[int, typer.Option("--height", "-y", min=1)]
    depth: Annotated[int, typer.Option("--depth")] = 3


def test_a_group_of_flags_is_handed_over_as_an_object() -> None:
    given: list[object] = []

    @grouped
    def measure(name: Annotated[str, typer.Argument()], size: SizeFlags, loud: bool = False) -> None:
        """Measure it."""
        given.extend((name, size, loud))

    measure(name="a", height=2)
    app = typer.Typer()
    app.command()(measure)
    app(["b", "-y", "5", "--loud", "--depth", "4"], standalone_mode=False)
    assert given == ["a", SizeFlags(2, 3), False, "b", SizeFlags(5, 4), True]
    command = typer.main.get_command(app)
    assert [parameter.name for parameter in command.params[:4]] == ["name", "height", "depth", "loud"]
    assert command.help == "Measure it."


def test_debug_after_the_command(cli: Cli) -> None:
    done = cli("run", "nothing.tflite", "x.jpg", "--debug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("run", "digits_xs_fp32"),
        # What is late is red.
        ("offload", "--local", "digits_xs_fp32", "--mode", "device", "--sla", 0.001),
    ],
)
def test_colour_and_movement_are_for_terminals_that_want_them(
    cli: Cli, folder: Path, command: tuple[object, ...]
) -> None:
    command = (*command, folder, "--format", "csv")
    printed, shown, _ = in_a_terminal(*command)
    assert COLOUR.search(shown)
    assert "\x1b" not in printed
    _, plain, _ = in_a_terminal(*command, NO_COLOR="1")
    assert "\x1b[" in plain
    assert not COLOUR.search(plain)
    _, quiet, _ = in_a_terminal(*command, "-q")
    assert "\x1b" not in quiet
    done = cli(*command)
    assert "\x1b" not in done.stdout + done.stderr


def test_an_error_in_a_terminal_has_no_colour() -> None:
    assert in_a_terminal("runn")[:2] == ("", "ondevice: error: No such command 'runn'. Did you mean 'run'?\r\n")


def named_in_help() -> dict[tuple[str, str], tuple[str, ...]]:
    """What there is to choose from, for each flag whose help lists it."""
    from ondevice import runtime
    from ondevice.bench import mlperf, plot
    from ondevice.client.planning.plan import Mode
    from ondevice.converters import convert, job
    from ondevice.lab.link import networks, toxic
    from ondevice.lab.simulate import curves, upload_rules
    from ondevice.lab.simulate.estimates import ReplyEstimate
    from ondevice.lab.simulate.simulation import QueueView

    return {
        ("run", "--runtime"): runtime.RUNTIMES,
        ("bench", "--scenario"): mlperf.SCENARIOS,
        ("bench", "--plot"): plot._SUFFIXES,
        ("convert", "--zoo"): tuple(
            word for name, zoo in convert.ZOOS.items() for word in (f"{name}: ", f"{len(zoo)} ")
        ),
        ("convert", "--precision"): job.PRECISIONS,
        ("convert", "--io"): job.IO,
        ("offload", "--mode"): tuple(Mode),
        ("link", "--trace"): tuple(networks.NETWORKS),
        ("link", "--toxic"): tuple(f"{name}:{attribute}=" for name, attribute in toxic.ATTRIBUTES.items()),
        ("simulate", "--plot"): curves.PLOTS,
        ("simulate", "--figure"): tuple(suffix[1:] for suffix in curves._SUFFIXES),
        ("simulate", "--queue"): tuple(QueueView),
        ("simulate", "--knows"): tuple(ReplyEstimate),
        ("simulate", "--upload"): (*upload_rules.RULES, *upload_rules.CHOOSING_BOTH),
    }


def test_help_lists_what_there_is() -> None:
    helps = {
        (name.removeprefix("ondevice "), flag): f"{parameter.help} {parameter.metavar}"
        for name, command in commands()
        for parameter in command.params
        for flag in parameter.opts
    }
    for of, names in named_in_help().items():
        assert [name for name in names if name not in helps[of]] == [], of
