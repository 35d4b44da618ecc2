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
    example = io.BytesIO()
    torch.save(((torch.zeros(shape),), {}), example)
    out = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w") as new:
        for info in old.infolist():
            if _KEPT.fullmatch(_inner(info.filename)):
                new.writestr(f"net/{_inner(info.filename)}", old.read(info))
        for name, part in {**parts, _EXAMPLE: example.getvalue()}.items():
            new.writestr(f"net/{name}", part)
    return out.getvalue(), shape


def _harmless_parts(path: Path) -> tuple[dict[str, bytes], Any]:
    """What of the file is rewritten, by name, and the program. Raises UsageError for what is not harmless."""
    try:
        with zipfile.ZipFile(path) as opened:
            names = {_inner(name): name for name in opened.namelist()}
            other = next((name for name in names if not _KEPT.fullmatch(name) and not _OTHERS.fullmatch(name)), None)
            if other:
                raise UsageError(f"{path} holds more than a program and tensors ('{words.shown(other)}'): {_AGAIN}")
            program = _cleared(_json(opened, names[_MODEL]))
            configs = {name: _cleared(_json(opened, names[name])) for name in _CONFIGS}
    except (KeyError, RecursionError, *archive.ERRORS) as error:
        raise UsageError(f"{path} is not a whole file of `torch.export.save`: {_AGAIN} makes one") from error
    for found in (program, *configs.values()):
        if problem := next(_problems(found), ""):
            raise UsageError(f"{path} has {problem}, and no code in a file is run: {_AGAIN}")
    return {name: json.dumps(found).encode() for name, found in {_MODEL: program, **configs}.items()}, program


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
    """The shape of the only tensor that a program is given. Raises ConvertError."""
    graph, signature = program["graph_module"]["graph"], program["graph_module"]["signature"]
    given = [spec["user_input"]["arg"] for spec in signature["input_specs"] if "user_input" in spec]
    if len(given) != 1 or "as_tensor" not in given[0]:
        raise ConvertError(f"{path}: it takes {len(given)} things, not one picture")
    sizes = graph["tensor_values"][given[0]["as_tensor"]["name"]]["sizes"]
    shape = [size.get("as_int") for size in sizes]
    if None in shape or (shape and shape[0] != 1):
        raise UsageError(f"{path}: it takes {shape[0] or 'any number of'} pictures at a time: {_AGAIN}, for one")
    return [int(size) for size in shape if size is not None]
