"""The models that a worker process holds."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from ondevice import host, words
from ondevice.cloud.backends.workers.frames import Message
from ondevice.cloud.backends.workers.sample import sample_tensor
from ondevice.errors import ModelError, ModelLoadError, OnDeviceError
from ondevice.models import files, zoo
from ondevice.runner import Resolved, Runner, resolve


class _Found(NamedTuple):
    """A model's file that was checked, and its size in bytes and time of change, ns, at that time."""

    resolved: Resolved
    as_it_was: tuple[int, int]


class HeldModels:
    """Loaded models, by where they come from: a name in the zoo, or a path.

    threads: the runtime's, for each inference. runtime: one of `ondevice.runtime.RUNTIMES`, or None. checksums: the
    SHA-256 of files that are known already, by model; those of others are taken down as they are loaded.
    """

    def __init__(self, threads: int, runtime: str | None, checksums: dict[str, str]) -> None:
        self._threads, self._runtime, self._checksums = threads, runtime, checksums
        self._found: dict[str, _Found] = {}
        self._runners: dict[str, Runner] = {}

    def __contains__(self, model: str) -> bool:
        return model in self._runners

    def ready(self, model: str) -> tuple[Runner, Message]:
        """The model, loaded and run once if it was not there, and then what that took. Raises ModelLoadError.

        The first inference allocates, and packs weights.
        """
        loaded = self._load(model) if model not in self._runners else {}
        return self._runners[model], loaded

    def unload(self, model: str) -> None:
        """Let it go, if it is there, and give its memory back."""
        self._runners.pop(model, None)
        host.current().memory.give_back()

    def _load(self, model: str) -> Message:
        memory = host.current().memory
        try:
            found = self._checked(model)
            before, start = memory.resident_bytes() or 0, perf_counter()
            runner = Runner(found, self._threads, self._runtime)
            runner.model.invoke(sample_tensor(runner.model.input))
        except OnDeviceError as error:
            raise ModelLoadError(str(error), model) from error
        except MemoryError as error:
            raise ModelLoadError(f"{model}: not enough memory to load it", model) from error
        except OSError as error:
            raise ModelLoadError(f"{model}: {words.reason(error)}", model) from error
        load_ms = (perf_counter() - start) * 1e3
        self._runners[model] = runner
        return {"load_ms": load_ms, "resident_bytes": max((memory.resident_bytes() or 0) - before, 0)}

    def _checked(self, model: str) -> Resolved:
        """The model's file, known to be the one that it was; it is read again only where it has changed since."""
        path, _ = zoo.locate(model)
        as_it_is = _as_it_is(path)
        found = self._found.get(model)
        if found is None or found.as_it_was != as_it_is:
            checksum = files.sha256(path)
            if checksum != self._checksums.setdefault(model, checksum):
                raise ModelError(
                    f"{path} is not the file that it was: put it back, or start again with this one", model
                )
            found = self._found[model] = _Found(resolve(model, self._runtime), as_it_is)
        return found.resolved


def _as_it_is(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns
