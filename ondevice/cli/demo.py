"""`ondevice demo`: the client decides where to run, over a stream of pictures and a link that gets good and bad."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ondevice.cli import console
from ondevice.errors import UsageError, naming

if TYPE_CHECKING:
    from ondevice.lab.demo.live import LivePage
    from ondevice.lab.demo.run import Run
    from ondevice.lab.demo.scenario import Scenario

_REPORT = Path("ondevice-demo.html")
# What is suggested for photos: the device's, and the better one for the endpoint.
_SMALL, _LARGE = "mobilenet_v1_0.25_128_quant", "mobilenet_v2_1.0_224_quant"
# Columns of the text below the table, which is about as wide.
_WIDTH = 100


def demo(
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="The report, HTML.", show_default=str(_REPORT))
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Show each request as it flies, in the browser.")] = False,
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65535, help="The port of --live.", show_default="any free one"),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the emulated network: another one, another day.")] = 6,
) -> None:
    """See the client choose, picture by picture: on the phone, in the cloud, or both; nothing is downloaded.

    The phone and its mobile network are emulated, the rest is real: the CNNs, the endpoint's process and the client, in
    four of its modes side by side on the same pictures. It takes about 45 s and ends with a table and a report.
    """
    from ondevice import extras
    from ondevice.lab.demo.scenario import Scenario

    extras.require("serve", "`ondevice demo`")
    _check(report, live, port)
    scenario = Scenario(seed=seed)
    console.note(
        f"{scenario.requests} pictures, one each {scenario.every_ms:g} ms, to be answered within {scenario.sla_ms:g} "
        f"ms: by an emulated older phone, by an endpoint behind an emulated {scenario.network} network, or by both"
    )
    runs = _play(scenario, live, port or 0)
    _print(scenario, runs, report)


def _check(report: Path | None, live: bool, port: int | None) -> None:
    from ondevice import extras
    from ondevice.models import files

    if port is not None and not live:
        raise UsageError("--port is where the page of --live is: give --live too")
    if report is not None:
        extras.require("lab", "`--report`", "matplotlib")
    with naming("--report"):
        files.check(report or _REPORT)


def _play(scenario: Scenario, live: bool, port: int) -> list[Run]:
    import logging

    from ondevice.lab.demo import fixtures
    from ondevice.lab.demo.run import MODES, RequestRecord, run_modes
    from ondevice.runner import Runner

    # Faults are what is shown; they need no warning.
    logging.getLogger("ondevice.client").setLevel(logging.CRITICAL)
    photos = fixtures.photos(scenario.requests)
    with _terminated(), _page(scenario, live, port) as page, fixtures.endpoint() as endpoint_port:
        with console.quiet_runtime():
            runners = [Runner(scenario.model, device=scenario.device) for _ in MODES]
        with console.progress(scenario.requests * len(MODES), "asking") as step:

            def observe(record: RequestRecord) -> None:
                step(1)
                if page:
                    page.show(record)

            runs = run_modes(scenario, fixtures.Fixtures(endpoint_port, runners, photos), observe)
        if page:
            from ondevice.lab.demo.summary import meaning

            page.end(meaning(runs))
        return runs


@contextlib.contextmanager
def _terminated() -> Iterator[None]:
    """Have SIGTERM end the endpoint too, as Ctrl-C does."""

    def end(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _page(scenario: Scenario, live: bool, port: int) -> Iterator[LivePage | None]:
    if not live:
        yield None
        return
    from ondevice.lab.demo.live import LivePage

    with LivePage(scenario, port) as page:
        console.note(f"each request as it flies: {page.url}", always=True)
        yield page


def _print(scenario: Scenario, runs: list[Run], report: Path | None) -> None:
    import textwrap

    from ondevice import extras
    from ondevice.lab.demo.summary import begun_late, meaning, row

    if count := begun_late(runs, scenario):
        console.note(f"this machine was busy: {count} requests began late, and some answers may have been late for it")
    print(console.table([row(run, scenario) for run in runs], numbers=".0f"))
    print("\n" + textwrap.fill(meaning(runs), _WIDTH))
    if extras.missing("lab", "matplotlib"):
        print(f"No report: its figures need more packages: run `{extras.how_to_install('lab', 'matplotlib')}`")
    else:
        from ondevice.lab.demo import fixtures
        from ondevice.lab.demo import report as reports

        reports.write(report or _REPORT, scenario, runs, fixtures.SERVED)
        print(f"With figures: {report or _REPORT}")
    print(_next_steps())


def _next_steps() -> str:
    from ondevice.models import zoo

    ondevice = _command()
    size_bytes = sum(zoo.find(name).card.size_bytes for name in (_SMALL, _LARGE))
    return f"""
Next, your own photos, with two CNNs that know ImageNet's 1000 classes ({size_bytes / 1e6:.1f} MB):
  {ondevice} models pull {_SMALL} {_LARGE}
  {ondevice} serve --models {_SMALL},{_LARGE}
And while that runs, in another terminal:
  {ondevice} offload PHOTOS --endpoint http://localhost:8000 --local {_SMALL}"""


def _command() -> str:
    """How to call this program from here: by name where that is on the path, else by its path."""
    import shutil
    import sys

    return "ondevice" if shutil.which("ondevice") else os.path.relpath(Path(sys.executable).with_name("ondevice"))
