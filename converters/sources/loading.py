"""A SavedModel read by TensorFlow, after its program was looked at: as it was looked at, and without its optimizer."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

from ondevice import words
from ondevice.converters.export import tensorflow
from ondevice.converters.sources import operations
from ondevice.converters.sources.failure import in_one_line
from ondevice.errors import ConvertError

_PROGRAM = "saved_model.pb"
# The folders of a SavedModel that TensorFlow reads beside its program.
_BESIDE = ("variables", "assets")


def load(path: Path) -> Any:
    """The network in the folder. Raises ConvertError, for a program that does more than compute too."""
    with in_one_line(f"{path}: TensorFlow cannot read it", "give a SavedModel folder, with its saved_model.pb"):
        model = _program(path)
        if not (harmful := operations.harmful(model, _is_stateful)):
            return _loaded(model, path)
    raise ConvertError(
        f"{path}: it has an operation {words.shown(harmful)!r}, which may do more than compute, and is not run: save "
        "the network alone, by model.export(FOLDER) or tf.saved_model.save(model, FOLDER), and convert that"
    )


def _program(path: Path) -> Any:
    tensorflow()
    from tensorflow.core.protobuf import saved_model_pb2

    return saved_model_pb2.SavedModel.FromString((path / _PROGRAM).read_bytes())


def _is_stateful(operation: str) -> bool:
    from tensorflow.python.framework import op_def_registry

    known = op_def_registry.get(operation)
    return known is not None and bool(known.is_stateful)


def _loaded(model: Any, path: Path) -> Any:
    """The network of a program whose variables lie in `path`.

    It is loaded from a folder of its own, which is kept as long as the network: it is saved with its assets later.
    """
    folder = Path(tempfile.mkdtemp())
    try:
        (folder / _PROGRAM).write_bytes(_without_slots(model).SerializeToString())
        for name in _BESIDE:
            if (path / name).exists():
                (folder / name).symlink_to((path / name).absolute())
        network = tensorflow().saved_model.load(str(folder))
    except BaseException:
        shutil.rmtree(folder)
        raise
    weakref.finalize(network, shutil.rmtree, folder, ignore_errors=True)
    return network


def _without_slots(model: Any) -> Any:
    """The program without what an optimizer kept for each variable: TensorFlow has none of Keras 2's to give it to."""
    for graph in model.meta_graphs:
        for node in graph.object_graph_def.nodes:
            node.ClearField("slot_variables")
    return model
