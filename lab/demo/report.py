"""The demo's report: one HTML file that needs nothing else, with figures (extra `lab`)."""

from __future__ import annotations

import html
import platform
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template
from typing import Any

from ondevice import host
from ondevice._version import __version__
from ondevice.client.planning.plan import Mode
from ondevice.lab.demo import figures, pages
from ondevice.lab.demo.run import Run
from ondevice.lab.demo.scenario import Scenario
from ondevice.lab.demo.summary import Row, meaning, row
from ondevice.models import files

_TITLES = {Mode.DEVICE: "phone alone", Mode.CLOUD: "cloud alone", Mode.HEDGE: "hedge", Mode.AUTO: "auto"}


def write(path: Path, scenario: Scenario, runs: Sequence[Run], served: Sequence[str]) -> None:
    """Write the report in one step. served: the endpoint's models. Raises OnDeviceError where it cannot be written."""
    text = page(scenario, runs, served)
    try:
        with files.replacing(path) as out:
            out.write(text.encode())
    except OSError as error:
        raise files.explain(error, path) from error


def page(scenario: Scenario, runs: Sequence[Run], served: Sequence[str]) -> str:
    """The whole report, HTML."""
    rows = [row(run, scenario) for run in runs]
    auto = next(run for run in runs if run.mode is Mode.AUTO)
    return Template(pages.load("report.html")).substitute(
        requests=scenario.requests,
        sla=f"{scenario.sla_ms:g}",
        patience=f"{scenario.sla_ms + scenario.patience_ms:g}",
        meaning=html.escape(meaning(runs)),
        tiles="\n".join(map(_tile, rows)),
        timeline=figures.timeline(scenario, auto),
        latencies=figures.latencies(scenario, runs),
        trade=figures.trade(rows),
        table=_table(list(rows[0]), [[_number(key, value) for key, value in each.items()] for each in rows]),
        reasons=_table(["pictures", "answered by", "why"], reasons(auto)),
        uploads=_table(["sent as", "pictures", "kB each", "answered by the cloud"], uploads(auto)),
        facts="\n".join(f"<dt>{name}</dt><dd>{html.escape(text)}</dd>" for name, text in _facts(scenario, served)),
    )


def reasons(run: Run) -> list[list[str]]:
    """How many requests, where answered and why, for each reason without its numbers, the most frequent first."""
    counted = Counter((record.where or "nobody", record.why.partition(":")[0]) for record in run.records)
    return [[str(count), where, why] for (where, why), count in counted.most_common()]


def uploads(run: Run) -> list[list[str]]:
    """What was sent: how many pictures as what, their mean size, and how many of them the cloud answered."""
    sent = [record for record in run.records if record.upload]
    rows = []
    for upload, count in Counter(record.upload for record in sent).most_common():
        these = [record for record in sent if record.upload == upload]
        each_kb, cloud = sum(one.sent_bytes for one in these) / count / 1e3, sum(one.where == "cloud" for one in these)
        rows.append([upload, str(count), f"{each_kb:.1f}", str(cloud)])
    return rows


def _tile(row: Row) -> str:
    mode, share = Mode(row["mode"]), row["effective top1"]
    bar = f'<div class="bar"><i style="width:{share:.1%};background:var(--{mode})"></i></div>'
    return f'<div class="card tile"><span>{_TITLES[mode]}</span><b>{share:.1%}</b>{bar}</div>'


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["".join(f"<th>{html.escape(head)}</th>" for head in heads)]
    for cells in rows:
        lines.append("".join(_cell(cell) for cell in cells))
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _cell(text: str) -> str:
    dot = f'<i class="dot" style="background:var(--{text})"></i>' if text in set(Mode) else ""
    prose = ' class="text"' if " " in text or dot else ""
    return f"<td{prose}>{dot}{html.escape(text)}</td>"


def _number(key: str, value: Any) -> str:
    if value is None:
        return "-"
    return format(value, ".0f" if key.endswith("_ms") else ".3f") if isinstance(value, float) else str(value)


def _facts(scenario: Scenario, served: Sequence[str]) -> list[tuple[str, str]]:
    """What it takes to make the same report again, by name."""
    machine = host.current()
    lost = scenario.no_signal
    return [
        ("again", f"ondevice demo --seed {scenario.seed}"),
        ("phone", f"{scenario.device}, emulated, running {scenario.model}"),
        ("endpoint", f"ondevice serve --models {','.join(served)}"),
        (
            "network",
            f"{scenario.network}, seed {scenario.seed}, {2 * scenario.one_way_ms:g} ms base round trip, "
            f"{scenario.buffer_bytes >> 10} KiB of buffer each way; "
            f"no signal in pictures {lost.start + 1} to {lost.stop}",
        ),
        ("pictures", f"{scenario.requests}, one each {scenario.every_ms:g} ms, of the bundled handwritten digits"),
        ("machine", f"{machine.cpu_model()}, {host.system.usable_cores()} cores; Python {platform.python_version()}"),
        ("ondevice", __version__),
    ]
