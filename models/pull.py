"""Fetch a model's file from its card's URL, a mirror or a folder: verified and put in place in one step, or not."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ondevice import reading, words
from ondevice.errors import DownloadError, UsageError
from ondevice.models import files
from ondevice.models.card import Card
from ondevice.models.zoo import Entry

# Large enough that Python's work for each piece does not count, small enough that a progress bar moves evenly.
_CHUNK = 1 << 16
# A mobile link that was lost for a moment is back by the third; one that is gone should be said to be.
_TRIES = 3
_TIMEOUT_S = (10.0, 30.0)  # to connect; between two pieces of the body: a server that wakes up may take as long

OnBytes = Callable[[int], None]


class _BrokenOffError(Exception):
    """The transfer ended early; another try may succeed."""


def pull(entry: Entry, source: str | None = None, force: bool = False, on_bytes: OnBytes = lambda n: None) -> bool:
    """Fetch the file of `entry`; False if it is there already and whole.

    source: a folder, or the URL of a mirror, that holds the file under its own name; by default the card's URL.
    on_bytes: told of every piece's length, and of minus what was fetched when a try starts over. Two pulls at once wait
    for each other. Raises DownloadError, and leaves the cache as it was.
    """
    card = entry.card
    try:
        with files.locked(entry.path.with_name(f".{card.file_name}.lock")):
            if not force and entry.present and files.sha256(entry.path) == card.sha256:
                return False
            files.sweep(entry.path.parent, card.file_name)
            _fetch(card, source, entry.path, on_bytes)
    except OSError as error:
        raise _local_error(error, card, entry.path) from error
    return True


def _fetch(card: Card, source: str | None, path: Path, on_bytes: OnBytes) -> None:
    if source is not None and not source.startswith(("http://", "https://")):
        _copy(card, Path(source) / card.file_name, path, on_bytes)
        return
    url = card.source if source is None else f"{source.rstrip('/')}/{card.file_name}"
    for attempt in range(1, _TRIES + 1):
        try:
            with _get(url, card) as pieces:
                _receive(card, pieces, url, path, on_bytes)
            return
        except _BrokenOffError as error:
            if attempt == _TRIES:
                raise DownloadError(
                    f"{url}: {error}, {_TRIES} times; try again later, or use --from FOLDER", url
                ) from error
            time.sleep(0.2 * attempt)


def _copy(card: Card, origin: Path, path: Path, on_bytes: OnBytes) -> None:
    try:
        found = files.expanded(origin)
        if not reading.ends(found):
            raise OSError("it is not a file")
        file = found.open("rb")
    except (OSError, UsageError) as error:
        said = str(error) if isinstance(error, UsageError) else f"{origin}: {words.reason(error)}"
        raise DownloadError(
            f"{said}; --from takes a folder that holds {card.file_name}, or a URL",
            str(origin),
        ) from error
    with file:
        _receive(card, iter(lambda: file.read(_CHUNK), b""), str(origin), path, on_bytes)


@contextlib.contextmanager
def _get(url: str, card: Card) -> Iterator[Iterator[bytes]]:
    """The body of `url` in pieces. Raises _BrokenOffError where another try may help, else DownloadError."""
    import requests

    try:
        with requests.get(url, stream=True, timeout=_TIMEOUT_S) as response:
            if response.status_code >= 500:
                raise _BrokenOffError(f"the server answered {response.status_code}")
            if response.status_code != 200:
                raise DownloadError(
                    f"{url}: the server answered {response.status_code}; check --from, or try a mirror", url
                )
            yield response.iter_content(_CHUNK)
    except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ReadTimeout) as error:
        raise _BrokenOffError("the connection broke off") from error
    except requests.ConnectionError as error:
        if isinstance(error, requests.exceptions.ConnectTimeout) or "Read timed out" not in str(error):
            raise DownloadError(
                f"cannot reach {url}: no network? "
                f"On a machine without internet, fetch {card.file_name} elsewhere and use `--from FOLDER`",
                url,
            ) from error
        raise _BrokenOffError("the connection broke off") from error
    except requests.RequestException as error:
        raise DownloadError(f"{url}: {error}; give --from a folder or an http(s) URL", url) from error


def _receive(card: Card, pieces: Iterator[bytes], origin: str, path: Path, on_bytes: OnBytes) -> None:
    digest, size = hashlib.sha256(), 0
    try:
        with files.replacing(path) as out:
            for piece in pieces:
                size += len(piece)
                on_bytes(len(piece))
                _no_longer(size, card, origin)
                digest.update(piece)
                out.write(piece)
            _verify(card, size, digest.hexdigest(), origin)
    except BaseException:
        on_bytes(-size)
        raise


def _no_longer(size: int, card: Card, origin: str) -> None:
    if size > card.size_bytes:
        raise DownloadError(
            f"{origin}: longer than the {card.size_bytes} bytes its card says; it is not that file", origin
        )


def _verify(card: Card, size: int, checksum: str, origin: str) -> None:
    if size < card.size_bytes and origin.startswith("http"):
        raise _BrokenOffError(f"the connection broke off after {size} of {card.size_bytes} bytes")
    if checksum != card.sha256:
        raise DownloadError(
            f"{origin}: wrong content (sha256 {checksum[:12]}…, its card says {card.sha256[:12]}…); nothing was kept",
            origin,
        )


def _local_error(error: OSError, card: Card, path: Path) -> DownloadError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DownloadError(
            f"{path.parent}: no space left; {card.file_name} needs {card.size_bytes / 1e6:.1f} MB there "
            "(ONDEVICE_HOME moves it)",
            str(path),
        )
    return DownloadError(f"{error.filename or path}: {words.reason(error)} (ONDEVICE_HOME moves it)", str(path))
