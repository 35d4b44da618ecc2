"""What a file or folder is by its first bytes, and what to type next, for people who give another one than a .tflite.

Told before a runtime or TensorFlow is loaded. Nothing is unpacked, and little is read: the file may be a stranger's.
"""

from __future__ import annotations

import enum
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ondevice import words
from ondevice.errors import ModelError
from ondevice.models import archive, protobuf
from ondevice.models.card import nameable

# As much as it takes to see a tar's mark, which stands at 257, and the first line of a text.
_HEAD_BYTES = 512
# Of what an archive holds so many are named, as many as a line has room for.
_NAMED = 3


class Form(enum.StrEnum):
    """The forms that are told apart; those that `ondevice convert` takes first."""

    KERAS = "Keras"
    HDF5 = "HDF5"
    SAVED_MODEL = "SavedModel"
    EXPORTED = "PyTorch program"
    TFLITE = "TFLite"
    GRAPH = "GraphDef"
    ONNX = "ONNX"
    PYTORCH = "PyTorch"
    COREML = "Core ML"
    OTHER_MODEL = "other model"
    ZIP = "ZIP"
    PACKED = "packed"
    WEB_PAGE = "web page"
    LFS_POINTER = "LFS pointer"
    PICTURE = "picture"
    TEXT = "text"
    EMPTY = "empty"
    FOLDER = "folder"


@dataclass(frozen=True)
class FileKind:
    """What something is, in words such as `a ZIP archive`, and what to do to have a .tflite file of it.

    todo: half a sentence, with the command to type where there is one. convertible: whether `ondevice convert` takes
    it as it is.
    """

    form: Form
    what: str
    todo: str
    convertible: bool = False

    @classmethod
    def read(cls, path: Path) -> FileKind | None:
        """What lies at `path`; None for what cannot be told. Raises OSError where it cannot be read."""
        if path.is_dir():
            return _folder(path)
        if path.exists() and not path.is_file():  # opening a pipe would wait for its writer
            return None
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            return _by_mark(head, path) or _text(head, path) or _message(file, path)


def require_tflite(path: Path) -> None:
    """Return for a .tflite file. Raises ModelError, which says what the file is instead and what to type next."""
    try:
        kind = FileKind.read(path)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {words.reason(error)}", str(path)) from error
    if kind is None:
        known = "a .tflite file: give the file that a converter made" if path.is_file() else "a file"
        raise ModelError(f"{path}: not {known}", str(path))
    if kind.form is not Form.TFLITE:
        raise ModelError(f"{path}: {kind.what}, not a .tflite file: {kind.todo}", str(path))


def _by_mark(head: bytes, path: Path) -> FileKind | None:
    """By the bytes that a format begins with."""
    if not head:
        return FileKind(Form.EMPTY, "an empty file", "get it again: it was not fetched, or not written to the end")
    return next((tell(path) for at, mark, tell in _MARKS if head[at:].startswith(mark)), None)


def _tflite(path: Path) -> FileKind:
    todo = f"{words.typed('ondevice', 'run', path, 'PHOTO.jpg')} runs it as it is"
    return FileKind(Form.TFLITE, "a .tflite file", todo)


def _hdf5(path: Path) -> FileKind:
    if path.name.endswith(".weights.h5"):
        known = words.typed("ondevice", "convert", "ARCHITECTURE", "--weights", path)
        todo = f"{known} where the architecture is a known one, else save both in Python: `model.save('model.keras')`"
        return FileKind(Form.HDF5, "a Keras file of weights without their network", todo, True)
    return FileKind(Form.HDF5, "a Keras file", _convert(path, ".h5"), True)


def _pytorch(path: Path) -> FileKind:
    known = words.typed("ondevice", "convert", "package.module:function", "--weights", path)
    todo = f"{known} makes a .tflite of the network that your function builds, with these weights"
    return FileKind(Form.PYTORCH, "a PyTorch file", todo)


def _exported(path: Path, names: list[str]) -> FileKind:
    if any(name.endswith("models/model.json") for name in names):
        return FileKind(Form.EXPORTED, "a PyTorch program", _convert(path, ".pt2"), True)
    todo = "write it anew by `torch.export.save` of PyTorch 2.9 or later, which does not pickle the weights"
    return FileKind(Form.PYTORCH, "a PyTorch program that cannot be read without running code in it", todo)


def _packed(path: Path) -> FileKind:
    return FileKind(Form.PACKED, "a packed file", f"{words.typed('tar', '-xf', path)}, then give the model in it")


def _gzip(path: Path) -> FileKind:
    with path.open("rb") as file:
        try:
            inner = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(file.read(_HEAD_BYTES), _HEAD_BYTES)
        except zlib.error:
            return _damaged(Form.PACKED, "a gzip file")
    if inner[_TAR_AT:].startswith(_TAR):
        return _packed(path)
    return FileKind(Form.PACKED, "a gzip file", f"{words.typed('gunzip', path)}, then give what comes of it")


def _zip(path: Path) -> FileKind:
    try:
        with archive.opened(path) as opened:
            names = opened.namelist()
    except archive.ERRORS:
        return _damaged(Form.ZIP, "a ZIP archive")
    ends = {name.rpartition("/")[2] for name in names}
    if {"config.json", "model.weights.h5"} <= ends:
        return FileKind(Form.KERAS, "a Keras file", _convert(path, ".keras"), True)
    if ends & {"serialized_exported_program.json", "archive_format"}:
        return _exported(path, names)
    if "data.pkl" in ends or "MAR-INF/MANIFEST.json" in names:
        return _pytorch(path)
    return FileKind(Form.ZIP, "a ZIP archive", _unzip(path, names))


def _unzip(path: Path, names: list[str]) -> str:
    command = words.typed("unzip", path)
    inside = [name for name in names if name.endswith((".tflite", ".keras", ".h5", "saved_model.pb"))]
    models = sorted(inside, key=lambda name: (not name.endswith(".tflite"), name))[:_NAMED]
    if not models:
        return f"{command} shows what is in it: no .tflite file, Keras file or SavedModel"
    return f"{command}, then give {' or '.join(words.shown(name) for name in models)}"


def _damaged(form: Form, what: str) -> FileKind:
    return FileKind(form, f"{what}, cut off or damaged", "get it again")


def _web_page(path: Path) -> FileKind:
    todo = "was the link one to a page? download the file itself (on GitHub: Raw) and give that"
    return FileKind(Form.WEB_PAGE, "a web page", todo)


def _lfs_pointer(path: Path) -> FileKind:
    return FileKind(Form.LFS_POINTER, "a Git LFS pointer", "`git lfs pull` in its repository fetches the file itself")


def _picture(path: Path) -> FileKind:
    return FileKind(Form.PICTURE, "a picture", "the model comes first: `ondevice run MODEL PICTURE`")


def _other(what: str) -> Callable[[Path], FileKind]:
    return lambda path: FileKind(Form.OTHER_MODEL, what, "export the network as .tflite, Keras file or SavedModel")


# What stands in a repository for a large file.
LFS_POINTER = b"version https://git-lfs"
# A tar has its mark behind the first file's name and rights.
_TAR_AT, _TAR = 257, b"ustar"
# Where each mark stands, the mark, and what it tells.
_MARKS: tuple[tuple[int, bytes, Callable[[Path], FileKind]], ...] = (
    (4, b"TFL3", _tflite),  # the file_identifier of schema.fbs, after the root's offset
    (0, b"PK\x03\x04", _zip),
    (0, b"PK\x05\x06", _zip),
    (0, b"\x89HDF\r\n\x1a\n", _hdf5),
    (0, LFS_POINTER, _lfs_pointer),
    (0, b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", _pytorch),  # how it was saved before 1.6
    (0, b"\x1f\x8b", _gzip),
    (_TAR_AT, _TAR, _packed),
    (0, b"BZh", _packed),
    (0, b"\xfd7zXZ\x00", _packed),
    (0, b"\x89PNG\r\n", _picture),
    (0, b"\xff\xd8\xff", _picture),
    (0, b"GIF8", _picture),
    (8, b"WEBP", _picture),
    (4, b"ET12", _other("an ExecuTorch file")),
    (0, b"GGUF", _other("a GGUF file")),
)


# What a page begins with, behind a mark of its encoding, blanks and comments.
PAGE = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<!--.*?-->\s*|<\?xml[^>]*>\s*)*<(?:!doctype html|html|head|body)\b", re.I | re.S
)


def _text(head: bytes, path: Path) -> FileKind | None:
    """A web page, or another text, such as the error that a download was answered with."""
    if PAGE.match(head):
        return _web_page(path)
    try:
        text = head[: head.rfind(b"\n") + 1 or None].decode()
    except UnicodeDecodeError:
        return None
    if not all(c.isprintable() or c.isspace() for c in text):
        return None
    first = next(iter(text.split("\n")), "").strip()
    return FileKind(Form.TEXT, f"a text that begins '{words.shown(first)}'", "get the model's own file, and give that")


def _message(file: IO[bytes], path: Path) -> FileKind | None:
    """A Protocol Buffers message, which has no mark: by the fields at its top."""
    found = protobuf.fields(file, path.stat().st_size)
    numbers = {field.number for field in found}
    version = next((field.value for field in found if (field.number, field.wire) == (1, protobuf.VARINT)), 0)
    if version and max(numbers) >= _FIRST_COREML:
        return FileKind(Form.COREML, "a Core ML model", "convert the network that it was made from")
    if version and any((field.number, field.wire) == (_ONNX_GRAPH, protobuf.BYTES) for field in found):
        return _onnx(path)
    if version == 1 and numbers == {1, 2}:  # its schema's version, and graphs
        return FileKind(Form.SAVED_MODEL, "a SavedModel's graph", _convert(path.absolute().parent, ""))
    if not version and found and numbers <= {1, 2, 3, 4} and found[0] == protobuf.Field(1, protobuf.BYTES, 0):
        todo = "export the network as a SavedModel from the program that made it: TensorFlow 2 runs none of these"
        return FileKind(Form.GRAPH, "a frozen TensorFlow graph", todo)
    return None


# ONNX's ModelProto has its graph there; Core ML's Model has the kinds of models from 200.
_ONNX_GRAPH, _FIRST_COREML = 7, 200


def _onnx(path: Path) -> FileKind:
    command = words.typed("onnx2tf", "-i", path, "-o", f"{path.stem}_tflite")
    todo = f"{command} makes .tflite files of it; install onnx2tf in an environment of its own, it shares none"
    return FileKind(Form.ONNX, "an ONNX network", todo)


def _folder(path: Path) -> FileKind:
    if (path / "saved_model.pb").is_file():
        return FileKind(Form.SAVED_MODEL, "a SavedModel folder", _convert(path, ""), True)
    if path.suffix == ".mlpackage":
        return FileKind(Form.COREML, "a Core ML model", "convert the network that it was made from")
    inside = sorted(p for p in path.iterdir() if p.suffix == ".tflite")[:_NAMED]
    todo = f"give {' or '.join(map(str, inside))}" if inside else "there is no .tflite file in it"
    return FileKind(Form.FOLDER, "a folder", todo)


def _convert(path: Path, suffix: str) -> str:
    """The command that makes a .tflite of what `ondevice convert` takes, by a name and a suffix that it takes."""
    stem = path.name.removesuffix(suffix) if suffix else path.absolute().name
    named = () if stem == nameable(stem) else ("--name", nameable(stem))
    if not path.name.endswith(suffix):
        right = path.with_suffix(suffix)
        return f"{words.typed('mv', path, right)}, then {words.typed('ondevice', 'convert', right, *named)}"
    return f"{words.typed('ondevice', 'convert', path, *named)} makes a .tflite of it"
