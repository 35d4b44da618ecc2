"""What a store of learned times is given to save in its tests."""

from __future__ import annotations

from pathlib import Path

from ondevice.cloud.backends.learning import Learned
from ondevice.cloud.backends.local.store import Saved, Setting
from ondevice.protocol.picture import PictureFormat, PictureHead
from ondevice.timing.recent import Recent

PHOTO = PictureHead(PictureFormat.JPEG, 500, 375, 110_000)
SETTING = Setting("Cortex-A76", "litert 2.3.0", 2)


def known(model: str = "m", load_ms: float | None = 30.0) -> Learned:
    found = Learned(model, Recent(float(ms) for ms in range(1, 101)), load_ms=load_ms)
    found.decode.add(PHOTO, 9.0)
    return found


def snapshot(*models: str) -> list[Saved]:
    return [Saved.of(known(model), SETTING) for model in models]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
