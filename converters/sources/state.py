"""The weights of a PyTorch network in a file of tensors. What else a file may hold would run its author's code."""

from __future__ import annotations

import pickle
import pickletools
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ondevice import words
from ondevice.converters.sources.failure import first_line
from ondevice.errors import ConvertError, UsageError
from ondevice.models import archive
from ondevice.models.kinds import FileKind, Form

_SAVE = "in Python `torch.save(model.state_dict(), 'state.pt')`"
# What files of tensors name: what rebuilds tensors, and dictionaries. torch.load itself allows no more than these.
_TENSORS = re.compile(
    r"collections\.(?:OrderedDict|defaultdict|Counter)|torch(?:\._utils\._rebuild_\w+|\.\w*Storage|\.Size|\.device|\.dtype"
    r"|\.storage\.\w+|\.serialization\.\w+|\._tensor\._rebuild_\w+|\.nn\.parameter\.\w+|\.[a-z]\w+)"
    r"|builtins\.(?:set|dict|list|tuple|int|float|bool|complex|bytearray)|_codecs\.encode|numpy[\w.]*"
)
# Where programs that train put the state dictionary in what they save.
_INSIDE = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights")
# What wrappers for several devices, and torch.compile, put before every name.
_PREFIXES = ("module.", "_orig_mod.")


def check(path: Path) -> None:
    """Raise UsageError, without PyTorch and without reading tensors, for what cannot be the weights of a network."""
    if not path.is_file():
        raise UsageError(f"--weights {path}: no such file")
    kind = FileKind.read(path)
    if kind is None or kind.form is not Form.PYTORCH:
        what = "is not PyTorch's" if kind is None else f"is {kind.what}, not a state dictionary"
        raise UsageError(f"--weights {path} {what}: {_SAVE} makes one")
    if problem := _other_than_tensors(path):
        raise UsageError(f"--weights {path} is {problem}, and no code in a file is run: {_SAVE}, and give that")


def load(network: Any, path: Path, source: str) -> None:
    """Give a network the tensors in a file. Raises ConvertError where they are another network's."""
    import torch

    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UsageError(
            f"--weights {path} holds more than tensors, and no code in a file is run: {_SAVE}, and give that"
        ) from error
    except Exception as error:  # whatever its readers make of a damaged file
        raise ConvertError(f"--weights {path} cannot be read: {first_line(error)} (is it whole?)") from error
    _give(network, _state(saved, path), f"--weights {path}", source)


def _give(network: Any, state: dict[str, Any], what: str, source: str) -> None:
    for prefix in _PREFIXES:
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    own = network.state_dict()
    for problem, names in (
        ("it has no", [name for name in own if name not in state]),
        ("the network has no", [name for name in state if name not in own]),
        ("of other shapes:", [name for name in own if name in state and own[name].shape != state[name].shape]),
    ):
        if names:
            raise ConvertError(f"{what} is not of {source}: {problem} {words.first_few(names)}")
    network.load_state_dict(state)


def _state(saved: Any, path: Path) -> dict[str, Any]:
    """The state dictionary, or that in what a program that trains has saved."""
    inside = [saved.get(key) for key in _INSIDE] if isinstance(saved, Mapping) else []
    for found in (saved, *inside):
        if isinstance(found, Mapping) and found and all(hasattr(tensor, "shape") for tensor in found.values()):
            return dict(found)
    raise ConvertError(f"--weights {path} has no state dictionary: {_SAVE} makes one")


def _other_than_tensors(path: Path) -> str:
    """What is pickled in the file beside tensors, in words; empty for none, or where only torch can tell."""
    try:
        with zipfile.ZipFile(path) as opened:
            names = opened.namelist()
            if any(name.endswith("constants.pkl") for name in names):
                return "a TorchScript archive, which is a program"
            name = next((name for name in names if name.rpartition("/")[2] == "data.pkl"), None)
            found = list(_globals(archive.content(opened, name))) if name else []
    except archive.ERRORS:
        return ""  # of before PyTorch 1.6, or damaged: torch.load refuses by itself
    other = next((name for name in found if not _TENSORS.fullmatch(name)), None)
    return f"a whole pickled model ({words.shown(other)})" if other else ""


def _globals(pickled: bytes) -> Iterator[str]:
    """The names that a pickle would import, read without running it."""
    texts: list[str] = []
    for operation, argument, _ in pickletools.genops(pickled):
        if operation.name == "GLOBAL":
            yield str(argument).replace(" ", ".")
        elif operation.name == "STACK_GLOBAL":
            yield ".".join(texts[-2:])
        elif isinstance(argument, str):
            texts.append(argument)
