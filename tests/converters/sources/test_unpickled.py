"""PyTorch files that would run their author's code: refused in one line, without PyTorch, and nothing is run."""

from __future__ import annotations

import io
import json
import pickle
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from converting import ran

from ondevice.converters.job import ConversionJob
from ondevice.converters.sources.opening import way
from ondevice.errors import UsageError
from ondevice.models.kinds import FileKind, Form

SPEC = json.dumps([1, {"type": "builtins.tuple", "context": "null", "children_spec": []}])


class Writes:
    """What writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self._path, "run")


def archive(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as opened:
        for name, content in members.items():
            opened.writestr(f"net/{name}", content)
    return out.getvalue()


def pickled(path: Path, protocol: int) -> bytes:
    """As torch.save writes it, but for what it does when it is read."""
    return archive(**{"data.pkl": pickle.dumps({"conv.weight": Writes(path)}, protocol), "version": b"3"})


def program(target: str = "torch.ops.aten.relu.default", **changed: Any) -> dict[str, Any]:
    """What torch.export.save writes of a network of one operation."""
    node = {
        "target": target, "name": "relu", "inputs": [{"name": "self", "arg": {"as_tensor": {"name": "x"}}, "kind": 1}],
        "outputs": [{"as_tensor": {"name": "relu"}}], "metadata": {"stack_trace": "x = __import__('os')"},
    }  # fmt: skip
    graph = {
        "inputs": [{"as_tensor": {"name": "x"}}], "outputs": [{"as_tensor": {"name": "relu"}}], "nodes": [node],
        "tensor_values": {"x": {"dtype": 7, "sizes": [{"as_int": 1}]}},
    }  # fmt: skip
    calls = [{"fqn": "", "signature": {"in_spec": SPEC, "out_spec": ""}}]
    return {"graph_module": {"graph": graph, "module_call_graph": calls}, "guards_code": ["open('x')"], **changed}


def exported(model: dict[str, Any], **more: bytes) -> bytes:
    configs = {f"data/{kind}/model_{kind}_config.json": b"{}" for kind in ("weights", "constants")}
    parts = {"archive_format": b"pt2", "models/model.json": json.dumps(model).encode(), **configs, **more}
    return archive(**parts)


def reason(job: ConversionJob) -> str:
    with pytest.raises(UsageError) as caught:
        way(job)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_whole_pickled_model_is_refused_with_what_to_do(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "whole.pt").write_bytes(pickled(tmp_path / "written", protocol))
    said = reason(ConversionJob("nets:build", "", weights=str(tmp_path / "whole.pt")))
    assert re.search(r"whole\.pt is a whole pickled model \([\w.]+\), and no code in a file is run: in Python ", said)
    assert said.endswith("`torch.save(model.state_dict(), 'state.pt')`, and give that")
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("raw.pt", pickle.dumps(["no archive"]), "raw.pt is not PyTorch's: in Python `torch.save("),
        (
            "script.pt",
            archive(**{"constants.pkl": b"", "data.pkl": b""}),
            "is a TorchScript archive",
        ),
        ("photo.pt", b"\x89PNG\r\n\x1a\n", "photo.pt is a picture, not a state dictionary"),
    ],
)
def test_what_is_not_weights_is_refused(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert said in reason(ConversionJob("nets:build", "", weights=str(tmp_path / name)))


def test_the_names_that_files_of_tensors_hold_pass(tmp_path: Path) -> None:
    from collections import OrderedDict

    tensors = archive(**{"data.pkl": pickle.dumps(OrderedDict(), 2), "version": b"3"})
    (tmp_path / "state.pt").write_bytes(tensors)
    assert way(ConversionJob("nets:build", "", weights=str(tmp_path / "state.pt"))).__name__ == "from_factory"


def test_weights_alone_are_not_a_source(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    path.write_bytes(pickled(tmp_path / "written", 2))
    said = reason(ConversionJob(str(path), ""))
    assert said.startswith(f"{path} is a PyTorch file: `ondevice convert package.module:function --weights {path}`")


HOSTILE: dict[str, Callable[[Path], bytes]] = {
    "'torch.os.system' for an operation": lambda path: exported(program("torch.os.system")),
    "'torch.ops.aten.from_file.default' for an operation": lambda path: exported(
        program("torch.ops.aten.from_file.default")
    ),
    "'torch.os.system' for a word": lambda path: exported(program(as_operator="torch.os.system")),
    "sizes that are free": lambda path: exported(program(expr_str=f"open('{path}', 'w')")),
    "for a word": lambda path: exported(program(name=f"x, y=open('{path}', 'w')")),
    "pickled tensors": lambda path: exported(program(config={"w": {"path_name": "weight_0", "use_pickle": True}})),
    "holds more than a program and tensors ('data/weights/model.pt')": lambda path: exported(
        program(), **{"data/weights/model.pt": pickled(path, 2)}
    ),
    "holds more than a program and tensors ('data/aotinductor/model/net.so')": lambda path: exported(
        program(), **{"data/aotinductor/model/net.so": b"\x7fELF"}
    ),
    "is not a whole file of `torch.export.save`": lambda path: archive(
        **{"archive_format": b"pt2", "models/model.json": b"{"}
    ),
}


@pytest.mark.parametrize("said", list(HOSTILE))
def test_a_program_with_more_than_operations_is_refused(tmp_path: Path, said: str) -> None:
    path = tmp_path / "net.pt2"
    path.write_bytes(HOSTILE[said](tmp_path / "written"))
    assert said in reason(ConversionJob(str(path), ""))
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"PK\x03\x04 and no more",
        exported({"graph_module": {"in_spec": "[1]"}}),
        exported({"graph_module": {"in_spec": "["}}),
        exported({"graph_module": []}, **{"data/weights/model_weights_config.json": b"\xff"}),
        archive(**{"models/model.json": b"{}", "data/weights/weight_0": bytes(9), "archive_format": b"pt2"}),
    ],
    ids=range(5),
)
def test_a_damaged_program_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "net.pt2"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"^[^\n]*(damaged|not a whole file)[^\n]*$"):
        way(ConversionJob(str(path), ""))


def test_members_that_are_more_than_the_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for info, content in [("models/model.json", json.dumps(program()).encode()), ("archive_format", b"pt2")]:
            opened.writestr(f"net/{info}", content)
        opened.writestr("net/data/weights/weight_0", bytes(1_000_000))
    assert "is not a whole file of `torch.export.save`" in reason(ConversionJob(str(path), ""))


def test_a_program_of_known_operations_passes_and_what_is_beside_the_point_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    path.write_bytes(exported(program(), **{"data/sample_inputs/model.pt": pickled(tmp_path / "written", 2)}))
    assert FileKind.read(path) == FileKind(
        Form.EXPORTED, "a PyTorch program", f"`ondevice convert {path}` makes a .tflite of it", True
    )
    assert callable(way(ConversionJob(str(path), "")))
    assert not (tmp_path / "written").exists()


def test_the_command_refuses_in_one_line_and_without_pytorch(tmp_path: Path) -> None:
    whole, net = tmp_path / "whole.pt", tmp_path / "net.pt2"
    whole.write_bytes(pickled(tmp_path / "written", 2))
    net.write_bytes(exported(program("torch.os.system")))
    for arguments in (["nets:build", "--weights", whole], [net]):
        result = ran(tmp_path, *arguments)
        assert result.done.returncode == 2
        (line,) = result.errors()
        assert "no code in a file is run" in line
        assert result.names() == []
    assert not (tmp_path / "written").exists()


def test_telling_what_a_file_is_imports_no_pytorch(tmp_path: Path) -> None:
    code = (
        "import sys; from ondevice.converters.sources import opening; print(*(n for n in sys.modules if 'torch' in n))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["ondevice.converters.sources.pytorch"]
