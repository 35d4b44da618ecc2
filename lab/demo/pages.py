"""The demo's pages, each a single file when it is made: the style that they share is put into them."""

from __future__ import annotations

from importlib import resources

_STYLE_MARK = "/* shared.css */"


def load(name: str) -> str:
    """The text of one of this room's pages, with the shared style in its place."""
    folder = resources.files(__package__)
    page, style = (folder.joinpath(file).read_text(encoding="utf-8") for file in (name, "shared.css"))
    return page.replace(_STYLE_MARK, style.rstrip())
