"""A PyTorch program in a .pt2 file, by `torch.export.save`, of which nothing is run that is not a known operation.

PyTorch's own reader runs what it finds: pickled examples and constants, expressions by `eval`, guards by `exec`,
compiled libraries, and whatever Python name stands where an operation should. So the file is looked through first, and
what is read is a copy that holds operations, numbers and weights alone.
"""

from __future__ import annotations

import io
import json
import re
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ondevice import words
from ondevice.converters.job import ConversionJob
from ondevice.converters.sources.failure import in_one_line
from ondevice.converters.sources.input import input_of, size_of
from ondevice.converters.sources.pytorch import TorchSource
from ondevice.converters.sources.source import Source
from ondevice.errors import ConvertError, UsageError
from ondevice.models import archive

_AGAIN = "in Python `torch.export.save(torch.export.export(model.eval(), (torch.zeros(1, 3, 224, 224),)), 'net.pt2')`"
_MODEL, _EXAMPLE = "models/model.json", "data/sample_inputs/model.pt"
_CONFIGS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")
# What a copy has: its tensors are named weight_0, tensor_0 and so on, and lie there as they are in memory.
_KEPT = re.compile(r"archive_\w+|version|byteorder|\.data/\w+|data/weights/weight_\d+|data/constants/tensor_\d+")
# What is replaced, and texts that torch.export.save is given beside, which are left out.
_OTHERS = re.compile(r"models/model\.json|data/sample_inputs/model\.pt|data/\w+/model_\w+_config\.json|extra/.*")
# Every call of a network has its place in the sources written beside it: some kilobytes each, of thousands.
_MOST_JSON_BYTES = 64 * 1024 * 1024
# As many pixels a side as --size takes.
_LARGEST = 4096
# What archives and JSON of other shapes raise.
_MALFORMED = (KeyError, TypeError, AttributeError, IndexError, RecursionError, *archive.ERRORS)
# Operations on tensors, but for those that open files by their name.
_OPERATION = re.compile(r"torch\.ops\.aten\.(?!from_file\b|save\b)\w+\.\w+|_operator\.getitem")
# Names, versions, and words such as `floor`; of names PyTorch writes programs, so nothing else may stand in them.
_WORD = re.compile(r"[\w.+-]*")
# How names begin that PyTorch takes for Python's.
_PYTHON = ("torch.", "math.", "_operator")
# The containers that arguments and results come in.
_CONTAINERS = ("builtins.tuple", "builtins.list", "builtins.dict", None)
# What is beside the point, and may hold any text.
_DROPPED: dict[str, Any] = {"metadata": {}, "guards_code": [], "stack_trace": None}


def from_exported(path: Path, job: ConversionJob) -> Source:
    """The network in the file. Raises UsageError, ConvertError."""
    import torch

    torch.manual_seed(job.seed)
    content, shape = _harmless(path)
    size = size_of(path, [shape[0], *shape[2:], shape[1]] if len(shape) == 4 else shape, job)
    unreadable = in_one_line(f"{path}: PyTorch cannot read it", f"export it with this one: {_AGAIN}")
    with unreadable, tempfile.NamedTemporaryFile(suffix=".pt2") as copy:
        copy.write(content)
        copy.flush()
        network = torch.export.load(copy.name).module()
    wanted = input_of(path, size, None, job)
    with in_one_line(f"{path} cannot be run on a picture", f"export it for one: {_AGAIN}"):
        return TorchSource(network, wanted, "PyTorch program")


def check(path: Path) -> None:
    """Raise UsageError, without PyTorch, for a file that holds more than operations, numbers and weights."""
    _harmless_parts(path)


def _harmless(path: Path) -> tuple[bytes, list[int]]:
    """A copy of the file for PyTorch to read, and the shape of the network's input."""
    import torch

    parts, program = _harmless_parts(path)
    shape = _input_shape(path, program)
    example, out = io.BytesIO(), io.BytesIO()
    torch.save(((torch.zeros(shape),), {}), example)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w") as new:
        for info in _tensors(path, old):
            new.writestr(f"net/{_inner(info.filename)}", old.read(info))
        for name, part in {**parts, _EXAMPLE: example.getvalue()}.items():
            new.writestr(f"net/{name}", part)
    return out.getvalue(), shape


def _harmless_parts(path: Path) -> tuple[dict[str, bytes], Any]:
    """What of the file is rewritten, by name, and the program. Raises UsageError for what is not harmless."""
    try:
        with zipfile.ZipFile(path) as opened:
            names = {_inner(name): name for name in opened.namelist()}
            other = next((name for name in names if not _KEPT.fullmatch(name) and not _OTHERS.fullmatch(name)), "")
            _tensors(path, opened)
            found = {name: _cleared(_json(opened, names[name])) for name in (_MODEL, *_CONFIGS)}
            problem = next((problem for part in found.values() for problem in _problems(part)), "")
    except _MALFORMED as error:
        raise _damaged(path) from error
    if other:
        raise UsageError(f"{path} holds more than a program and tensors ('{words.shown(other)}'): {_AGAIN}")
    if problem:
        raise UsageError(f"{path} has {problem}, and no code in a file is run: {_AGAIN}")
    return {name: json.dumps(part).encode() for name, part in found.items()}, found[_MODEL]


def _damaged(path: Path) -> UsageError:
    return UsageError(f"{path} is not a whole file of `torch.export.save`: {_AGAIN} makes one")


def _tensors(path: Path, opened: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The members that are copied as they are. Raises BadZipFile where they would be more than the file has bytes.

    A short archive may say of thousands of members that they are megabytes, all in the same place.
    """
    kept = [info for info in opened.infolist() if _KEPT.fullmatch(_inner(info.filename))]
    if sum(info.file_size for info in kept) > path.stat().st_size:
        raise zipfile.BadZipFile("it says that it has more in it than it is long")
    return kept


def _inner(name: str) -> str:
    """A name without the folder that all is in, which is called as the file was."""
    return name.partition("/")[2]


def _json(opened: zipfile.ZipFile, name: str) -> Any:
    info = opened.getinfo(name)
    if info.file_size > _MOST_JSON_BYTES:
        raise zipfile.BadZipFile(f"over {_MOST_JSON_BYTES} bytes of JSON")
    return json.loads(opened.read(info))


def _cleared(found: Any) -> Any:
    """JSON without what is beside the point."""
    if isinstance(found, dict):
        return {key: _DROPPED.get(key, _cleared(value)) for key, value in found.items()}
    return [_cleared(value) for value in found] if isinstance(found, list) else found


def _problems(found: Any, key: str = "") -> Iterator[str]:
    """What in JSON is not a known operation, a plain name, a word or a number; in words."""
    if isinstance(found, dict):
        for name, value in found.items():
            yield from () if _WORD.fullmatch(name) else (f"the name '{words.shown(name)}'",)
            yield from _problems(value, name)
    elif isinstance(found, list):
        for value in found:
            yield from _problems(value, key)
    elif key == "use_pickle" and found:
        yield "pickled tensors"
    elif key == "expr_str":  # PyTorch evaluates it as Python
        yield "sizes that are free"
    elif isinstance(found, str) and not _is_harmless(key, found):
        yield f"'{words.shown(found)}' for {'an operation' if key == 'target' else 'a word'}"


def _is_harmless(key: str, text: str) -> bool:
    if key == "target" or text.startswith(_PYTHON):
        return bool(_OPERATION.fullmatch(text))
    if key in ("in_spec", "out_spec"):
        return _is_containers(json.loads(text)[1]) if text else True
    return bool(_WORD.fullmatch(text))


def _is_containers(spec: Any) -> bool:
    return spec["type"] in _CONTAINERS and all(map(_is_containers, spec["children_spec"]))


def _input_shape(path: Path, program: Any) -> list[int]:
    """The shape of the only tensor that a program is given. Raises UsageError, ConvertError."""
    try:
        graph, signature = program["graph_module"]["graph"], program["graph_module"]["signature"]
        given = [spec["user_input"]["arg"] for spec in signature["input_specs"] if "user_input" in spec]
        names = [arg["as_tensor"]["name"] for arg in given if "as_tensor" in arg]
        trains = any(_trains(node) for node in graph["nodes"])
        shapes = [[int(size["as_int"]) for size in graph["tensor_values"][name]["sizes"]] for name in names]
    except _MALFORMED as error:
        raise _damaged(path) from error
    if len(given) != 1 or not shapes or not shapes[0]:
        raise ConvertError(f"{path}: it takes {len(given)} things, not one picture")
    if trains:
        raise UsageError(f"{path} was exported as it trains: {_AGAIN}")
    if shapes[0][0] != 1:
        raise UsageError(f"{path}: it takes {shapes[0][0]} pictures at a time: {_AGAIN}, for one")
    if max(shapes[0]) > _LARGEST:
        raise ConvertError(f"{path}: its input is {shapes[0]}, over {_LARGEST} pixels")
    return shapes[0]


def _trains(node: Any) -> bool:
    """Whether a normalization takes the batch's own mean, or a dropout drops."""
    return any(given["name"] in ("training", "train") and given["arg"].get("as_bool") for given in node["inputs"])
