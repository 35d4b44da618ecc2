"""The demo's report: one file that needs nothing else."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from demo_runs import SCENARIO, runs

pytest.importorskip("matplotlib")

from ondevice.errors import OnDeviceError
from ondevice.lab.demo import report
from ondevice.lab.demo.summary import meaning

SERVED = ("digits_s_int8", "digits_l_int8")
VOID = {"meta", "link", "br", "hr", "img", "input"}


class Page(HTMLParser):
    """What stands in a page; fails where it is not well nested."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data + "\n"


@pytest.fixture(scope="module")
def text() -> str:
    return report.page(SCENARIO, runs(), SERVED)


def test_it_needs_nothing_else(text: str) -> None:
    page = Page(text)
    assert page.tags["script"] == 0
    links = [value for name, value in page.attributes if name in ("src", "href", "xlink:href", "srcset")]
    assert all(link.startswith("#") for link in links)
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", text))
    assert "@import" not in text


def test_it_suits_a_phone_and_the_dark(text: str) -> None:
    assert '<meta name="viewport" content="width=device-width' in text
    assert "prefers-color-scheme: dark" in text


def test_every_colour_that_is_used_is_there(text: str) -> None:
    used = set(re.findall(r"var\(--([a-z]+)\)", text))
    assert used
    assert all(len(re.findall(rf"--{name}: #", text)) == 2 for name in used)


def test_it_holds_the_table_the_figures_and_the_meaning(text: str) -> None:
    page = Page(text)
    assert page.tags["svg"] == 3
    assert meaning(runs()) in page.text
    for number in ("100.0%", "50.0%", "0.750", "368", "380"):
        assert number in page.text


def test_it_says_how_to_make_it_again(text: str) -> None:
    for said in (f"ondevice demo --seed {SCENARIO.seed}", "digits_s_int8,digits_l_int8", "pieslicer-phone", "picture"):
        assert said in text


def test_what_servers_say_is_escaped(text: str) -> None:
    hostile = runs()
    records = [record._replace(why="<script>alert(1)</script>") for record in hostile[3].records]
    page = report.page(SCENARIO, [*hostile[:3], hostile[3]._replace(records=records)], SERVED)
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert text.count("$") == 0  # nothing was left to fill in


def test_the_reasons_are_counted_without_their_numbers() -> None:
    assert report.reasons(runs()[3]) == [["3", "cloud", "cloud expected"], ["1", "device", "the cloud fails"]]
    assert ["1", "nobody", "no answer"] in report.reasons(runs()[1])


def test_what_was_sent_is_counted() -> None:
    auto = runs()[3]
    file = auto.records[1]._replace(upload="file", sent_bytes=70_000, where="device")
    records = [auto.records[0], file, *auto.records[2:]]
    assert report.uploads(auto._replace(records=records)) == [["96,40", "2", "2.5", "2"], ["file", "1", "70.0", "0"]]
    assert report.uploads(runs()[0]) == []


def test_the_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "demo.html"
    path.write_text("before")
    report.write(path, SCENARIO, runs(), SERVED)
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OnDeviceError, match="file"):
        report.write(tmp_path / "file" / "demo.html", SCENARIO, runs(), SERVED)
