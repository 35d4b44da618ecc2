"""Graphs of .tflite files: what LiteRT's own reader finds in them, and that no file does harm."""

from __future__ import annotations

import os
import random
import re
import struct
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ondevice.devices import network
from ondevice.errors import ModelError
from ondevice.models import graph, zoo
from ondevice.models.flatbuffer import FlatBuffer
from ondevice.models.graph import Graph, Operator, OperatorOptions, Subgraph

PUBLISHED = (
    "mobilenet_v1_0.25_128_quant",
    "mobilenet_v1_0.5_160_quant",
    "mobilenet_v1_0.75_192_quant",
    "mobilenet_v2_1.0_224_quant",
    "tf2_mobilenet_v2_1.0_224_ptq",
)
BUNDLED = ("digits_xs_fp32", "digits_l_fp32", "digits_m_int8")
XS = zoo.find("digits_xs_fp32").path.read_bytes()


@pytest.fixture(params=(*BUNDLED, *PUBLISHED))
def path(request: pytest.FixtureRequest) -> Path:
    if request.param in BUNDLED:
        return zoo.find(request.param).path
    folder: Path = request.getfixturevalue("data")
    return folder / "tflite" / f"{request.param}.tflite"


def interpreter(path: Path) -> Any:
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    return litert.Interpreter(
        str(path), experimental_op_resolver_type=litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )


def test_tensors_are_those_of_the_interpreter(path: Path) -> None:
    ours, theirs = graph.read(path).subgraphs[0].tensors, interpreter(path)
    theirs.allocate_tensors()
    details = {d["index"]: d for d in theirs.get_tensor_details() if d["index"] < len(ours)}
    assert len(details) == len(ours)
    for number, tensor in enumerate(ours):
        detail = details[number]
        assert tensor.name == detail["name"]
        assert tensor.shape == tuple(detail["shape"])
        assert tensor.signature == tuple(detail["shape_signature"])
        assert np.dtype(tensor.dtype) == detail["dtype"]
        quantization = detail["quantization_parameters"]
        assert tensor.scales == len(quantization["scales"])
        if tensor.scales:
            assert (tensor.scale, tensor.zero_point) == (quantization["scales"][0], quantization["zero_points"][0])
        if tensor.constant:
            assert tensor.buffer_bytes == theirs.get_tensor(number).nbytes


def test_operators_are_those_of_the_interpreter(path: Path) -> None:
    ours, theirs = graph.read(path).subgraphs[0], interpreter(path)
    found = [(o.name, list(o.inputs), list(o.outputs)) for o in ours.operators]
    assert found == [(o["op_name"], list(o["inputs"]), list(o["outputs"])) for o in theirs._get_ops_details()]
    assert list(ours.inputs) == [d["index"] for d in theirs.get_input_details()]
    assert list(ours.outputs) == [d["index"] for d in theirs.get_output_details()]
    produced = {tensor for operator in ours.operators for tensor in operator.outputs} | {*ours.inputs}
    assert [t.constant for t in ours.tensors] == [i not in produced for i in range(len(ours.tensors))]


def test_options_of_the_first_convolutions(data: Path) -> None:
    first, second = graph.read(data / "tflite" / f"{PUBLISHED[0]}.tflite").subgraphs[0].operators[:2]
    assert (first.name, first.options) == ("CONV_2D", OperatorOptions(2, 2, activation="relu6"))
    assert (second.name, second.options) == ("DEPTHWISE_CONV_2D", OperatorOptions(1, 1, activation="relu6"))


def test_metadata_and_associated_files(data: Path) -> None:
    path = data / "tflite" / f"{PUBLISHED[0]}.tflite"
    found = graph.read(path)
    assert found.metadata == {"TFLITE_METADATA": 696, "min_runtime_version": 16}
    assert found.associated_files == ("imagenet_labels.txt",)
    assert graph.entry(path, "min_runtime_version").rstrip(b"\0") == b"1.5.0"
    assert graph.entry(path, "nothing") == b""


def test_the_weights_are_not_read(tmp_path: Path) -> None:
    """A file's own weights, made 512 MB long: it has holes, so that it takes no room on the disk either."""
    path, size = tmp_path / "large.tflite", 512 << 20
    path.write_bytes(XS)
    os.truncate(path, size)
    tracemalloc.start()
    try:
        found = graph.read(path)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert found.subgraphs == graph.read(zoo.find("digits_xs_fp32").path).subgraphs


def test_a_file_system_that_cannot_map_files(monkeypatch: pytest.MonkeyPatch) -> None:
    path = zoo.find("digits_xs_fp32").path
    mapped = graph.read(path)

    def refuse(*arguments: object, **more: object) -> None:
        raise OSError("no such device")

    monkeypatch.setattr(graph.mmap, "mmap", refuse)
    assert graph.read(path) == mapped


def read(content: bytes, folder: Path) -> Graph:
    path = folder / "model.tflite"
    path.write_bytes(content)
    return graph.read(path)


NOT_ONE = [b"", b"\x1c\0\0\0TFL", b"PK\x03\x04" + bytes(60), b"only words, and many of them" * 9, bytes(64)]


@pytest.mark.parametrize("content", NOT_ONE)
def test_other_files(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model\.tflite: .*not a \.tflite file: ") as caught:
        read(content, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_file_with_nothing_but_the_identifier(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"damaged \.tflite file"):
        read(b"\x08\0\0\0TFL3", tmp_path)


def test_what_is_not_a_file_or_not_there(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelError, match="a folder, not a"):
        graph.read(tmp_path)
    with pytest.raises(ModelError, match="not a file"):
        graph.read(tmp_path / "pipe")
    with pytest.raises(ModelError, match="gone: cannot be read: no such file"):
        graph.read(tmp_path / "gone")


def test_a_truncated_file_is_refused_or_has_its_whole_graph(tmp_path: Path) -> None:
    whole, refused = graph.read(zoo.find("digits_xs_fp32").path), 0
    for length in range(0, len(XS), 97):
        try:
            assert read(XS[:length], tmp_path).subgraphs == whole.subgraphs
        except ModelError:
            refused += 1
    assert refused > 0.9 * len(XS) / 97


def harmless(content: bytes, folder: Path) -> bool:
    """Whether the content is refused; else every number of its graph leads somewhere, and its network adds up."""
    refusal = None
    try:
        found = read(content, folder)
    except ModelError as error:
        refusal = str(error)
    if refusal is not None:
        assert re.fullmatch(r"\S+: [^\n]+[;:] [^\n]+", refusal)
        return True
    for subgraph in found.subgraphs:
        numbers = [i for operator in subgraph.operators for i in (*operator.inputs, *operator.outputs)]
        assert all(-1 <= i < len(subgraph.tensors) for i in (*numbers, *subgraph.inputs, *subgraph.outputs))
    known = network.of(found)
    assert len(known.fingerprint) == len(known.structure) == 16
    assert all(0 <= count < 1e60 for count in known.work)
    return False


def test_mutated_files_never_do_harm(tmp_path: Path) -> None:
    # The file's head, and its end: its tables; what lies between are weights.
    rng, offsets, refused = random.Random(0), [*range(600), *range(len(XS) - 6000, len(XS))], 0
    for _ in range(1500):
        mutant = bytearray(XS)
        for _ in range(rng.choice((1, 2, 16))):
            at = rng.choice(offsets)
            mutant[at] = rng.choice((0, 0xFF, mutant[at] ^ 1 << rng.randrange(8), rng.randrange(256)))
        refused += harmless(bytes(mutant), tmp_path)
    assert 150 < refused < 1350, "the mutants must hit what is read, and not always"


@given(st.integers(8, len(XS) - 4).map(lambda at: at & ~3), st.sampled_from((2**32 - 1, 2**31, 2**31 - 1, 10**6, 0)))
def test_a_huge_number_anywhere(tmp_path_factory: pytest.TempPathFactory, at: int, number: int) -> None:
    harmless(XS[:at] + struct.pack("<I", number) + XS[at + 4 :], tmp_path_factory.getbasetemp())


@given(st.binary(max_size=400))
def test_random_bytes_after_the_identifier(tmp_path_factory: pytest.TempPathFactory, tail: bytes) -> None:
    harmless(b"\x1c\0\0\0TFL3" + tail, tmp_path_factory.getbasetemp())


def with_tensors(count: int) -> bytes:
    """A graph whose tensors are `count` times one table without a field, the vector of them at the file's end."""
    vector, table = len(XS), len(XS) + 4 + 4 * count
    slots = (table + 4 - (vector + 4 + 4 * i) for i in range(count))
    # A vtable of two numbers, its own length and the table's; then the table, which says how far back its vtable is.
    content = bytearray(XS + struct.pack(f"<{count + 1}I", count, *slots) + struct.pack("<HHi", 4, 4, 4))
    field = FlatBuffer(XS).root().tables(graph._MODEL_SUBGRAPHS)[0]._field(graph._TENSORS)
    struct.pack_into("<I", content, field, vector - field)
    return bytes(content)


def test_a_table_that_stands_for_many(tmp_path: Path) -> None:
    found = read(with_tensors(20_000), tmp_path)
    assert len(found.subgraphs[0].tensors) == 20_000
    assert {t.shape for t in found.subgraphs[0].tensors} == {()}


def test_a_table_that_stands_for_more_than_any_network_has(tmp_path: Path) -> None:
    content = with_tensors(300_000)
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match="more than 8 MB of tables and names"):
            read(content, tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 200 << 20
    finally:
        tracemalloc.stop()


def changed(subgraph: Subgraph) -> Iterator[Operator]:
    return (operator for operator in subgraph.operators if operator.custom or operator.name.startswith("BUILTIN"))


@pytest.mark.parametrize(("number", "name"), [(32, ""), (5000, "BUILTIN_5000")])
def test_operators_that_the_schema_does_not_know(number: int, name: str, tmp_path: Path) -> None:
    content = bytearray(XS)
    code = FlatBuffer(XS).root().tables(graph._MODEL_CODES)[0]
    fields = (code._field(graph._CODE_BYTE), code._field(graph._CODE_NUMBER))
    content[fields[0]] = min(number, 127)
    struct.pack_into("<i", content, fields[1], number)
    (operator, *_) = changed(read(bytes(content), tmp_path).subgraphs[0])
    assert (operator.name, operator.custom, operator.options) == (name, number == 32, OperatorOptions())


def test_files_from_before_there_were_127_operators_have_their_numbers_in_a_byte(tmp_path: Path) -> None:
    content = bytearray(XS)
    for code in FlatBuffer(XS).root().tables(graph._MODEL_CODES):
        if field := code._field(graph._CODE_NUMBER):
            struct.pack_into("<i", content, field, 0)
    assert read(bytes(content), tmp_path).subgraphs == graph.read(zoo.find("digits_xs_fp32").path).subgraphs
