"""A PyTorch network that Python code builds: `package.module:function`, and torchvision's and timm's by their names."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from ondevice import words
from ondevice.converters.job import ConversionJob
from ondevice.converters.sources import state
from ondevice.converters.sources.failure import in_one_line
from ondevice.converters.sources.input import input_of, size_of
from ondevice.converters.sources.pytorch import TorchSource, normalize
from ondevice.converters.sources.source import Source
from ondevice.errors import ConvertError, UsageError
from ondevice.models.card import Input

_FORM = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
# Pixels' mean and deviation are told as shares of this.
_WHITE = 255
# What libraries' networks are given where they do not say it: ImageNet's usual side.
_SIDE = 224


class Wanted(NamedTuple):
    """How a library prepares pictures for a network of its own: side, mean and deviation of 0..1, the share kept."""

    side: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop: float


class Library(NamedTuple):
    """Networks of a package by their names.

    names: those that there are; build: one of them, with or without weights; wanted: its pictures; deployed: what
    answers the same in fewer layers, where its training takes more.
    """

    names: Callable[[], list[str]]
    build: Callable[[str, bool], Any]
    wanted: Callable[[str, Any], Wanted]
    deployed: Callable[[Any], Any]


class LibrarySource(TorchSource):
    """A network of a package's, evaluated as the package says."""

    knows_crop = True

    def __init__(self, network: Any, wanted: Input, package: str, name: str) -> None:
        self.publisher = package
        super().__init__(network, wanted, f"{package}'s {name}")


def is_factory(source: str) -> bool:
    """Whether a source has the form `package.module:function`."""
    return _FORM.fullmatch(source) is not None


def is_library(source: str) -> bool:
    """Whether a source names a network of torchvision's or timm's."""
    return is_factory(source) and source.partition(":")[0] in _LIBRARIES


def check(job: ConversionJob) -> None:
    """Raise UsageError, without PyTorch, for weights that are not, and for a package that is not installed."""
    package = job.source.partition(":")[0]
    if job.weights not in ("", "imagenet", "none"):
        state.check(Path(job.weights))
    if is_library(job.source) and importlib.util.find_spec("torch") and not importlib.util.find_spec(package):
        raise UsageError(f"{job.source}: no {package} here: run `pip install {package}`")
    if not is_library(job.source) and job.weights == "imagenet":
        raise UsageError(f"--weights imagenet is not of {job.source}: give a file, or none, or leave it out")


def from_factory(job: ConversionJob) -> Source:
    """The network that the job's function gives, with the job's weights. Raises UsageError, ConvertError."""
    import torch

    torch.manual_seed(job.seed)
    package, _, name = job.source.partition(":")
    return _from_library(package, name, job) if is_library(job.source) else _from_function(package, name, job)


def _from_function(module: str, name: str, job: ConversionJob) -> Source:
    with _working_folder():
        network = _built(_found(module, name, job.source), job.source)
    size = size_of(job.source, [None, None, None, _channels(network)], job)
    wanted = input_of(job.source, size, None, job)
    _weighted(network, wanted, job)
    with in_one_line(f"{job.source} cannot be run on a picture", f"{_sides(wanted)}: is that its --size?"):
        return TorchSource(network, wanted, f"PyTorch network {type(network).__name__}")


def _from_library(package: str, name: str, job: ConversionJob) -> Source:
    library = _LIBRARIES[package]
    if name.partition(".")[0] not in (names := library.names()):  # behind the dot timm has which weights
        raise UsageError(f"{package} has no network '{words.shown(name)}'; {words.suggestion(name, names)}")
    with in_one_line(f"{job.source}: its {job.weights} weights cannot be loaded", "no network? give --weights FILE"):
        network = library.build(name, job.weights == "imagenet").eval().float()
    wanted = _input(library.wanted(name, network), job)
    _weighted(network, wanted, job)
    with in_one_line(f"{job.source} cannot be run on a picture", f"{_sides(wanted)}: can it have that --size?"):
        return LibrarySource(library.deployed(network), wanted, package, name)


def _input(known: Wanted, job: ConversionJob) -> Input:
    side = job.side or known.side
    mean, std = (tuple(round(_WHITE * value, 4) for value in values) for values in (known.mean, known.std))
    wanted = Input(side, side, 3, mean, std, round(known.crop, 4))
    mean, std = job.normalization or (wanted.mean, wanted.std)
    crop = wanted.crop if job.crop is None else job.crop
    return replace(wanted, mean=mean, std=std, crop=crop, bgr=bool(job.bgr))


def _weighted(network: Any, wanted: Input, job: ConversionJob) -> None:
    if job.weights == "none":
        with in_one_line(f"{job.source} cannot be run on pictures", f"{_sides(wanted)}: is that its --size?"):
            normalize(network, wanted)
    elif job.weights not in ("", "imagenet"):
        state.load(network, Path(job.weights), job.source)


def _sides(wanted: Input) -> str:
    return f"it was given [1, {wanted.channels}, {wanted.height}, {wanted.width}]"


def _found(module: str, name: str, source: str) -> Any:
    """What `module:name` is."""
    try:
        found = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except ModuleNotFoundError as error:
        if error.name not in _packages(module):
            raise UsageError(f"{source}: {module} needs the module {error.name}, which is not installed") from error
        where = f"neither in {Path.cwd()} nor installed in {sys.prefix}"
        raise UsageError(f"{source}: no module {error.name}, {where}") from error
    except AttributeError as error:
        known = [known for known in vars(found) if not known.startswith("_")]
        raise UsageError(f"{source}: {module} has no '{name}'; {words.suggestion(name, known)}") from error
    except Exception as error:
        raise ConvertError(f"{source}: {module} cannot be imported: {type(error).__name__}: {error}") from error
    return found


def _packages(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


def _built(found: Any, source: str) -> Any:
    """The network that a function gives, or a class is of, or that is there already."""
    import torch

    if not isinstance(found, torch.nn.Module):
        with in_one_line(f"{source} cannot be called", "it has to give the network without arguments"):
            found = found()
    if not isinstance(found, torch.nn.Module):
        raise UsageError(f"{source} gives a {type(found).__name__}, not a torch.nn.Module")
    return found.eval().float()


@contextlib.contextmanager
def _working_folder() -> Iterator[None]:
    """Have modules of the working folder found, behind all others: none of them takes the place of an installed one."""
    before = list(sys.path)
    sys.path.append(str(Path.cwd()))
    try:
        yield
    finally:
        sys.path[:] = before


def _channels(network: Any) -> int:
    """How many channels a network's pictures have: as its first convolution takes, else those of colours."""
    taken = (getattr(layer, "in_channels", None) for layer in network.modules())
    return next((channels for channels in taken if channels in (1, 3)), 3)


def _torchvision_names() -> list[str]:
    from torchvision import models

    return [str(name) for name in models.list_models(module=models)]


def _torchvision_network(name: str, published: bool) -> Any:
    from torchvision import models

    more = {"init_weights": True} if name in ("googlenet", "inception_v3") and not published else {}
    return models.get_model(name, weights="DEFAULT" if published else None, **more)


def _torchvision_wanted(name: str, network: Any) -> Wanted:
    from torchvision import models

    prepared = models.get_model_weights(name).DEFAULT.transforms()
    side, resized = prepared.crop_size[0], prepared.resize_size[0]
    return Wanted(side, tuple(prepared.mean), tuple(prepared.std), min(side / resized, 1.0))


def _as_it_is(network: Any) -> Any:
    return network


def _timm_names() -> list[str]:
    import timm

    names: list[str] = timm.list_models()
    return names


def _timm_network(name: str, published: bool) -> Any:
    import timm

    return timm.create_model(name, pretrained=published)


def _timm_wanted(name: str, network: Any) -> Wanted:
    known = network.pretrained_cfg
    side = known.get("input_size", (3, _SIDE, _SIDE))[1]
    return Wanted(side, tuple(known["mean"]), tuple(known["std"]), known.get("crop_pct", 1.0))


def _timm_deployed(network: Any) -> Any:
    """One convolution for the branches that MobileOne, RepViT and their kind are trained with."""
    from timm.utils import reparameterize_model

    return reparameterize_model(network)


_LIBRARIES = {
    "torchvision": Library(_torchvision_names, _torchvision_network, _torchvision_wanted, _as_it_is),
    "timm": Library(_timm_names, _timm_network, _timm_wanted, _timm_deployed),
}
