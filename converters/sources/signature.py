"""Which function of a SavedModel is the network: a signature, or where it has none, a function of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ondevice import words
from ondevice.converters.export import tensorflow
from ondevice.errors import ConvertError, UsageError

# What a SavedModel's programs call the signature that is meant where none is named.
_DEFAULT = "serving_default"


@dataclass(frozen=True)
class Signature:
    """A function of a SavedModel, by its name.

    function: what is called. arguments: positional and named ones, tensors as TensorSpecs, others by their values, as
    `training=False`. others: what else might be taken.
    """

    name: str
    function: Any
    arguments: tuple[tuple[Any, ...], dict[str, Any]]
    others: tuple[str, ...] = ()

    @property
    def inputs(self) -> list[Any]:
        """The specs of the tensors that it takes."""
        return [leaf for leaf in self._leaves if _is_tensor(leaf)]

    def __call__(self, tensor: Any) -> Any:
        """What it gives for its only input. Raises ConvertError where that is not one tensor."""
        positional, named = tensorflow().nest.map_structure(
            lambda leaf: tensor if _is_tensor(leaf) else leaf, self.arguments
        )
        outputs = tensorflow().nest.flatten(self.function(*positional, **named))
        if len(outputs) != 1:
            raise ConvertError(f"it has {len(outputs)} outputs, not one")
        return outputs[0]

    @property
    def takes_a_picture(self) -> bool:
        """Whether it takes one picture, and is not the one of two that trains."""
        shapes, trains = [spec.shape for spec in self.inputs], any(leaf is True for leaf in self._leaves)
        return len(shapes) == 1 and not trains and _is_of_pictures(shapes[0])

    @property
    def _leaves(self) -> list[Any]:
        leaves: list[Any] = tensorflow().nest.flatten(self.arguments)
        return leaves


def signature_of(path: Path, network: Any, wanted: str) -> Signature:
    """The signature called `wanted` of the network in `path`; where that is empty, `serving_default`, or the only one.

    A network without signatures has functions of its own: those count that take one picture. Raises UsageError, which
    lists them, where there is no such one, or several to choose from.
    """
    found = _signatures(network) or _functions(network)
    if not found:
        raise UsageError(
            f"{path}: it has no signature, and no function that takes one picture: in Python save it with one, "
            "`tf.saved_model.save(model, 'new', signatures=model.CALL.get_concrete_function("
            "tf.TensorSpec([None, 224, 224, 3])))`"
        )
    name = wanted or (_DEFAULT if _DEFAULT in found else next(iter(found)))
    if name not in found:
        raise UsageError(f"{path}: no signature {name!r}; {words.suggestion(name, found)}")
    if not wanted and name != _DEFAULT and len(found) > 1:
        raise UsageError(f"{path}: it has {len(found)} signatures: give --signature {', or '.join(sorted(found))}")
    return replace(found[name], others=tuple(sorted({*found} - {name})))


def _signatures(network: Any) -> dict[str, Signature]:
    named = network.signatures.items()
    return {name: Signature(name, function, function.structured_input_signature) for name, function in named}


def _functions(network: Any) -> dict[str, Signature]:
    """The network's own functions that take a picture; of one that was traced several times, the first that does."""
    found: dict[str, Signature] = {}
    for name in ("__call__", *(name for name in dir(network) if not name.startswith("_"))):
        for signature in _traced(name, getattr(network, name, None)):
            if signature.takes_a_picture:
                found.setdefault(name, signature)
    return found


def _traced(name: str, function: Any) -> Iterator[Signature]:
    for concrete in getattr(function, "concrete_functions", ()):
        yield Signature(name, function, concrete.structured_input_signature)


def _is_of_pictures(shape: Any) -> bool:
    """Whether tensors of it may be [pictures, height, width, channels], or grey ones [pictures, height, width]."""
    return bool(shape.rank == 3 or (shape.rank == 4 and shape[-1] in (1, 3, None)))


def _is_tensor(leaf: Any) -> bool:
    return isinstance(leaf, tensorflow().TypeSpec)
