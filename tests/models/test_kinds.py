"""What is given where a .tflite file should be: each is told, with what to type next."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import random
import tarfile
import zipfile
from pathlib import Path

import pytest

from ondevice.errors import ModelError
from ondevice.models import zoo
from ondevice.models.kinds import FileKind, Form, require_tflite

# How torch.save began a file before version 1.6 of 2020.
OLD_PYTORCH = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:1234\nsize 4276352\n"
PAGE = b'\n\n<!DOCTYPE html>\n<html lang="en">\n<head><title>model.tflite</title></head>'


def packed(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as opened:
        for name in names:
            opened.writestr(name, "content")
    return out.getvalue()


def tarred(name: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as opened:
        opened.addfile(tarfile.TarInfo(name), io.BytesIO())
    return out.getvalue()


def message(*fields: tuple[int, int | bytes]) -> bytes:
    """A Protocol Buffers message of small numbers and short texts."""
    out = b""
    for number, value in fields:
        key = number << 3 | (0 if isinstance(value, int) else 2)
        out += bytes([key & 0x7F | 0x80, key >> 7]) if key > 127 else bytes([key])
        out += bytes([value]) if isinstance(value, int) else bytes([len(value)]) + value
    return out


ONNX = message((1, 8), (2, b"pytorch"), (3, b"2.1.0"), (7, b"graph"), (8, b"\x10\x11"))
COREML = message((1, 4), (2, b"\x0a\x05image"), (403, b"network"))
SAVED_MODEL = message((1, 1), (2, b"meta graph"))
FROZEN = message((1, b"\x0a\x05input"), (1, b"\x0a\x04conv"), (4, b"\x08\x16"))


@pytest.mark.parametrize(
    ("name", "content", "form", "said"),
    [
        ("model.zip", packed("labels.txt", "model.tflite"), Form.ZIP, "`unzip model.zip`, then give model.tflite"),
        ("a b.zip", packed("x/y.h5"), Form.ZIP, "`unzip 'a b.zip'`, then give x/y.h5"),
        ("hand.task", packed("a.tflite", "b.tflite"), Form.ZIP, "then give a.tflite or b.tflite"),
        ("data.zip", packed("cat/1.jpg"), Form.ZIP, "no .tflite file, Keras file or SavedModel"),
        ("cut.zip", packed("model.tflite")[:-30], Form.ZIP, "cut off or damaged"),
        ("m.keras", packed("metadata.json", "config.json", "model.weights.h5"), Form.KERAS, "`ondevice convert m.k"),
        ("m.zip", packed("config.json", "model.weights.h5"), Form.KERAS, "`, then `ondevice convert m.k"),
        ("net.pt", packed("net/data.pkl", "net/version"), Form.PYTORCH, "--weights net.pt` makes a .tflite of"),
        ("net.pt2", packed("net/archive_format", "net/models/model.json"), Form.EXPORTED, "`ondevice convert net.pt2`"),
        ("old.pt2", packed("serialized_exported_program.json"), Form.PYTORCH, "write it anew by `torch.export.save`"),
        ("net.mar", packed("MAR-INF/MANIFEST.json", "net.pt"), Form.PYTORCH, "a PyTorch file"),
        ("old.pth", OLD_PYTORCH, Form.PYTORCH, "a PyTorch file"),
        ("page.tflite", PAGE, Form.WEB_PAGE, "on GitHub: Raw"),
        ("page", b"\xef\xbb\xbf<!-- saved --><?xml version='1.0'?><HTML>", Form.WEB_PAGE, "a web page"),
        ("model.tflite", LFS, Form.LFS_POINTER, "`git lfs pull`"),
        ("model.h5", b"\x89HDF\r\n\x1a\n" + bytes(50), Form.HDF5, "`ondevice convert model.h5` makes a .tflite of it"),
        ("my model.h5", b"\x89HDF\r\n\x1a\n", Form.HDF5, "`ondevice convert 'my model.h5' --name my_model` makes"),
        ("m.hdf5", b"\x89HDF\r\n\x1a\n", Form.HDF5, "`mv m.hdf5 m.h5`, then `ondevice convert m.h5`"),
        ("n.weights.h5", b"\x89HDF\r\n\x1a\n", Form.HDF5, "`ondevice convert ARCHITECTURE --weights n.weights.h5`"),
        ("net.onnx", ONNX, Form.ONNX, "`onnx2tf -i net.onnx -o net_tflite`"),
        ("net.mlmodel", COREML, Form.COREML, "a Core ML model"),
        ("frozen.pb", FROZEN, Form.GRAPH, "a frozen TensorFlow graph"),
        ("model.tflite.gz", gzip.compress(b"TFL3" * 99), Form.PACKED, "`gunzip model.tflite.gz`"),
        ("m.tar.gz", gzip.compress(tarred("saved_model.pb")), Form.PACKED, "`tar -xf m.tar.gz`"),
        ("m.tar", tarred("m.tflite"), Form.PACKED, "`tar -xf m.tar`"),
        ("m.gz", b"\x1f\x8b\x07 not one", Form.PACKED, "cut off or damaged"),
        ("m.xz", b"\xfd7zXZ\x00", Form.PACKED, "`tar -xf m.xz`"),
        ("photo.jpg", b"\xff\xd8\xff\xe0\x00\x10JFIF", Form.PICTURE, "the model comes first"),
        ("m.pte", b"\x1c\0\0\0ET12", Form.OTHER_MODEL, "an ExecuTorch file"),
        ("m.tflite", b"404: Not Found", Form.TEXT, "a text that begins '404: Not Found'"),
        ("m.tflite", b"x" * 200, Form.TEXT, "xxx...'"),
        ("empty.tflite", b"", Form.EMPTY, "an empty file"),
    ],
    ids=lambda given: given if isinstance(given, str | Form) else "",  # archives have the time in them
)  # fmt: skip
def test_kinds(
    name: str, content: bytes, form: Form, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(name)
    path.write_bytes(content)
    kind = FileKind.read(path)
    assert kind is not None
    assert kind.form is form
    assert kind.convertible == (form in (Form.KERAS, Form.HDF5, Form.EXPORTED))
    with pytest.raises(ModelError) as caught:
        require_tflite(path)
    told = str(caught.value)
    assert told.startswith(f"{name}: {kind.what}, not a .tflite file: ")
    assert said in told
    assert "\n" not in told


def test_a_saved_model_by_its_folder_and_by_its_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(SAVED_MODEL)
    monkeypatch.chdir(folder)
    for path, convertible in ((Path(), True), (folder, True), (Path("saved_model.pb"), False)):
        kind = FileKind.read(path)
        assert kind is not None
        assert kind.form is Form.SAVED_MODEL
        assert kind.convertible == convertible
        assert f"`ondevice convert {'.' if path == Path() else folder}` makes" in kind.todo


def test_a_folder_names_the_files_in_it(tmp_path: Path) -> None:
    for folder, name in (("a", "b.tflite"), ("net.mlpackage", "Manifest.json"), ("c", "readme")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).touch()
    said = [FileKind.read(tmp_path / folder) for folder in ("a", "net.mlpackage", "c")]
    assert [kind.form for kind in said if kind] == [Form.FOLDER, Form.COREML, Form.FOLDER]
    assert [kind.todo for kind in said if kind][::2] == [
        f"give {tmp_path / 'a' / 'b.tflite'}",
        "there is no .tflite file in it",
    ]


def test_a_tflite_file_is_one() -> None:
    path = zoo.find("digits_xs_fp32").path
    kind = FileKind.read(path)
    assert kind is not None
    assert kind.form is Form.TFLITE
    require_tflite(path)


def test_what_cannot_be_told(tmp_path: Path) -> None:
    path = tmp_path / "what"
    # The second is a SavedModel's fingerprint.pb: numbers up to the eighth field.
    for content in (bytes(range(255, 0, -1)), message((1, 1), (3, 3), (4, 4), (5, 5), (6, b"v"), (7, 7))):
        path.write_bytes(content)
        assert FileKind.read(path) is None
    with pytest.raises(ModelError, match=r"what: not a \.tflite file: give the file that a converter made"):
        require_tflite(path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelError, match="pipe: not a file"):
        require_tflite(tmp_path / "pipe")
    with pytest.raises(ModelError, match="gone: cannot be read: no such file"):
        require_tflite(tmp_path / "gone")


def test_any_bytes_behind_any_mark_are_told_in_one_line(tmp_path: Path) -> None:
    rng, path = random.Random(0), tmp_path / "any"
    for mark in (b"", b"PK\x03\x04", b"\x1f\x8b\x08\0", b"\x08\x01\x12", b"\x0a\x03", b"<html", b"\x80\x02"):
        for _ in range(50):
            path.write_bytes(mark + rng.randbytes(rng.randrange(600)))
            with pytest.raises(ModelError) as caught:
                require_tflite(path)
            assert "\n" not in str(caught.value)
