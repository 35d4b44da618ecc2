"""Which class of a model a folder's name, or a word in a table, means."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence

from ondevice.errors import UsageError
from ondevice.models.labels import Labels
from ondevice.words import first_few

_BETWEEN_WORDS = re.compile(r"[\s_.-]+")
# What stands before the name in `00.circle` and `001.Black_footed_Albatross`, and in `n02085620-Chihuahua`.
_NUMBER = re.compile(r"[0-9]+[\s_.-]+")
_WNID = re.compile(r"(n[0-9]{8})[\s_.-]+")
# No list of labels is longer than seven digits, and Python refuses to read thousands of them.
_INDEX = re.compile(r"0*[0-9]{1,7}")


class Classes:
    """A model's classes under the spellings that people use for them.

    By WordNet id or name; without regard to case, and to whether spaces, underscores, hyphens or dots part its words;
    behind a number (`00.circle`) or a WordNet id (`n02085620-Chihuahua`); and by index, unless names of classes are
    numbers that are not their own indexes.
    """

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self._folded: dict[str, list[int]] = defaultdict(list)
        for index, name in enumerate(labels.names):
            self._folded[_fold(name)].append(index)
        self._by_index = all(int(name) == i for i, name in enumerate(labels.names) if _INDEX.fullmatch(name))

    def named(self, word: str) -> tuple[int, ...]:
        """The indexes of all classes that a name or a WordNet id stands for; none for an index."""
        if exact := self.labels.indexes_of(word):
            return exact
        wnid = _WNID.match(word)
        if wnid and self.labels.wnids and (found := self.labels.indexes_of(wnid[1])):
            return found
        folded = self._folded.get(_fold(word))
        if folded is None and (before := _NUMBER.match(word) or wnid):
            folded = self._folded.get(_fold(word[before.end() :]))
        return tuple(folded or ())

    def meant(self, word: str) -> tuple[int, ...]:
        """The indexes of all classes that a name, a WordNet id or an index stands for; empty for none."""
        found = self.named(word)
        if not found and self._by_index and _INDEX.fullmatch(word) and int(word) < len(self.labels):
            return (int(word),)
        return found

    def match(self, words: Iterable[str], what: str, where: str) -> dict[str, int]:
        """The index of the class that each word means, no two words the same. what: they are, such as `folder`.

        Raises UsageError, which begins with `where`, for words that mean none, several, or one class twice.
        """
        meant = {word: self.meant(word) for word in words}
        if unknown := [word for word, found in meant.items() if not found]:
            raise UsageError(f"{where}: {self._unknown(unknown, what)}")
        for word, found in meant.items():
            if len(found) > 1:
                raise UsageError(f"{where}: {self._several(word, found, what)}")
        index_of = {word: found[0] for word, found in meant.items()}
        first: dict[int, str] = {}
        for word, index in index_of.items():
            if first.setdefault(index, word) != word:
                raise UsageError(
                    f"{where}: {what}s '{first[index]}' and '{word}' are both class {index}, "
                    f"'{self.labels.names[index]}': make them one, or name them by index"
                )
        return index_of

    def by_index(self, index_of: dict[str, int]) -> list[str]:
        """Of words that were matched, those that are indexes and not names."""
        return [word for word in index_of if not self.named(word)]

    def _unknown(self, words: Sequence[str], what: str) -> str:
        how = f"by class, or by index (0 to {len(self.labels) - 1})" if self._by_index else "by class"
        whats, name = (what, "names") if len(words) == 1 else (f"{what}s", "name")
        quoted = first_few([f"'{word}'" for word in words])
        if self.labels.numbered:
            return (
                f"{whats} {quoted} {name} no class: those of the network have no names, so give --labels FILE, "
                f"or name {what}s {how.removeprefix('by class, or ')}"
            )
        classes = f"{self.labels.source} ({first_few(self.labels.names)})"
        return f"{whats} {quoted} {name} no class of {classes}; name {what}s {how}"

    def _several(self, word: str, found: Sequence[int], what: str) -> str:
        ways = [("index", [str(i) for i in found])] if self._by_index else []
        ways += [("WordNet id", [self.labels.wnids[i] for i in found])] if self.labels.wnids else []
        said = " or by ".join(f"{way} ({', '.join(keys)})" for way, keys in ways)
        todo = f"name the {what}s by {said}" if said else "give these classes names of their own"
        return f"{what} '{word}' stands for {len(found)} classes of {self.labels.source}: {todo}"


def _fold(name: str) -> str:
    """What is the same for all spellings of a name. Compatible forms too: macOS writes é as two characters."""
    text = unicodedata.normalize("NFKC", name).casefold()
    # Of a name that is nothing but marks, nothing would be left to tell it by.
    return _BETWEEN_WORDS.sub(" ", text).strip() or text
