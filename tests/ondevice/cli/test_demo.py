"""`ondevice demo`: what it refuses, and what it does without its figures."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from demo_runs import commands

from ondevice import extras
from ondevice.cli import demo
from ondevice.errors import MissingError, UsageError

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--port", "8001"], "give --live too"),
        (["--live", "--port", "65536"], "65536"),
        (["--report", "."], "is a folder"),
        (["--report", "no/such/report.html"], "folder 'no/such' does not exist"),
        (["--seed", "-1"], "-1"),
        (["--seed", "good"], "good"),
        (["pictures"], "pictures"),
    ],
)
def test_wrong_usage_is_one_line(cli: Cli, flags: list[str], said: str) -> None:
    refused = cli("demo", *flags)
    assert (refused.returncode, refused.stdout) == (2, "")
    (line,) = refused.stderr.splitlines()
    assert line.startswith("ondevice: error: ")
    assert said in line


def test_a_port_that_is_taken(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = cli("demo", "--live", "--port", port)
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1] == f"ondevice: error: port {port} cannot be used: address already in use"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o555)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="may not be written to"):
        demo.demo(None, False, None, 6)


def test_without_the_endpoint_s_packages_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    _lack(monkeypatch, "serve")
    with pytest.raises(MissingError, match=r"`ondevice demo` needs more packages: run `pip install 'aiohttp>=3'`"):
        demo.demo(None, False, None, 6)


def test_without_matplotlib_a_report_that_is_asked_for_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    _lack(monkeypatch, "lab")
    with pytest.raises(MissingError, match=r"`--report` needs more packages: run `pip install 'matplotlib>=3'`"):
        demo.demo(Path("report.html"), False, None, 6)


def test_without_matplotlib_there_is_a_table_and_how_to_have_a_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from demo_runs import SCENARIO, runs

    monkeypatch.chdir(tmp_path)
    _lack(monkeypatch, "lab")
    monkeypatch.setattr(demo, "_play", lambda scenario, live, port: runs())
    monkeypatch.setattr("ondevice.lab.demo.scenario.Scenario", lambda seed: SCENARIO)
    demo.demo(None, False, None, 6)
    out = capsys.readouterr().out
    assert out.startswith("mode ")
    assert "No report: its figures need more packages: run `pip install 'matplotlib>=3'`" in out.splitlines()
    assert list(tmp_path.iterdir()) == []


def _lack(monkeypatch: pytest.MonkeyPatch, extra: str) -> None:
    """As if what this extra requires were not installed."""
    required = {"serve": "aiohttp>=3", "lab": "matplotlib>=3"}[extra]
    real = extras.missing
    monkeypatch.setattr(extras, "missing", lambda name, *needed: [required] if name == extra else real(name))


def test_the_suggested_models_are_in_the_zoo() -> None:
    pull, serve, offload = commands(demo._next_steps())
    assert pull[:2] == ["models", "pull"]
    assert serve == ["serve", "--models", ",".join(pull[2:])]
    assert offload[-1] in pull
