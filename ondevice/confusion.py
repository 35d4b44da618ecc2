"""What pictures are taken for: how often each class is right, and which classes are confused with each other."""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from ondevice.models.labels import Labels

# As many names as can be read beside a picture that fits on a page.
MOST_SHOWN = 30


class Matrix(NamedTuple):
    """A confusion matrix, a row and a column for each of some classes, by their indexes in the label list.

    names: of the classes. counts: [true class, class answered]. others: for each row, answers of other classes.
    """

    classes: tuple[int, ...]
    names: tuple[str, ...]
    counts: list[list[int]]
    others: list[int]

    @property
    def is_whole(self) -> bool:
        """Whether the rows hold all answers."""
        return not any(self.others)

    def csv(self) -> str:
        """Text with a heading; index and class stand before the counts."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["index", "class", *self.names])
        writer.writerows([i, name, *row] for i, name, row in zip(self.classes, self.names, self.counts, strict=True))
        return out.getvalue()

    def rows(self) -> list[dict[str, Any]]:
        """Rows for a table, whose columns are headed by index to be narrow; no number where none was answered."""
        return [
            {"index": i, "class": name}
            | {str(column): count or None for column, count in zip(self.classes, row, strict=True)}
            | ({} if self.is_whole else {"others": others or None})
            for i, name, row, others in zip(self.classes, self.names, self.counts, self.others, strict=True)
        ]


@dataclass(frozen=True)
class Confusion:
    """What was answered of pictures of each class. counts: by (true class, class answered)."""

    labels: Labels
    counts: Mapping[tuple[int, int], int]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The classes' names, with the index behind those that several classes have."""
        names = self.labels.names
        uses = Counter(names)
        return tuple(f"{name} ({i})" if uses[name] > 1 else name for i, name in enumerate(names))

    @cached_property
    def _answers(self) -> dict[int, Counter[int]]:
        """By true class, what was answered how often."""
        answers: dict[int, Counter[int]] = defaultdict(Counter)
        for (truth, answered), count in sorted(self.counts.items()):
            answers[truth][answered] = count
        return answers

    def per_class(self) -> list[dict[str, Any]]:
        """A row for each class that there are pictures of, by index: how many are right, and what others are taken for.

        confused_with: what most of the others are taken for, and how often.
        """
        return [self._figures(truth, found) for truth, found in self._answers.items()]

    def _figures(self, truth: int, answers: Counter[int]) -> dict[str, Any]:
        n, right = answers.total(), answers[truth]
        wrong = [(count, answered) for answered, count in answers.items() if answered != truth]
        # Of several that are as frequent, the one that stands first in the list.
        times, answered = max(wrong, key=lambda each: each[0], default=(None, None))
        return {
            "index": truth, "class": self.names[truth], "n": n, "right": right, "top1": right / n,
            "confused_with": None if answered is None else self.names[answered], "times": times,
        }  # fmt: skip

    def answers(self) -> list[dict[str, Any]]:
        """A row for each class that there are pictures of, with the count of every class that was answered."""
        return [
            {"index": i, "class": self.names[i], "answers": {self.names[j]: n for j, n in found.items()}}
            for i, found in self._answers.items()
        ]

    def matrix(self, most: int | None = None) -> Matrix:
        """The classes that pictures are of, or were taken for; of more than `most`, the most confused ones."""
        classes = sorted({index for pair in self.counts for index in pair})
        if most is not None and len(classes) > most:
            classes = self._most_confused(most) or classes[:most]
        place = {index: i for i, index in enumerate(classes)}
        counts = [[0] * len(classes) for _ in classes]
        others = [0] * len(classes)
        for (truth, answered), count in self.counts.items():
            if truth in place and answered in place:
                counts[place[truth]][place[answered]] += count
            elif truth in place:
                others[place[truth]] += count
        return Matrix(tuple(classes), tuple(self.names[i] for i in classes), counts, others)

    def _most_confused(self, most: int) -> list[int]:
        """Classes that are confused with each other, as many confusions as `most` of them can hold; none if none is.

        Found greedily: ever the class, or the pair, that adds most for each row that it takes.
        """
        between: dict[int, Counter[int]] = defaultdict(Counter)
        for (truth, answered), count in sorted(self.counts.items()):
            if truth != answered:
                between[truth][answered] += count
                between[answered][truth] += count
        # Of those that add as much, the one that is confused with more: others can follow.
        all_of = {index: found.total() for index, found in between.items()}
        pairs = [
            (count, all_of[i] + all_of[j], i, j) for i, found in between.items() for j, count in found.items() if i < j
        ]
        pairs.sort(key=lambda pair: pair[:2], reverse=True)
        chosen: set[int] = set()
        gain: Counter[int] = Counter()
        while len(chosen) < most:
            pairs = [pair for pair in pairs if not chosen & {*pair[2:]}]
            joined = max(gain, key=lambda index: (gain[index], all_of[index]), default=None)
            if pairs and len(chosen) + 2 <= most and (joined is None or pairs[0][0] > 2 * gain[joined]):
                added = {*pairs[0][2:]}
            elif joined is not None:
                added = {joined}
            else:
                break
            chosen |= added
            for index in added:
                gain.update(between[index])
            gain = Counter({index: count for index, count in gain.items() if index not in chosen})
        return sorted(chosen)
