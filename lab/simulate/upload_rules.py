"""Rules of what is sent of a picture, one picture after the other; some choose the model with it.

::

    auto            whatever is expected to have most answers right and on time, as the client has it
    file            the file as it is
    scaled          that, or as much as the models look at, whichever is expected there 2 ms sooner, as 0.1.0 has it
    192,40          a rung: side, quality (and ,webp)
    pieslicer       the file, or that prepared on the device, whichever is expected there sooner, in our reading

and, as policies, for they choose the model too: `jellyfish`, in our reading, and `hindsight`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ondevice import words
from ondevice.client.network import NetworkEstimates
from ondevice.errors import UsageError
from ondevice.lab.simulate.bandwidth import JellyfishBandwidth
from ondevice.lab.simulate.upload_table import FILE, SCALED, UploadTable
from ondevice.protocol.rung import Rung
from ondevice.selection import policies
from ondevice.selection.problem import Models
from ondevice.selection.uploads import Situation, UploadCandidates, best, expected_top1
from ondevice.timing.arrays import FloatArray
from ondevice.timing.recent import Recent

AUTO, PIESLICER, JELLYFISH, HINDSIGHT = "auto", "pieslicer", "jellyfish", "hindsight"
RULES, CHOOSING_BOTH = (AUTO, SCALED, FILE, PIESLICER), (JELLYFISH, HINDSIGHT)
# By 0.1.0: a scaled picture must be expected so much sooner there.
_SOONER_MS = 2.0
# Jellyfish sends what has the side of the model's input, at this quality, and wants twice the inference's time, for a
# batch may have begun just before (its code).
_JELLYFISH_QUALITY, _JELLYFISH_RUNS = 90, 2.0


class ClientOutlook(NamedTuple):
    """What a rule can go by. network: as the client learned it. rtt_ms: of the link. device_top1: the reserve's."""

    table: UploadTable
    models: Models
    network: NetworkEstimates
    sla_ms: float
    rtt_ms: float
    device_top1: float
    policy: str


class AwaitedPicture(NamedTuple):
    """A picture that is to be sent. file_bytes: its file's. total_ms: gives what each upload with each model would take
    in truth [k, m], which hindsight alone asks.
    """

    file_bytes: float
    total_ms: Callable[[], FloatArray]


class Decision(NamedTuple):
    """upload: which of the table. model: None where the endpoint chooses it."""

    upload: int
    model: int | None = None


class UploadRule:
    """outlook: what it can go by."""

    def __init__(self, outlook: ClientOutlook) -> None:
        self.outlook, self.table = outlook, outlook.table

    def choose(self, picture: AwaitedPicture) -> Decision | None:
        """What is sent of this one; None: nothing."""
        raise NotImplementedError

    def made(self, upload: int, size_bytes: float) -> None:
        """An upload of so many bytes was made."""

    def learn(self, at_ms: float, size_bytes: float, network_ms: float) -> None:
        """A request of so many bytes, answered or given up at at_ms, has been so long on the network."""

    def _expected_ms(self, upload: int, size_bytes: float) -> float:
        """What making it and getting it there is expected to take."""
        return float(self.table.making_ms[upload]) + self.outlook.network.sending_ms(round(size_bytes))


class Fixed(UploadRule):
    """Always the same."""

    def __init__(self, outlook: ClientOutlook, text: str) -> None:
        super().__init__(outlook)
        self._decision = Decision(self.table.row(text))

    def choose(self, picture: AwaitedPicture) -> Decision:
        """See UploadRule."""
        return self._decision


class Sooner(UploadRule):
    """The file, or that as much smaller as models look at, where it is expected by_ms sooner there."""

    def __init__(self, outlook: ClientOutlook, by_ms: float) -> None:
        super().__init__(outlook)
        self._by_ms = by_ms
        self._file, self._scaled = outlook.table.row(FILE), outlook.table.row(SCALED)

    def choose(self, picture: AwaitedPicture) -> Decision:
        """See UploadRule."""
        scaled_bytes = float(self.table.size_bytes[self._scaled])
        file_ms = self._expected_ms(self._file, picture.file_bytes)
        sooner = self._expected_ms(self._scaled, scaled_bytes) + self._by_ms < file_ms
        return Decision(self._scaled if sooner else self._file)


class Joint(UploadRule):
    """The upload with the greatest effective accuracy to expect, the endpoint choosing the model by its policy."""

    def __init__(self, outlook: ClientOutlook) -> None:
        super().__init__(outlook)
        # As the client has them: the ladder's rungs, and the file.
        self._rows = np.append(np.arange(self.table.in_ladder), len(self.table) - 1)
        self._kept, self._making_ms = self.table.kept[self._rows], self.table.making_ms[self._rows, None]
        self._policy = policies.find(outlook.policy)
        self._share = Recent([1.0])  # how large pictures are, as a share of the usual sizes

    def choose(self, picture: AwaitedPicture) -> Decision:
        """See UploadRule."""
        outlook, network = self.outlook, self.outlook.network
        size_bytes = self.table.size_bytes[self._rows] * self._share.distribution.mean_ms
        size_bytes[-1] = picture.file_bytes
        candidates = UploadCandidates(size_bytes, network.points_ms(size_bytes) + self._making_ms, self._kept)
        situation = Situation(outlook.sla_ms, network.fixed_ms(), outlook.device_top1)
        expected = expected_top1(self._policy, outlook.models, candidates, situation)
        return Decision(int(self._rows[best(candidates, expected)]))

    def made(self, upload: int, size_bytes: float) -> None:
        """See UploadRule."""
        if self.table.rungs[upload]:
            self._share.add(size_bytes / float(self.table.size_bytes[upload]))


class PieSlicer(Sooner):
    """The file, or that prepared on the device: whichever is sooner ready to be inferred.

    Source: Ogden, Kong and Guo, PieSlicer (ICPE 2021), and its code (cake-lab/PieSlicer, `ImageConverter.java`): local
    if f + g' < g, f the preparation on the device, g and g' the transfer of file and prepared picture, each linear in
    the bytes; a file that is smaller than what is usually sent stays as it is. Ours: the lines are what our client
    learns of its own requests, not fitted beforehand to a phone and a network; the prepared picture is what 0.1.0
    sends (theirs: JPEG at quality 90, at least the model's side); what the server saves by it counts nothing here.
    """

    def __init__(self, outlook: ClientOutlook) -> None:
        super().__init__(outlook, 0.0)

    def choose(self, picture: AwaitedPicture) -> Decision:
        """See UploadRule."""
        if picture.file_bytes < self.table.size_bytes[self._scaled]:
            return Decision(self._file)
        return super().choose(picture)


class Jellyfish(UploadRule):
    """The most accurate model whose input's picture and runs fit into the deadline; else the one with the smallest.

    Source: Nigade, Bauszat, Bal and Wang, Jellyfish (RTSS 2022), and its code (vuhpdc/jellyfish,
    `src/server/controller`): latency budget = deadline - bytes / bandwidth - 2 wire, which must be twice the inference
    (99th percentile) at least. Ours: one user with rare pictures, so that neither its mapping of users to models nor
    its frame rates matter; decided for each picture, not each half second; the inference's longest known time; a
    request that is given up tells its bandwidth the time that it had.
    """

    def __init__(self, outlook: ClientOutlook) -> None:
        super().__init__(outlook)
        self._bandwidth = JellyfishBandwidth(outlook.rtt_ms / 2)
        self._uploads = [self.table.rungs.index(Rung(side, _JELLYFISH_QUALITY)) for side in self.table.sides]
        self._order = np.lexsort((outlook.models.mean_ms, -outlook.models.top1)).tolist()
        self._model = 0

    def choose(self, picture: AwaitedPicture) -> Decision:
        """See UploadRule."""
        fitting = [model for model in self._order if self._fits(model)]
        smallest = min(self._order, key=lambda model: float(self.table.size_bytes[self._uploads[model]]))
        self._model = fitting[0] if fitting else smallest
        return Decision(self._uploads[self._model], self._model)

    def learn(self, at_ms: float, size_bytes: float, network_ms: float) -> None:
        """See UploadRule."""
        self._bandwidth.learn(at_ms, size_bytes, network_ms, self._model)

    def _fits(self, model: int) -> bool:
        upload, longest_ms = self._uploads[model], float(self.outlook.models.quantiles_ms[model, -1])
        network_ms = self._bandwidth.network_ms(self.table.size_bytes[upload] + self.table.head_bytes)
        budget_ms = self.outlook.sla_ms - network_ms - self.table.making_ms[upload]
        return bool(budget_ms >= _JELLYFISH_RUNS * longest_ms)


class Hindsight(UploadRule):
    """Clairvoyant: the pair of upload and model with the greatest accuracy that will be on time, the smallest of such.

    Nothing is sent where none will be, or none is better than the device's answer. What each sends is really sent, so
    that the next finds the link so; a request is not given up for another one's sake: with requests that overlap it is
    the best for each in its turn, not for all.
    """

    def choose(self, picture: AwaitedPicture) -> Decision | None:
        """See UploadRule."""
        top1 = self.outlook.models.top1 * self.table.kept
        worth = np.where(picture.total_ms() <= self.outlook.sla_ms, top1, 0.0)
        if worth.max() <= self.outlook.device_top1:
            return None
        upload, model = np.unravel_index(int(worth.argmax()), worth.shape)
        return Decision(int(upload), int(model))


def find(text: str, outlook: ClientOutlook) -> UploadRule:
    """The rule that `text` names. Raises UsageError."""
    made: dict[str, Callable[[ClientOutlook], UploadRule]] = {
        JELLYFISH: Jellyfish,
        HINDSIGHT: Hindsight,
        PIESLICER: PieSlicer,
        AUTO: Joint,
        SCALED: lambda given: Sooner(given, _SOONER_MS),
    }
    return made[text](outlook) if text in made else Fixed(outlook, text)


def check(text: str) -> Rung | None:
    """The rung that `text` is, or None for a rule's name. Raises UsageError for neither."""
    if text in RULES:
        return None
    try:
        return Rung.parse(text)
    except UsageError:
        if not text[:1].isdigit():
            words.known(text, RULES, "upload")
        raise
