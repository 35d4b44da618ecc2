"""The demo's report: one HTML file that needs nothing else, with figures (extra `lab`)."""

from __future__ import annotations

import html
import platform
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from ondevice import host
from ondevice._version import __version__
from ondevice.client.plan import Mode
from ondevice.lab.demo import figures
from ondevice.lab.demo.stream import Course, Scene
from ondevice.lab.demo.summary import Row, meaning, row
from ondevice.models import files

_TITLES = {Mode.DEVICE: "phone alone", Mode.CLOUD: "cloud alone", Mode.HEDGE: "hedge", Mode.AUTO: "auto"}


def write(path: Path, scene: Scene, courses: Sequence[Course], served: Sequence[str]) -> None:
    """Write it in one step. served: the endpoint's models. Raises OnDeviceError where the file cannot be written."""
    text = page(scene, courses, served)
    try:
        with files.replacing(path) as out:
            out.write(text.encode())
    except OSError as error:
        raise files.explain(error, path) from error


def page(scene: Scene, courses: Sequence[Course], served: Sequence[str]) -> str:
    """The whole of it, HTML."""
    rows = [row(course, scene) for course in courses]
    auto = next(course for course in courses if course.mode is Mode.AUTO)
    return Template(resources.files(__package__).joinpath("report.html").read_text(encoding="utf-8")).substitute(
        requests=scene.requests,
        sla=f"{scene.sla_ms:g}",
        patience=f"{scene.sla_ms + scene.patience_ms:g}",
        meaning=html.escape(meaning(courses)),
        tiles="\n".join(map(_tile, rows)),
        timeline=figures.timeline(scene, auto),
        latencies=figures.latencies(scene, courses),
        trade=figures.trade(rows),
        table=_table(list(rows[0]), [[_number(key, value) for key, value in each.items()] for each in rows]),
        reasons=_table(["pictures", "answered by", "why"], reasons(auto)),
        facts="\n".join(f"<dt>{name}</dt><dd>{html.escape(text)}</dd>" for name, text in _facts(scene, served)),
    )


def reasons(course: Course) -> list[list[str]]:
    """[how many requests, where answered, why] for each reason without its numbers, the most frequent first."""
    counted = Counter((record.where or "nobody", record.why.partition(":")[0]) for record in course.records)
    return [[str(count), where, why] for (where, why), count in counted.most_common()]


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


def _facts(scene: Scene, served: Sequence[str]) -> list[tuple[str, str]]:
    """What it takes to make it again."""
    machine = host.current()
    lost = scene.no_signal
    return [
        ("again", f"ondevice demo --seed {scene.seed}"),
        ("phone", f"{scene.device}, emulated, running {scene.model}"),
        ("endpoint", f"ondevice serve --models {','.join(served)}"),
        (
            "network",
            f"{scene.network}, seed {scene.seed}, {2 * scene.one_way_ms:g} ms base round trip, "
            f"{scene.buffer_bytes >> 10} KiB of buffer each way; no signal in pictures {lost.start + 1} to {lost.stop}",
        ),
        ("pictures", f"{scene.requests}, one each {scene.every_ms:g} ms, of the bundled handwritten digits"),
        ("machine", f"{machine.cpu_model()}, {host.system.usable_cores()} cores; Python {platform.python_version()}"),
        ("ondevice", __version__),
    ]
