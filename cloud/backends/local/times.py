"""How long the models on this machine take, as the choice of a model sees it."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic

import numpy as np

from ondevice.cloud.backends.backend import BackendTimes
from ondevice.cloud.backends.local.learner import Learner
from ondevice.cloud.backends.local.store import Setting
from ondevice.cloud.backends.workers.crew import Crew
from ondevice.protocol.picture import PictureHead
from ondevice.timing.arrays import FloatArray
from ondevice.timing.profile import Profile


class LocalTimes(BackendTimes):
    """What `learner` knows under `setting`; sources: of its models, in its order. crew: has some loaded."""

    def __init__(self, learner: Learner, crew: Crew, sources: Sequence[str], setting: Setting) -> None:
        self.table = learner.table
        self._learner, self._crew, self._sources, self._setting = learner, crew, sources, setting
        self._known = {known.model: known for known in learner.models}
        self._nothing = np.zeros(len(sources))

    def work_ms(self, picture: PictureHead | None) -> FloatArray:
        """Decoding such a picture, and loading what is cold, [m]."""
        work_ms: FloatArray = self.loading_ms() + self._learner.decode_ms(picture)
        return work_ms

    @property
    def way_ms(self) -> float:
        """What the way through this process adds."""
        return self._learner.overhead.ms

    def loading_ms(self) -> FloatArray:
        """What loading adds for the models that are cold, [m]."""
        warm = self._crew.warm()
        if warm.issuperset(self._sources):
            return self._nothing
        return self._learner.loading_ms((source not in warm for source in self._sources), monotonic())

    def profile(self, model: str) -> Profile:
        """The model's times here."""
        return self._known[model].profile(*self._setting)
