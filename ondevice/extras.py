"""The optional parts: what each requires, from this package's own metadata, and whether it is installed."""

from __future__ import annotations

import re
from importlib import metadata

from ondevice.errors import MissingError

DISTRIBUTION = "ondevice-cnn"
_REQUIREMENT = re.compile(r"""(?P<name>[A-Za-z0-9._-]+)(?P<versions>[^;]*);.*extra == ["'](?P<extra>[^"']+)["']""")


def requirements() -> dict[str, list[str]]:
    """For each extra its requirements, as pip takes them. Empty where the package is not installed."""
    found: dict[str, list[str]] = {}
    try:
        lines = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return found
    for line in lines:
        if match := _REQUIREMENT.match(line):
            found.setdefault(match["extra"], []).append(match["name"] + match["versions"].strip())
    return found


def missing(extra: str, *needed: str) -> list[str]:
    """The requirements of `extra` whose distributions are not installed; of those that are needed, if any are named."""
    found = {requirement: re.split(r"[<>=!~ \[]", requirement)[0] for requirement in requirements().get(extra, [])}
    wanted = {requirement: name for requirement, name in found.items() if not needed or name in needed}
    return [requirement for requirement, name in wanted.items() if not _installed(name)]


def how_to_install(extra: str, *needed: str) -> str:
    """The pip command that installs what `extra` lacks, or of it what is needed."""
    return "pip install " + " ".join(f"'{r}'" for r in missing(extra, *needed))


def require(extra: str, purpose: str, *needed: str) -> None:
    """Raise MissingError, with the command that mends it, where what is needed of `extra` is not installed.

    needed: distributions that it requires; all where none is named.
    """
    if missing(extra, *needed):
        raise MissingError(f"{purpose} needs more packages: run `{how_to_install(extra, *needed)}`", extra)


def _installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True
