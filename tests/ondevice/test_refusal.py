"""Why a runtime refuses a file: real files that it refuses, and its own words cut to a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ondevice import refusal
from ondevice.errors import ModelError
from ondevice.models import zoo
from ondevice.runtime import Executable, get

flatbuffers = pytest.importorskip("flatbuffers")
schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
XS = zoo.find("digits_xs_fp32").path.read_bytes()
# BuiltinOperator.CUSTOM, and a number that no schema has given yet; in the field of old files both are at most 127.
CUSTOM, UNKNOWN, MOST_IN_A_BYTE = 32, 4000, 127


def changed(path: Path, number: int, version: int = 1, name: bytes | None = None) -> Path:
    """A good file whose first operator has another code."""
    model = schema.ModelT.InitFromPackedBuf(XS, 0)
    code = model.operatorCodes[0]
    code.builtinCode, code.deprecatedBuiltinCode = number, min(number, MOST_IN_A_BYTE)
    code.version, code.customCode = version, name
    if name:
        for operator in model.subgraphs[0].operators:
            if operator.opcodeIndex == 0:
                operator.builtinOptionsType, operator.builtinOptions = 0, None
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def refused(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        Executable(path, runtime="litert")
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    assert "\n" not in said
    return said.removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"number": CUSTOM, "name": b"FlexErf"},
            "{} has none of TensorFlow's own operators (FlexErf): convert the netwo",
        ),
        (
            {"number": CUSTOM, "name": b"edgetpu-custom-op"},
            "compiled for Coral's Edge TPU: give the .tflite file that it",
        ),
        (
            {"number": CUSTOM, "name": b"MyOp"},
            "its operator MyOp is custom, and {} does not have it: convert the network",
        ),
        (
            {"number": UNKNOWN},
            "its operator 4000 is newer than {}: `pip install --upgrade ai-edge-litert`, or convert ",
        ),
        ({"number": 3, "version": 99}, "its operator CONV_2D is newer than {}: `pip install --upgrade ai-edge-litert`"),
    ],
    ids=["flex", "edge-tpu", "custom", "unknown", "newer"],
)
def test_operators_that_a_runtime_lacks(change: dict[str, Any], expected: str, tmp_path: Path) -> None:
    said = refused(changed(tmp_path / "model.tflite", **change))
    assert said.startswith(expected.format(get("litert")))
    assert len(said) <= 200


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_file_that_was_cut_off(share: float, tmp_path: Path) -> None:
    path = tmp_path / "cut.tflite"
    path.write_bytes(XS[: int(share * len(XS))])
    assert refused(path).startswith(f"a truncated or damaged .tflite file: it ends after {path.stat().st_size} bytes, ")


def test_a_file_that_is_whole_and_damaged_is_not_called_truncated(tmp_path: Path) -> None:
    path = tmp_path / "bad.tflite"
    path.write_bytes(b"\x08\0\0\0TFL3" + bytes(8))
    assert refused(path).startswith("a damaged .tflite file: ")


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("\n  kernel.cc:3 sizes differ\nNode number 0", "kernel.cc:3 sizes differ"),
        ("x" * 1300, "x" * 157 + "..."),
        ("", "ValueError"),
    ],
    ids=["lines", "long", "nothing"],
)
def test_the_runtimes_own_words_are_one_line(said: str, shown: str) -> None:
    assert refusal.shortened(ValueError(said)) == shown
    path = zoo.find("digits_xs_fp32").path
    assert refusal.in_words(path, "litert 9", "litert", ValueError(said)) == f"{path}: litert 9 cannot load it: {shown}"
