"""Models asked for by a request's turn and by hand, under a budget of memory; what the workers do is given."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from clock import Clock

from ondevice.cloud.backends.learning import Learned
from ondevice.cloud.backends.local import memory
from ondevice.cloud.backends.local.health import Health
from ondevice.cloud.backends.local.memory import ModelMemory
from ondevice.cloud.backends.local.model import LocalModel
from ondevice.cloud.backends.local.repository import ModelRepository
from ondevice.cloud.backends.states import ModelState
from ondevice.cloud.backends.workers.residents import Residents
from ondevice.errors import ModelError, ModelLoadError, OnDeviceError
from ondevice.timing.recent import Recent
from ondevice.timing.table import LatencyTable

SIZES = {"small": 10, "middle": 40, "large": 60, "other": 40}


class Given:
    """Four models, the smallest the fastest, under this budget; loads take as long and end as the test says."""

    def __init__(self, budget_bytes: int | None) -> None:
        self.events: list[tuple[str, Any]] = []
        self.held: set[str] = set()
        self.loading: asyncio.Future[None] | None = None
        residents = cast(Residents, SimpleNamespace(models=self.held, unload=self.held.discard, load=self._load))
        models, table = {}, LatencyTable(len(SIZES))
        for row, (name, size) in enumerate(SIZES.items()):
            models[name] = LocalModel(row, f"/{name}", size, Learned(name, Recent([1.0 + row] * 20)))
            table.write(row, models[name].known.invoke.distribution)
        self.memory = ModelMemory(models, table, residents, budget_bytes, self._tell)
        self.health = Health(models, Clock(), lambda model: None, self.memory.evict, self._tell)
        self.repository = ModelRepository(self.health, self.memory, self._tell)

    async def _load(self, source: str) -> None:
        if self.loading:
            await self.loading

    def _tell(self, event: str, **fields: Any) -> None:
        self.events.append((event, fields["model"]))


def test_two_who_load_the_same_by_hand_both_have_it() -> None:
    async def play() -> None:
        given = Given(None)
        given.repository.unload("small")
        given.loading = asyncio.get_running_loop().create_future()
        loading = asyncio.gather(*(given.repository.load("small") for _ in range(2)))
        await asyncio.sleep(0)
        given.loading.set_result(None)
        await loading
        assert (given.health.state("small"), given.held) == (ModelState.AVAILABLE, {"/small"})

    asyncio.run(play())


def test_only_what_there_is_room_for_is_held_the_first_first() -> None:
    given = Given(75)
    given.memory.fill(["small", "large", "middle"])
    assert given.held == {"/small", "/large"}
    assert given.memory.fastest == "small"
    assert given.events == []


def test_a_turn_brings_its_model_in_and_pushes_out_another_but_not_the_fastest() -> None:
    given = Given(75)
    given.memory.fill(["small", "large"])
    given.repository.admit("middle")
    assert given.held == {"/small", "/middle"}
    assert given.events == [("unloaded", "large")]


def test_even_the_fastest_goes_where_nothing_else_makes_room_and_what_never_fits_is_an_error() -> None:
    given = Given(60)
    given.memory.fill(["small", "middle"])
    given.repository.admit("large")
    assert given.held == {"/large"}
    with pytest.raises(ModelError, match="large does not fit into the memory budget"):
        Given(50).repository.admit("large")


def test_what_is_wanted_does_not_push_out_what_has_just_come(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(0.0)
    monkeypatch.setattr(memory, "monotonic", clock)
    given = Given(110)
    given.memory.fill(["small", "middle"])
    clock.now_s = 10.0
    given.memory.fill(["other"])
    for model in ("middle", *["large"] * 5):  # the other is wanted least
        given.memory.residency.record_demand(model)
    given.memory.swap(SIZES)
    assert given.held == {"/small", "/large", "/other"}


def test_a_turn_of_a_model_that_is_gone_or_failing_says_so() -> None:
    given = Given(None)
    given.repository.unload("small")
    with pytest.raises(ModelError, match="small was unloaded while a request for it waited"):
        given.repository.admit("small")
    given.health.failed("large", ModelLoadError("no such file", "large"))
    with pytest.raises(ModelError, match="large failed while a request for it waited"):
        given.repository.admit("large")


@pytest.mark.parametrize(
    ("error", "unloaded", "state", "events"),
    [
        (None, False, ModelState.AVAILABLE, [("loaded", "small")]),
        (None, True, ModelState.GONE, [("unloaded", "small")]),
        (ModelLoadError("no such file", "small"), False, ModelState.GONE, [("unloaded", "small")]),
    ],
    ids=["well", "unloaded meanwhile", "in vain"],
)
def test_loading_by_hand_ends(error: OnDeviceError | None, unloaded: bool, state: ModelState, events: Any) -> None:
    async def play() -> None:
        given = Given(None)
        given.repository.unload("small")
        given.loading = asyncio.get_running_loop().create_future()
        loading = asyncio.ensure_future(given.repository.load("small"))
        await asyncio.sleep(0)
        assert (given.health.state("small"), given.held) == (ModelState.LOADING, {"/small"})
        if unloaded:
            given.repository.unload("small")
        given.loading.set_exception(error) if error else given.loading.set_result(None)
        assert (await asyncio.gather(loading, return_exceptions=True)) == [error]
        assert (given.health.state("small"), given.events) == (state, events)
        assert ("/small" in given.held) == (state is ModelState.AVAILABLE)

    asyncio.run(play())
