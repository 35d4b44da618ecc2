"""What the outputs of a classifier mean."""

from __future__ import annotations

from enum import StrEnum


class Meaning(StrEnum):
    """One score a class; or of two classes, in one output, the second's probability or its logit."""

    SCORES = "scores"
    PROBABILITY = "probability"
    LOGIT = "logit"

    @property
    def of_two(self) -> bool:
        """Whether one output stands for two classes."""
        return self is not Meaning.SCORES

    def classes(self, outputs: int) -> int:
        """How many classes so many outputs stand for."""
        return 2 if self.of_two else outputs
