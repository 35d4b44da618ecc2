"""What a Keras file would have Python run, told from the network's config before Keras reads it.

Keras looks classes and functions up by the names of modules that stand in the file, and a Lambda layer holds its
author's code; `safe_mode` is not heeded by every loader. So only what is known to compute, and do no more, passes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ondevice import words
from ondevice.converters.sources import keras_names
from ondevice.converters.sources.failure import first_line
from ondevice.errors import ConvertError
from ondevice.models import archive

# A network inside another is four levels deeper: fifty of them in one another are not a network.
_DEEPEST = 200
# What holds Python code itself.
_CODE = ("Lambda", "__lambda__")
# Modules by which Keras means functions of its own, and those that it saw in somebody's script.
_NOWHERE = ("", "builtins")
_FUNCTION = "function"
# What is told of how a network was trained, which is not read: networks are loaded without it.
_UNREAD = "compile_config"
_TODO = (
    "save it where that code is, as a SavedModel, by model.export(FOLDER) or tf.saved_model.save(model, FOLDER), and "
    "convert that"
)


def check(path: Path) -> None:
    """Raise ConvertError for a .keras or .h5 file that would have code run, or whose config cannot be read."""
    try:
        read, unread = _parts(path)
        found = next(_foreign(read), "") or next(_code(unread), "")
    except (*archive.ERRORS, KeyError, RecursionError) as error:
        raise ConvertError(f"{path}: Keras cannot read it: {first_line(error)} (is it whole?)") from error
    if found:
        raise ConvertError(f"{path}: it has {found}, and nothing in a model file is run: {_TODO}")


def _parts(path: Path) -> tuple[Any, Any]:
    """A file's config of the network, and of its training."""
    if path.suffix == ".h5":
        return _parts_of_hdf5(path)
    with archive.opened(path) as opened:
        config = json.loads(archive.content(opened, "config.json"))
    unread = config.pop(_UNREAD, None) if isinstance(config, dict) else None
    return config, unread


def _parts_of_hdf5(path: Path) -> tuple[Any, Any]:
    import h5py

    with h5py.File(path) as file:
        if _reads_others(file):
            raise ValueError("it takes its values from other files")
        return _told(file.attrs["model_config"]), _told(file.attrs.get("training_config", "null"))


def _reads_others(file: Any) -> bool:
    """Whether a part of an HDF5 file lies in another file: by a link, as raw bytes, or put together from several."""
    import h5py

    def linked(_: str, link: Any) -> bool | None:
        return isinstance(link, h5py.ExternalLink) or None

    def stored(_: str, item: Any) -> bool | None:
        return (isinstance(item, h5py.Dataset) and bool(item.external or item.is_virtual)) or None

    return bool(file.visititems_links(linked) or file.visititems(stored))


def _told(text: Any) -> Any:
    """What an attribute of a file says in JSON."""
    if not isinstance(text, str | bytes) or len(text) > archive.LARGEST_FILE_BYTES:
        raise ValueError(f"its config is not a text of at most {archive.LARGEST_FILE_BYTES / 1e6:.0f} MB")
    return json.loads(text if isinstance(text, str) else text.decode())


def _foreign(config: Any) -> Iterator[str]:
    """What a config names that is not Keras's own, in words."""
    for described in _objects(config):
        name, module = described["class_name"], described.get("module") or ""
        if not isinstance(name, str) or not isinstance(module, str):
            yield "something that is not named by its class"
        elif name == _FUNCTION:
            yield from _foreign_function(module, described.get("config"))
        else:
            yield from _foreign_class(module, name, described)


def _foreign_class(module: str, name: str, described: dict[str, Any]) -> Iterator[str]:
    inner = described.get("config")
    registered = str(described.get("registered_name") or name)
    if name in _CODE or registered.rpartition(">")[2] in _CODE:
        yield "a Lambda layer, which is Python code"
    elif name == "TFOpLambda" and isinstance(inner, dict):
        function = str(inner.get("function"))
        if not keras_names.is_operation(function):
            yield f"TensorFlow's function {words.shown(function)!r}, which may do more than compute"
    elif name != "SlicingOpLambda":
        for called in (name, registered):
            if not keras_names.is_own(module, called.rpartition(">")[2]):
                yield f"{words.shown(called)!r}, which is not a layer of Keras's own"


def _foreign_function(module: str, name: Any) -> Iterator[str]:
    is_activation = module in (*_NOWHERE, "keras.activations") and name in keras_names.ACTIVATIONS
    if not is_activation:
        yield f"the function {words.shown(str(name))!r}{_of(module)}"


def _code(config: Any) -> Iterator[str]:
    """What in a config that is not read is code, or a module's function; classes of one's own are only names there."""
    for described in _objects(config):
        name, module = described["class_name"], described.get("module") or ""
        if name in _CODE:
            yield "a function with its Python code, for its training"
        elif name == _FUNCTION and str(module).split(".", maxsplit=1)[0] not in (*_NOWHERE, "keras", "tf_keras"):
            yield f"the function {words.shown(str(described.get('config')))!r}{_of(str(module))}"


def _of(module: str) -> str:
    return "" if module in _NOWHERE else f" of the module {words.shown(module)!r}"


def _objects(config: Any) -> Iterator[dict[str, Any]]:
    """All that a config describes by a class, at any depth. Raises ValueError for what is nested too deep."""
    waiting = [(config, 0)]
    while waiting:
        value, depth = waiting.pop()
        if depth > _DEEPEST:
            raise ValueError(f"its config is nested over {_DEEPEST} levels deep")
        if isinstance(value, dict):
            if "class_name" in value:
                yield value
            waiting += [(inner, depth + 1) for inner in value.values()]
        elif isinstance(value, list):
            waiting += [(inner, depth + 1) for inner in value]
