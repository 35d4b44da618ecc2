"""The OpenAPI document of the service: the file beside this module, and what is only known when it is served."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ondevice._version import __version__
from ondevice.protocol import cnnselect


def document(models: Sequence[str]) -> dict[str, Any]:
    """OpenAPI 3.1, as JSON has it, for the models served now; all but `cnnselect` can be loaded and unloaded."""
    filled: dict[str, Any] = json.loads(_text())
    filled["info"]["version"] = __version__
    parameters = filled["components"]["parameters"]
    parameters["model"]["schema"]["enum"] = list(models)
    parameters["loadable"]["schema"]["enum"] = [model for model in models if model != cnnselect.NAME]
    return filled


@functools.cache
def _text() -> str:
    return Path(__file__).with_name("openapi.json").read_text(encoding="utf-8")
