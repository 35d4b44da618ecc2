"""What the commands print: tables for people, JSON and CSV for programs."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
from terminal import in_a_terminal, result_in_a_terminal

from ondevice.answer import Prediction
from ondevice.cli import console
from ondevice.cli.console import Format

RECORDS: list[dict[str, Any]] = [
    {"name": 'a, with "quotes"', "n": 3, "top1": 0.98765, "total_ms": 12.3456, "failed": None},
    {"name": "bé\nline", "n": 12345, "top1": math.nan, "total_ms": 0.04, "failed": 2},
]


def test_table_alignment() -> None:
    records = [
        {"name": "short", "n": 3, "top1": 0.98765, "total_ms": 12.3456, "ok": True},
        {"name": "a longer name", "n": 12345, "top1": 0.5, "total_ms": 0.04, "ok": False},
    ]
    assert console.table(records).splitlines() == [
        "name               n   top1  total_ms   ok",
        "-------------  -----  -----  --------  ---",
        "short              3  0.988      12.3  yes",
        "a longer name  12345  0.500       0.0   no",
    ]


def test_table_of_none_and_nan_cells() -> None:
    records: list[dict[str, Any]] = [{"a": None, "b": math.nan, "c": "x"}, {"a": 1, "b": 2.0, "c": None}]
    assert console.table(records).splitlines() == ["a      b  c", "-  -----  -", "       -  x", "1  2.000"]


def test_table_of_nothing() -> None:
    assert console.table([]) == "(none)"


def test_numbers_of_times_can_be_given() -> None:
    assert console.table([{"p50_ms": 1.23456}], numbers=".3f").splitlines()[-1].strip() == "1.235"


@pytest.mark.parametrize(
    "evil", ["\x1b[2Jgone", "two\nlines", "\x07bell", "\x9b31m", "back\x08space", "\u202eright to left"]
)
def test_escape_codes_are_made_harmless(evil: str) -> None:
    rows = console.table([{"label": evil}]).splitlines()
    assert len(rows) == 3
    assert rows[2].isprintable()
    assert "\N{REPLACEMENT CHARACTER}" in rows[2]


@pytest.mark.parametrize("form", ["csv", "table", "md", "json", "jsonl"])
def test_a_terminal_gets_no_escape_codes_and_a_file_every_character(form: str, sample: Path, tmp_path: Path) -> None:
    evil = tmp_path / "\x1b]0;gone\x07.png"
    evil.write_bytes(sample.read_bytes())
    arguments = ["run", "digits_xs_int8", str(evil), "--format", form]
    shown, status = result_in_a_terminal(*arguments)
    assert status == 0
    assert "gone" in shown
    assert all(c.isprintable() or c in "\r\n" for c in shown)
    if form == "csv":
        piped, _, _ = in_a_terminal(*arguments)
        assert str(evil) in piped


@pytest.mark.parametrize("text", ["Weißbier", "大熊猫", "a b", "naïve 🐟"])
def test_printable_text_stays(text: str) -> None:
    assert console.printable(text) == text


def test_csv_reads_back_equal(capsys: pytest.CaptureFixture[str]) -> None:
    console.emit(RECORDS, Format.CSV)
    back = list(csv.DictReader(io.StringIO(capsys.readouterr().out, newline="")))
    assert [row["name"] for row in back] == [record["name"] for record in RECORDS]
    assert [int(row["n"]) for row in back] == [3, 12345]
    assert [row["top1"] for row in back] == ["0.98765", ""]
    assert [row["failed"] for row in back] == ["", "2"]


def test_csv_of_nothing() -> None:
    assert console.comma_separated([]) == ""


@pytest.mark.parametrize("form", [Format.JSON, Format.JSONL])
def test_json_reads_back_equal_and_has_null_for_nan(form: Format, capsys: pytest.CaptureFixture[str]) -> None:
    console.emit(RECORDS, form)
    out = capsys.readouterr().out
    assert "NaN" not in out
    back = json.loads(out) if form is Format.JSON else [json.loads(line) for line in out.splitlines()]
    assert back == [RECORDS[0], {**RECORDS[1], "top1": None}]


def test_json_of_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    console.emit([], Format.JSON)
    assert json.loads(capsys.readouterr().out) == []


def test_plain_reaches_into_lists_and_tables() -> None:
    nested = {"top": (Prediction(1, "x", math.nan), [0.12345678]), "in": {"deep": math.nan}, "s": "nan"}
    assert console.plain(nested) == {"top": [[1, "x", None], [0.123457]], "in": {"deep": None}, "s": "nan"}


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_infinity_is_null_too(value: float) -> None:
    assert json.loads(json.dumps(console.plain({"x": value}), allow_nan=False)) == {"x": None}


def test_table_is_what_emit_prints(capsys: pytest.CaptureFixture[str]) -> None:
    console.emit(RECORDS, Format.TABLE)
    assert capsys.readouterr().out == console.table(RECORDS) + "\n"


def test_notes_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    console.note("hello")
    assert capsys.readouterr() == ("", "ondevice: hello\n")


def test_no_bar_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress(10, "work") as step:
        step(3)
    assert capsys.readouterr() == ("", "")


def test_a_record_of_a_dataclass_keeps_the_fields_order() -> None:
    from ondevice.models.card import Accuracy

    fields = list(console.as_record(Accuracy(0.5, "ten pictures", 0.9)).items())
    assert fields == [("top1", 0.5), ("data", "ten pictures"), ("top5", 0.9), ("n", None)]


def test_the_runtimes_info_lines_are_dropped_and_the_rest_passed_on(capfd: pytest.CaptureFixture[str]) -> None:
    import os

    with console.quiet_runtime():
        os.write(2, b"INFO: Created delegate\n\nERROR: something real\n")
    assert capfd.readouterr().err == "ERROR: something real\n"


def test_a_saved_text_is_utf_8_and_has_what_is_not_text_as_an_escape(tmp_path: Path) -> None:
    console.save(tmp_path / "out.csv", "魚,m\udcff.tflite\n")
    assert (tmp_path / "out.csv").read_text(encoding="utf-8") == "魚,m\\udcff.tflite\n"
