"""The demo's figures as they stand in a page."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
from demo_runs import SCENARIO, run, runs

pytest.importorskip("matplotlib")

from ondevice.client.planning.plan import Mode
from ondevice.lab.demo import figures
from ondevice.lab.demo.summary import row

SVG = "{http://www.w3.org/2000/svg}"


def drawn() -> dict[str, str]:
    all_runs = runs()
    return {
        "timeline": figures.timeline(SCENARIO, all_runs[1]),
        "latencies": figures.latencies(SCENARIO, all_runs),
        "trade": figures.trade([row(each, SCENARIO) for each in all_runs]),
    }


@pytest.fixture(scope="module")
def svgs() -> dict[str, str]:
    return drawn()


@pytest.mark.parametrize("name", ["timeline", "latencies", "trade"])
def test_a_figure_takes_its_size_and_its_colours_from_the_page(svgs: dict[str, str], name: str) -> None:
    root = ET.fromstring(svgs[name])
    assert root.tag == f"{SVG}svg"
    assert {"width", "height"} & set(root.attrib) == set()
    assert root.attrib["viewBox"]
    assert "#0101" not in svgs[name]
    assert "var(--ink)" in svgs[name]
    assert "var(--cloud)" in svgs[name]


def test_no_two_figures_have_names_in_common(svgs: dict[str, str]) -> None:
    defined = [set(re.findall(r'<clipPath id="([^"]+)"', svg)) for svg in svgs.values()]
    assert all(defined)
    assert sum(map(len, defined)) == len(set.union(*defined))


def test_what_is_late_is_told_apart(svgs: dict[str, str]) -> None:
    assert ">late, or no answer<" in svgs["timeline"]
    assert ">no signal<" in svgs["timeline"]
    assert ">late, or no answer<" not in figures.timeline(SCENARIO, runs()[3])


def test_figures_are_the_same_every_time(svgs: dict[str, str]) -> None:
    assert drawn() == svgs


def test_a_mode_without_any_answer_can_be_drawn() -> None:
    none = run(Mode.CLOUD, [("", False, 380.0)])
    beside = [runs()[0], none]
    assert "<svg" in figures.latencies(SCENARIO, beside)
    assert ">cloud<" not in figures.trade([row(each, SCENARIO) for each in beside])
