"""Label lists: what a model's outputs are called."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ondevice import reading, words
from ondevice.errors import CardError, UsageError
from ondevice.models import archive, label_text

_LISTS = Path(__file__).parent / "labels"
_WNID = re.compile(r"n\d{8}")
_WNID_LINE = re.compile(r"(n\d{8})(?:\s*[,:]\s*|\s+)(\S.*)")
_BACKGROUND = "background"
# What a list is from that nobody wrote.
_NUMBERS = "the numbers of its classes"
_IMAGENET_CLASSES = 1000  # of ILSVRC; TensorFlow's own networks have a background class before them
# Lists of ImageNet call some classes otherwise ("crane (bird)"); lists of anything else have no name in its place.
_IMAGENET_ALIKE = _IMAGENET_CLASSES // 2
# The names of label files that lie beside models, the surest first: this project's, Coral's, Teachable Machine's (and
# Custom Vision's and Lobe's), TensorFlow Lite's examples', AutoML's, TensorFlow for Poets', and what people write.
_FOR_THIS_FILE = ("{stem}.labels.txt", "{stem}_labels.txt", "{stem}-labels.txt", "labels_{stem}.txt", "{stem}.txt")
CONVENTIONAL_NAMES = (
    "labels.txt", "labelmap.txt", "label_map.txt", "dict.txt", "label.txt", "retrained_labels.txt", "output_labels.txt",
    "class_labels.txt", "class_names.txt", "classes.txt",
)  # fmt: skip


@dataclass(frozen=True)
class Labels:
    """The names of a model's classes, by index.

    `wnids` holds the WordNet ids of ILSVRC classes in the same order, and is empty for other lists. `notes`: what in
    the source was read otherwise than it stands there, each a line that names the source.
    """

    source: str
    names: tuple[str, ...]
    wnids: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def numbered(self) -> bool:
        """Whether nothing names the classes, and they are called by their numbers."""
        return self.source == _NUMBERS

    @property
    def bundled(self) -> str:
        """The name of the list that comes with ondevice which this is, else empty."""
        path = Path(self.source)
        return path.stem if path.parent == _LISTS else ""

    def indexes_of(self, key: str) -> tuple[int, ...]:
        """The indexes of all classes that have this WordNet id or name; ILSVRC's lists have two cranes."""
        column = self.wnids if self.wnids and _WNID.fullmatch(key) else self.names
        return tuple(index for index, known in enumerate(column) if known == key)

    def index_of(self, key: str) -> int | None:
        """The index of the class given by WordNet id or by name, or None. Raises UsageError where several have it."""
        found = self.indexes_of(key)
        if len(found) > 1:
            raise UsageError(
                f"'{key}' is {len(found)} classes of {self.source} ({' and '.join(map(str, found))}); "
                "give them different names, or tell them apart by WordNet id"
            )
        return found[0] if found else None

    def without_first(self) -> Labels:
        """The list without its first class."""
        return replace(self, names=self.names[1:], wnids=self.wnids[1:])

    def text(self) -> str:
        """A text that `read` reads as this list."""
        pairs = zip(self.wnids, self.names, strict=True)
        lines = tuple(f"{wnid} {name}".strip() for wnid, name in pairs) if self.wnids else self.names
        plain = "".join(f"{line}\n" for line in lines)
        if _reads_as(plain, lines):
            return plain
        return "".join(f"{number} {line}\n" for number, line in enumerate(lines))  # whose own numbers are left out


def _reads_as(text: str, names: tuple[str, ...]) -> bool:
    try:
        return label_text.names(text).names == names
    except ValueError:
        return False


def load(name: str, folder: Path | None = None) -> Labels:
    """Read a label list: `imagenet` or `digits`, or a text file in `folder` with one name a line.

    A line may begin with a WordNet id (`n01440764 tench`); then all lines must, but for a first `background`. Raises
    CardError.
    """
    known = sorted(p.stem for p in _LISTS.glob("*.txt"))
    path = _LISTS / f"{name}.txt" if name in known else (folder or Path()) / name
    try:
        content = reading.whole(path, archive.LARGEST_FILE_BYTES)
    except (OSError, ValueError) as error:
        hint = f"give {', '.join(known)}, or a text file with one name a line"
        raise CardError(f"no label list '{name}': {words.reason(error)}; {hint}", name) from error
    return read(content, str(path))


def read(content: bytes, source: str) -> Labels:
    """Labels from the content of a file, as `label_text` reads it; source: what messages call it. Raises CardError."""
    try:
        text, notes = label_text.decode(content)
        found = label_text.names(text)
    except ValueError as error:
        raise CardError(f"{source}: {error}", source) from error
    return _listed(found.names, source, (*notes, *found.notes))


def parse(lines: Sequence[str], source: str) -> Labels:
    """Labels from lines of text. Raises CardError."""
    return read("\n".join(lines).encode(), source)


def _listed(names: tuple[str, ...], source: str, notes: tuple[str, ...]) -> Labels:
    if len(names) < 2:
        raise CardError(f"{source}: a label list needs at least two lines, one name a line", source)
    said = tuple(f"{source}: {note}" for note in notes)
    first = names[:1] if names[0].lower() == _BACKGROUND else ()  # it has no WordNet id
    rest = names[len(first) :]
    matches = [match for match in map(_WNID_LINE.fullmatch, rest) if match]
    if len(matches) < len(rest):
        return Labels(source, names, (), said)
    wnids, named = zip(*(match.groups() for match in matches), strict=True)
    return Labels(source, first + named, ("",) * len(first) + wnids, said)


def fitted(
    found: Labels, outputs: int, background: bool | None = None, model: str = "the network"
) -> tuple[Labels, bool]:
    """The list for a network of so many outputs, and whether output 0 is a background class, which has no name in it.

    background: whether output 0 is one, where that was said. Unsaid, it is one in ImageNet's 1001 classes alone:
    `background` and then ImageNet's, or a list of ImageNet's 1000; and a list of 1001 leaves its `background` out for a
    network without. model: what messages call it. Raises UsageError where the counts differ.
    """
    surplus = len(found) - outputs
    if surplus == 1 and not background and _has_background(found):
        return found.without_first(), False
    if background is None:
        background = _has_background(found) if surplus == 0 else surplus == -1 and is_imagenet(found)
    check_background(outputs, background, model)
    if background and surplus == 0 and not found.bundled:
        return found.without_first(), True
    if surplus != -int(background):
        raise UsageError(_said_of_counts(found, outputs, background, model))
    return found, background


def check_background(outputs: int, background: bool | None, model: str = "the network") -> None:
    """Raise UsageError where a background class leaves nothing to choose from. model: what messages call it."""
    if background and outputs == 2:
        raise UsageError(f"{model} has two classes: were one background, none could be chosen; leave --background out")


def _has_background(found: Labels) -> bool:
    """Whether its first name is ImageNet's background class, and not one that somebody calls so in a list of theirs."""
    if found.names[0].lower() != _BACKGROUND:
        return False
    return len(found) == _IMAGENET_CLASSES + 1 or bool(found.wnids)


def is_imagenet(found: Labels) -> bool:
    """Whether these are ImageNet's 1000 classes in their order, in this project's words or in others'."""
    if len(found) != _IMAGENET_CLASSES:
        return False
    ours = load("imagenet")
    if found.wnids:
        return found.wnids == ours.wnids
    return sum(map(_alike, found.names, ours.names)) >= _IMAGENET_ALIKE


def _alike(theirs: str, ours: str) -> bool:
    return theirs.partition(",")[0].replace("_", " ").lower() == ours.lower()


def _said_of_counts(found: Labels, outputs: int, background: bool, model: str) -> str:
    counts = f"{model} has {outputs} classes, {found.source} {len(found)} names"
    if background and len(found) == outputs:
        return f"{counts}, and none of these is a background class: leave --background out, or give a list with it"
    if background:
        return f"{counts}; with a background class they must be as many, or {outputs - 1} without its name"
    if len(found) == outputs - 1:
        first = "`background` first, if output 0 is that"
        return f"{counts}; add the one that is missing, in the network's order ({first})"
    if len(found) == outputs + 1 and found.names[0].lower() == _BACKGROUND:
        return f"{counts}; take its first line out if the network has no background class"
    return f"{counts}; give one name a line for each class, in the network's order"


def assumed(outputs: int, background: bool | None = None) -> Labels:
    """What so many outputs are called where nothing says: ImageNet's classes, if they are as many, else numbers.

    background: whether output 0 is a background class, which has no number then, where that was said.
    """
    if outputs in (_IMAGENET_CLASSES, _IMAGENET_CLASSES + 1):
        return load("imagenet")
    return numbers(outputs - bool(background))


def numbers(outputs: int) -> Labels:
    """So many classes, called by their numbers."""
    return Labels(_NUMBERS, tuple(f"class {i}" for i in range(outputs)))


def beside(path: Path) -> Path | None:
    """The label file that lies beside a model, or None; of several the first in this order.

    For `net.tflite`: `net.labels.txt`, `net_labels.txt`, `net-labels.txt`, `labels_net.txt`, `net.txt`; then, for any
    model in the folder, `labels.txt`, `labelmap.txt`, `label_map.txt`, `dict.txt` and the rest of CONVENTIONAL_NAMES.
    """
    own = (name.format(stem=path.stem) for name in _FOR_THIS_FILE)
    candidates = (path.with_name(name) for name in (*own, *CONVENTIONAL_NAMES))
    return next((candidate for candidate in candidates if candidate.is_file()), None)
