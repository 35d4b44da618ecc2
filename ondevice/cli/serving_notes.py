"""What a person is told of what is served: where, by what names, and what to type."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ondevice.cli.console import note
from ondevice.errors import OnDeviceError, UsageError
from ondevice.protocol import cnnselect, paths

if TYPE_CHECKING:
    from ondevice.cloud.http.address import ListenAddress
    from ondevice.cloud.select.rules import Rules
    from ondevice.protocol.served import ServedModel


def say(address: ListenAddress, models: Sequence[ServedModel], rules: Rules) -> None:
    """Where it listens, what it serves, and a line to try."""
    rated = {served.name for served in models if served.top1 is not None}
    names = dict.fromkeys(served.name for served in models)
    for name in names:
        if name not in rated:
            note(f"{name} has no known accuracy: it is served by its name, and never chosen; {_how_to_rate(name)}")
    count = "1 model" if len(names) == 1 else f"{len(names)} models"
    asked_by = f"chosen by {rules.policy}" if rated else "each asked by its name"
    note(f"{count}, {asked_by}; Ctrl-C ends")
    model = cnnselect.NAME if rated else next(iter(names))
    note(
        f"try: curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' '{address.url}{paths.of_model(model)}/infer'"
    )
    print_url(address)


def print_url(address: ListenAddress) -> None:
    """The command's result."""
    try:
        print(address.url, flush=True)
    except OnDeviceError as error:  # it serves all the same, to those who know where it is
        note(f"warning: {error}")


def check_text(name: str) -> None:
    """Raise UsageError for a path that is not text: neither JSON nor a URL can have it."""
    from ondevice import words
    from ondevice.models.card import nameable

    try:
        name.encode()
    except UnicodeEncodeError as error:
        added = words.typed("ondevice", "models", "add", "FILE", "--name", nameable(Path(name).stem))
        raise UsageError(f"{name} cannot be served, for its name is not text: {added} gives it another") from error


def _how_to_rate(name: str) -> str:
    from ondevice import words
    from ondevice.models.card import nameable

    card = nameable(name)
    added = words.typed("ondevice", "models", "add", "FILE", "--name", card, "--top1", "SHARE")
    return f"{added} says it, or {words.typed('ondevice', 'evaluate', card, 'DIR', '--update-card')} once it is added"
