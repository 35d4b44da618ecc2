"""What was learned, kept on disk: one file for a machine, a runtime and a thread count; and with others of its kind."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from ondevice import reading, records
from ondevice.cloud.backends.decoding import DecodeFactor
from ondevice.cloud.backends.learning import Learned
from ondevice.models import files
from ondevice.timing.profile import Profile, dumps

# The format of the file. The first had decoding by a picture's bytes, which is not used any more; all else is as now.
VERSION, _BY_BYTES = 2, 1
# A change is written so long after it: the rest of a second is for who asks only now and then, and for the disk.
_AFTER_S = 0.7
# An unfinished file of this age was left by a process that was killed: writing takes milliseconds.
_LEFT_S = 2.0
# No time in ms is larger.
_MOST = 1e12


class Setting(NamedTuple):
    """What times depend on besides the model. runtime: with its version. threads: of each inference."""

    host: str
    runtime: str
    threads: int


class Saved(NamedTuple):
    """What is kept of one model: its profile, decoding as `DecodeTimes.factors`, and its load time or None, in ms.

    sha256: of its file, for another one may have its name by and by; "" where it was not kept.
    """

    profile: Profile
    decode: tuple[DecodeFactor, ...]
    load_ms: float | None
    sha256: str = ""

    @classmethod
    def of(cls, known: Learned, setting: Setting) -> Saved:
        """What is known now; it does not change when more is learned."""
        return cls(known.profile(*setting), tuple(known.decode.factors), known.load_ms, known.sha256)


@dataclass(frozen=True)
class _File:
    """What the file holds. decode: by model, what was learned of decoding for it. load_ms: by model, or None.

    sha256: of the models' files, by model, as far as they are known.
    """

    version: int
    profiles: list[Profile]
    decode: dict[str, tuple[DecodeFactor, ...]]
    load_ms: dict[str, float | None]
    sha256: dict[str, str] = field(default_factory=dict)


class Peers(Protocol):
    """Other processes that serve the same, some of them on machines of the same kind. Neither raises, or waits long."""

    def known(self, key: str) -> str | None:
        """What one of them told last under this key."""

    def tell(self, key: str, text: str) -> None:
        """Let them know it, at some time."""


def default_path(setting: Setting) -> Path:
    """The file for this setting in the user's cache."""
    digest = hashlib.sha256(json.dumps(setting).encode()).hexdigest()[:8]
    name = re.sub(r"[^\w.]+", "-", f"{setting.runtime}-{setting.threads}")
    return files.cache_dir() / "profiles" / f"{name}-{digest}.json"


class Store:
    """The file at `path`, for times under `setting`. tell: called with an event and its fields where something fails.

    peers: they are told what the file is, and what they know is newer than it. Nothing here raises for what is wrong
    with the file or the disk: the endpoint serves without.
    """

    def __init__(self, path: Path, setting: Setting, tell: Callable[..., None], peers: Peers | None = None) -> None:
        self.path, self.setting, self._tell = path, setting, tell
        self._peers, self._key = peers, json.dumps(setting)
        self._changed_at: float | None = None
        self._failing = False
        self._saving: asyncio.Future[None] | None = None
        self._writing = threading.Lock()

    def load(self) -> dict[str, Saved]:
        """The saved records, by model; none without a file, or where it is damaged or of another setting."""
        return self._in_file() | self._with_peers()

    def _with_peers(self) -> dict[str, Saved]:
        text = None if self._peers is None else self._peers.known(self._key)
        if text is None:
            return {}
        try:
            return self._of_this_setting(text.encode())
        except ValueError as error:
            return self._unread(f"of other replicas: {error}")

    def _in_file(self) -> dict[str, Saved]:
        with contextlib.suppress(OSError):
            # Not under `files.locked`: a holder that was stopped would keep every other server from starting.
            files.sweep(self.path.parent, self.path.name, _LEFT_S)
        try:
            return self._of_this_setting(reading.whole(self.path))
        except FileNotFoundError:
            return {}
        except OSError as error:
            return self._unread(str(files.explain(error, self.path)))
        except ValueError as error:
            return self._unread(f"{self.path}: {error}")

    def changed(self, now: float) -> None:
        """Something was learned at the time `now`, in seconds."""
        if self._changed_at is None:
            self._changed_at = now

    def due(self, now: float) -> bool:
        """Whether to save now. True once: what changes after it counts as a new change.

        Asked every quarter of a second, and answered with a save, it keeps the file at most a second old.
        """
        if self._changed_at is None or now - self._changed_at < _AFTER_S:
            return False
        self._changed_at = None
        return True

    def save_if_due(self, now: float, saved: Callable[[], Iterable[Saved]]) -> None:
        """Save in a thread what `saved` gives, if it is time and the last is done: a disk may hold up its writer.

        To be called in the event loop.
        """
        if (self._saving is None or self._saving.done()) and self.due(now):
            self._saving = asyncio.get_running_loop().run_in_executor(None, self.save, saved())
            self._saving.add_done_callback(self._finished)

    def _finished(self, saving: asyncio.Future[None]) -> None:
        if not saving.cancelled() and (error := saving.exception()):
            self._tell("profiles not saved", error=repr(error))

    def save(self, saved: Iterable[Saved]) -> None:
        """Replace the file in one step; of failures in a row the first alone is told. May be called in a thread."""
        content = _text(list(saved))
        if self._peers is not None:
            self._peers.tell(self._key, content)
        with self._writing:
            try:
                with files.replacing(self.path) as out:
                    out.write(content.encode())
            except OSError as error:
                if not self._failing:
                    self._tell("profiles not saved", error=str(files.explain(error, self.path)))
                self._failing = True
            else:
                self._failing = False

    def _of_this_setting(self, content: bytes) -> dict[str, Saved]:
        """By model. Raises ValueError for what is damaged, or of another setting."""
        found = _parsed(content)
        for saved in found:
            profile = saved.profile
            other = Setting(profile.host, profile.runtime, profile.threads)
            if other != self.setting:
                raise ValueError(
                    f"saved for {_words(other)}, and this is {_words(self.setting)}: times are measured anew"
                )
        return {saved.profile.model: saved for saved in found}

    def _unread(self, reason: str) -> dict[str, Saved]:
        self._tell("profiles not read", error=reason)
        return {}


def _words(setting: Setting) -> str:
    return f"{setting.host}, {setting.runtime}, threads {setting.threads}"


def _text(saved: list[Saved]) -> str:
    rest = {
        "decode": {s.profile.model: s.decode for s in saved},
        "load_ms": {s.profile.model: s.load_ms for s in saved},
        "sha256": {s.profile.model: s.sha256 for s in saved},
    }
    return f'{{"version": {VERSION},\n"profiles": {dumps(s.profile for s in saved)},\n{json.dumps(rest)[1:]}\n'


def _parsed(content: bytes) -> list[Saved]:
    """The records of `_text`. Raises ValueError for anything else."""
    with _damaged():
        document = json.loads(content)
        version = document["version"]
    if version == _BY_BYTES:
        with _damaged():
            document["decode"] = dict.fromkeys(document["decode"], ())
    elif version != VERSION:
        raise ValueError(f"format version {version!r:.20}, not {VERSION}: times are measured anew")
    with _damaged():
        file = records.read(_File, document)
        known = ((p, file.decode[p.model], file.load_ms[p.model], file.sha256.get(p.model, "")) for p in file.profiles)
        return [_checked(Saved(*each)) for each in known]


@contextlib.contextmanager
def _damaged() -> Iterator[None]:
    """Whatever a broken file leads to, in one line."""
    try:
        yield
    except (TypeError, KeyError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError("damaged: times are measured anew") from error


def _checked(saved: Saved) -> Saved:
    good = 0 <= (saved.load_ms or 0) < _MOST and all(factor.sound for factor in saved.decode)
    if not good or saved.profile.n <= 0 or saved.profile.fault:
        raise ValueError(saved.profile.model)
    return saved
