"""The flags of simulated uploads, and what does not go with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from ondevice.errors import UsageError

if TYPE_CHECKING:
    from ondevice.lab.simulate.grid import UploadPlan
    from ondevice.lab.simulate.modelset import ModelSet
    from ondevice.lab.simulate.upload_table import UploadConditions

Texts = list[str] | None


@dataclass(frozen=True)
class SimulatedUploadFlags:
    """What is sent of pictures, over one device's link."""

    upload: Annotated[
        Texts,
        typer.Option(
            "--upload",
            help="On traces: one device's requests over one link, and what it sends: auto (chosen with the model, as "
            "the client has it), scaled (as 0.1.0), file, SIDE,QUALITY such as 192,40 or 192,40,webp, pieslicer (our "
            "reading). May be given several times. "
            "Policies may then be hindsight, which knows all times, and jellyfish (our reading): they choose it too.",
            show_default="all pictures of --bytes, each alone",
        ),
    ] = None
    spare: Annotated[
        bool,
        typer.Option(
            "--spare/--no-spare",
            help="With --upload, a spare connection is open; without, a request that is given up costs the next one "
            "a handshake.",
        ),
    ] = True
    making: Annotated[
        float | None,
        typer.Option(
            "--making-ms", min=0, max=1e6, help="With --upload, what scaling takes on the device.", show_default="8"
        ),
    ] = None

    def plan(self, sets: Sequence[ModelSet], file_bytes: int) -> UploadPlan | None:
        """The rules, and what may be sent. file_bytes: of pictures' files. Raises UsageError."""
        from ondevice.lab.simulate.grid import UploadPlan
        from ondevice.lab.simulate.upload_table import PictureSettings

        if self.upload is None:
            if self.making is not None or not self.spare:
                raise UsageError("--making-ms and --no-spare are about uploads: give --upload too")
            return None
        settings = PictureSettings(file_bytes=file_bytes)
        if self.making is not None:
            settings = settings._replace(making_ms=self.making)
        return UploadPlan.of(list(dict.fromkeys(self.upload)), sets, settings)

    def conditions(self) -> UploadConditions:
        """What is beside."""
        from ondevice.lab.simulate.upload_table import UploadConditions

        return UploadConditions(warm=self.spare)

    def check(self, policies: Sequence[str], queued: bool, learned: bool) -> None:
        """Raise UsageError for what does not go together. queued: whether the queue or its workers were spoken of;
        learned: whether --knows is what it is without being given.
        """
        from ondevice.lab.simulate.upload_rules import CHOOSING_BOTH

        both = [policy for policy in policies if policy in CHOOSING_BOTH]
        if self.upload is None and both:
            raise UsageError(f"--policy {both[0]} chooses what is sent too: give --upload, such as --upload scaled")
        if self.upload is not None and queued:
            raise UsageError("--upload is of one device, for which the server is idle: leave --queue and --workers out")
        if self.upload is not None and not learned:
            raise UsageError("--upload: the network is learned by the client's own code: leave --knows out")
