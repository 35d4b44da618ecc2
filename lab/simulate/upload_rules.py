"""Rules of what is sent of a picture, one picture after the other; some choose the model with it.

::

    auto            whatever is expected to have most answers right and on time, as the client has it
    file            the file as it is
    scaled          that, or as much as the models look at, whichever is expected there sooner, as 0.1.0 has it
    192,40          a rung: side, quality (and ,webp)
    pieslicer       the file, or that prepared on the device, whichever is expected there sooner, in our reading

and, as policies, for they choose the model too: `jellyfish`, in our reading, and `hindsight`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ondevice import words
from ondevice.client.endpoint.description import Result
from ondevice.client.executors.compression_times import CompressionTimes
from ondevice.client.executors.upload_menu import UploadQuestion
from ondevice.client.executors.uploads import Uploads
from ondevice.client.network import NetworkEstimates
from ondevice.client.picture import Picture, Upload
from ondevice.client.upload_choice import UploadChoice, UploadMode
from ondevice.errors import UsageError
from ondevice.lab.simulate.bandwidth import JellyfishBandwidth
from ondevice.lab.simulate.upload_table import FILE, SCALED, UploadTable
from ondevice.protocol.rung import Compression, Rung
from ondevice.selection import policies
from ondevice.selection.ladder import UploadLadder
from ondevice.selection.problem import Models
from ondevice.selection.uploads import Situation, UploadCandidates, expected_top1
from ondevice.timing.arrays import FloatArray

PIESLICER, JELLYFISH, HINDSIGHT = "pieslicer", "jellyfish", "hindsight"
RULES, CHOOSING_BOTH = (*UploadMode, PIESLICER), (JELLYFISH, HINDSIGHT)
# What makes a file one that endpoints read; the rest of it does not matter here.
_JPEG_BEGINS = b"\xff\xd8\xff"
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
    """A picture that is to be sent. sizes_bytes [k]: as each upload, of which a rule may know its file's, and those
    that it has made. total_ms: gives what each upload with each model would take in truth [k, m], which hindsight alone
    asks.
    """

    sizes_bytes: FloatArray
    total_ms: Callable[[], FloatArray]

    @property
    def file_bytes(self) -> float:
        """The size of its file."""
        return float(self.sizes_bytes[-1])


class Decision(NamedTuple):
    """upload: which of the table. making_ms: what making it took. model: None where the endpoint chooses it."""

    upload: int
    making_ms: float
    model: int | None = None


class UploadRule:
    """outlook: what it can go by."""

    def __init__(self, outlook: ClientOutlook) -> None:
        self.outlook, self.table = outlook, outlook.table

    def choose(self, picture: AwaitedPicture) -> Decision | None:
        """What is sent of this one; None: nothing."""
        raise NotImplementedError

    def learn(self, at_ms: float, size_bytes: float, network_ms: float) -> None:
        """The reply to a request of so many bytes, which was so long on the network, would be there at at_ms: also
        where it had been given up before, which the client itself learns otherwise.
        """

    def decided(self, upload: int, model: int | None = None) -> Decision:
        """That, made once."""
        return Decision(upload, float(self.table.making_ms[upload]), model)


class ClientRule(UploadRule):
    """Whatever the client would send, by its own code: it is also the forecast of the endpoint, whose tables it knows.

    mode: as a client takes it.
    """

    def __init__(self, outlook: ClientOutlook, mode: UploadMode | Rung) -> None:
        super().__init__(outlook)
        self.side = max(self.table.sides)
        self.ladder: UploadLadder | None = self.table.ladder
        self.top1 = outlook.models.top1
        self._policy = policies.find(outlook.policy)
        self._compression = CompressionTimes({each: [float(self.table.making_ms[0])] for each in Compression})
        self._uploads = Uploads(outlook.network, _nothing, mode, self._compression)

    def effective_top1(self, uploads: UploadCandidates, situation: Situation) -> FloatArray:
        """See UploadForecast."""
        return expected_top1(self._policy, self.outlook.models, uploads, situation)

    def choose(self, picture: AwaitedPicture) -> Decision:
        """See UploadRule: a picture that turns out to be of another size is made anew."""
        file = Picture(_JPEG_BEGINS + bytes(max(int(picture.file_bytes) - len(_JPEG_BEGINS), 0)))
        question = UploadQuestion(self, file, self.outlook.sla_ms, self.outlook.device_top1)
        choice = self._uploads.choose(question).choice
        upload, making_ms = self._made(choice, picture)
        made = Upload(bytes(int(picture.sizes_bytes[upload])), "", choice.rung, choice.crop, choice.told)
        other = self._uploads.instead(question._replace(within_ms=question.within_ms - making_ms), choice, made)
        if other is None:
            return Decision(upload, making_ms)
        upload, more_ms = self._made(other, picture)
        return Decision(upload, making_ms + more_ms)

    def _made(self, choice: UploadChoice, picture: AwaitedPicture) -> tuple[int, float]:
        """Which of the table, and what making it takes."""
        upload = self.table.rungs.index(choice.rung)
        making_ms = float(self.table.making_ms[upload])
        if choice.rung:
            share = float(picture.sizes_bytes[upload]) / choice.usual_bytes
            self._compression.learn(choice.rung, making_ms, share)
        return upload, making_ms


class PieSlicer(UploadRule):
    """The file, or that prepared on the device: whichever is sooner ready to be inferred.

    Source: Ogden, Kong and Guo, PieSlicer (ICPE 2021), and its code (cake-lab/PieSlicer, `ImageConverter.java`): local
    if f + g' < g, f the preparation on the device, g and g' the transfer of file and prepared picture, each linear in
    the bytes; a file that is smaller than what is usually sent stays as it is. Ours: the lines are what our client
    learns of its own requests, not fitted beforehand to a phone and a network; the prepared picture is what 0.1.0
    sends (theirs: JPEG at quality 90, at least the model's side); what the server saves by it counts nothing here.
    """

    def __init__(self, outlook: ClientOutlook) -> None:
        super().__init__(outlook)
        self._file, self._scaled = outlook.table.row(FILE), outlook.table.row(SCALED)

    def choose(self, picture: AwaitedPicture) -> Decision:
        """See UploadRule."""
        scaled_bytes = float(self.table.size_bytes[self._scaled])
        usual_ms, file_ms = (self.outlook.network.sending_ms(round(b)) for b in (scaled_bytes, picture.file_bytes))
        sooner = float(self.table.making_ms[self._scaled]) + usual_ms < file_ms
        return self.decided(self._scaled if picture.file_bytes >= scaled_bytes and sooner else self._file)


class Jellyfish(UploadRule):
    """The most accurate model whose input's picture and runs fit into the deadline; else the one with the smallest.

    Source: Nigade, Bauszat, Bal and Wang, Jellyfish (RTSS 2022), and its code (vuhpdc/jellyfish,
    `src/server/controller`): latency budget = deadline - bytes / bandwidth - 2 wire, which must be twice the inference
    (99th percentile) at least. Ours: one user with rare pictures, so that neither its mapping of users to models nor
    its frame rates matter; decided for each picture, not each half second; the inference's longest known time. Late
    replies tell it of the network, too, as they do there.
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
        return self.decided(self._uploads[self._model], self._model)

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
        return self.decided(int(upload), int(model))


def find(text: str, outlook: ClientOutlook) -> UploadRule:
    """The rule that `text` names. Raises UsageError."""
    made = {JELLYFISH: Jellyfish, HINDSIGHT: Hindsight, PIESLICER: PieSlicer}
    if text in made:
        return made[text](outlook)
    rung = check(text)
    return ClientRule(outlook, rung or UploadMode(text))


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


async def _nothing(work: Callable[..., Result], /, *arguments: object) -> Result:
    """Nothing is computed beside in a simulation."""
    raise NotImplementedError
