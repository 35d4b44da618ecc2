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


def missing(extra: str) -> list[str]:
    """The requirements of `extra` whose distributions are not installed."""
    return [r for r in requirements().get(extra, []) if not _installed(re.split(r"[<>=!~ \[]", r)[0])]


def how_to_install(extra: str) -> str:
    """The pip command that installs what `extra` lacks."""
    return "pip install " + " ".join(f"'{r}'" for r in missing(extra))


def require(extra: str, purpose: str) -> None:
    """Raise MissingError, with the command that mends it, where something that `extra` requires is not installed."""
    if missing(extra):
        raise MissingError(f"{purpose} needs more packages: run `{how_to_install(extra)}`", extra)


def _installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True
