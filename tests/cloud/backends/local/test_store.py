"""Saved times: at most a second old, and a damaged or foreign file costs nothing but a note."""

from __future__ import annotations

import asyncio
import json
import os
import random
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from events import Events
from saved_times import PHOTO, SETTING, known, names, snapshot

from ondevice.cloud.backends.decoding import DecodeTimes
from ondevice.cloud.backends.learning import Learned
from ondevice.cloud.backends.local.store import Saved, Setting, Store, default_path
from ondevice.models import files
from ondevice.timing.recent import Recent

# There and back


def taken_up(saved: Saved) -> Learned:
    profile = saved.profile
    times = Recent.seeded(profile.distribution, profile.n)
    return Learned(profile.model, times, decoding(saved), saved.load_ms)


def decoding(saved: Saved) -> DecodeTimes:
    decode = DecodeTimes((224, 224))
    decode.take(saved.decode)
    return decode


def test_what_was_saved_is_loaded(store: Store, notes: Events) -> None:
    before = [Saved.of(known("a"), SETTING), Saved.of(known("b", load_ms=None), SETTING)]
    store.save(before)
    after = store.load()
    assert list(after) == ["a", "b"]
    for saved in before:
        again = after[saved.profile.model]
        assert again.profile.mean_ms == pytest.approx(saved.profile.mean_ms, abs=1e-6)
        assert again.profile.quantiles_ms == pytest.approx(saved.profile.quantiles_ms, abs=1e-6)
        assert (again.profile.n, again.load_ms) == (100, saved.load_ms)
        assert again.decode == saved.decode
    assert notes == []


def test_learning_goes_on_from_what_was_saved(store: Store) -> None:
    before = known()
    store.save([Saved.of(before, SETTING)])
    saved = store.load()["m"]
    after = taken_up(saved)
    assert after.invoke.distribution.mean_ms == pytest.approx(before.invoke.distribution.mean_ms, rel=0.03)
    assert after.decode.expect(PHOTO) == pytest.approx(before.decode.expect(PHOTO))
    assert (after.invoke.count, after.load_ms) == (100, 30.0)


def test_a_snapshot_does_not_change(store: Store) -> None:
    learned = known()
    saved = Saved.of(learned, SETTING)
    learned.invoke.add(1e6)
    learned.loaded(1e6, 0.0)
    learned.decode.add(PHOTO, 1e6)
    assert saved == Saved.of(known(), SETTING)


def test_nothing_was_saved(store: Store, notes: Events) -> None:
    assert store.load() == {}
    assert notes == [], "a first start is not a fault"


def test_no_models(store: Store, notes: Events) -> None:
    store.save([])
    assert store.load() == {}
    assert notes == []


def test_the_newest_replaces_the_old(store: Store) -> None:
    for models in (["a", "b"], ["c"]):
        store.save(snapshot(*models))
    assert list(store.load()) == ["c"]
    assert names(store.path.parent) == ["p.json"]


def test_the_file_is_plain_json_with_a_version(store: Store) -> None:
    store.save(snapshot("a"))
    document = json.loads(store.path.read_text())
    assert document["version"] == 2
    assert [row["model"] for row in document["profiles"]] == ["a"]


def test_odd_names(store: Store) -> None:
    odd = ['"', "}", "\n", "ä", "\ud800", ""]
    store.save(snapshot(*odd))
    assert list(store.load()) == odd


# What is not read


def refused(store: Store, notes: Events) -> str:
    """The reason, told in one line with the file's name; the next save heals."""
    notes.clear()
    assert store.load() == {}
    ((event, fields),) = notes
    assert event == "profiles not read"
    reason = str(fields["error"])
    assert reason.startswith(str(store.path))
    assert "\n" not in reason
    return reason


def test_half_a_file(store: Store, notes: Events) -> None:
    store.save(snapshot("a", "b"))
    whole = store.path.read_bytes().rstrip()
    for length in range(0, len(whole), 7):
        store.path.write_bytes(whole[:length])
        assert "damaged" in refused(store, notes)
    store.save(snapshot("a"))
    assert list(store.load()) == ["a"]


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe", b"null", b"[]", b"5", b'"version"', b"{}", b'{"version": 1}', b"[" * 100_000, b"9" * 10_000,
     b'{"version": 1, "profiles": 3}', b'{"version": 1, "profiles": [{}], "decode": {}, "load_ms": {}}', bytes(100)],
)  # fmt: skip
def test_a_file_of_another_kind(content: bytes, store: Store, notes: Events) -> None:
    store.path.parent.mkdir()
    store.path.write_bytes(content)
    assert "damaged" in refused(store, notes)


def set_profile(key: str, value: Any) -> Callable[[Any], None]:
    return lambda document: document["profiles"][0].__setitem__(key, value)


def set_rest(key: str, value: Any) -> Callable[[Any], None]:
    return lambda document: document[key].__setitem__("a", value)


@pytest.mark.parametrize(
    "spoil",
    [
        *(set_profile("mean_ms", value) for value in ("1", None, -1, float("nan"), float("inf"), 1e300, 10**400, [])),
        *(set_profile("std_ms", value) for value in ("1", None, -1)),
        *(set_profile("n", value) for value in (0, -1, "1", None)),
        *(set_profile("quantiles_ms", value) for value in ([], [1.0], [1.0] * 20, [2.0] + [1.0] * 20, ["1"] * 21, 5)),
        *(set_profile("model", value) for value in (None, [], {}, "another")),
        *(set_rest("decode", value) for value in (5, [[]], [["jpeg", 0, 1.0, 1]], ["ab"])),
        *(set_rest("decode", [["jpeg", 18, value, 1]]) for value in (0.0, -1.0, 1e300, "1", None)),
        *(set_rest("load_ms", value) for value in (-1, "1", float("nan"), [])),
        lambda document: document.pop("decode"),
        lambda document: document["load_ms"].clear(),
        lambda document: document["profiles"][0].pop("n"),
        lambda document: document["profiles"][0].update(surplus=1),
    ],
)
def test_one_wrong_value(spoil: Callable[[Any], None], store: Store, notes: Events) -> None:
    store.save(snapshot("a"))
    document = json.loads(store.path.read_text())
    spoil(document)
    store.path.write_text(json.dumps(document))
    assert "damaged" in refused(store, notes)


def test_mutated_bytes_are_read_or_refused(store: Store, notes: Events) -> None:
    store.save(snapshot("a"))
    whole, chance = store.path.read_bytes(), random.Random(0)
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            content[chance.randrange(len(content))] = chance.choice(b'0123456789eE.-+[]{}",: \x00\xff')
        store.path.write_bytes(content)
        for saved in store.load().values():
            after = taken_up(saved)
            after.invoke.add(1.0)
            assert after.invoke.distribution.mean_ms >= 0
            assert after.decode.expect(PHOTO) >= 0


def test_a_file_of_0_1_0_gives_all_but_decoding_which_it_had_by_bytes(store: Store, notes: Events) -> None:
    store.save(snapshot("a"))
    document = json.loads(store.path.read_text())
    document.update(version=1, decode={"a": [[2000.0, 1.1], [300_000.0, 9.0]]})
    store.path.write_text(json.dumps(document))
    saved = store.load()["a"]
    assert (saved.profile.n, saved.load_ms, saved.decode) == (100, 30.0, ())
    assert notes == []


@pytest.mark.parametrize("version", [3, 0, "1", None, "x" * 1000])
def test_another_version(version: Any, store: Store, notes: Events) -> None:
    store.path.parent.mkdir()
    store.path.write_text(json.dumps({"version": version}))
    reason = refused(store, notes)
    assert "format version" in reason
    assert len(reason) < 100 + len(str(store.path))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (SETTING._replace(host="Xeon"), "saved for Cortex-A76, litert 2.3.0, threads 2, and this is Xeon,"),
        (SETTING._replace(runtime="litert 3"), "and this is Cortex-A76, litert 3,"),
        (SETTING._replace(threads=4), "threads 4: "),
    ],
)
def test_times_of_another_setting(other: Setting, said: str, store: Store, notes: Events) -> None:
    store.save(snapshot("a"))
    assert said in refused(Store(store.path, other, notes), notes)


def test_what_cannot_be_read(store: Store, notes: Events) -> None:
    store.path.mkdir(parents=True)
    assert "directory" in refused(store, notes)


# What cannot be written


def test_a_failure_is_told_once_until_it_is_mended(store: Store, notes: Events) -> None:
    folder = store.path.parent
    for _ in range(2):
        folder.write_text("in the way")
        for _ in range(3):
            store.save(snapshot("a"))
        folder.unlink()
        store.save(snapshot("a"))
        assert list(store.load()) == ["a"]
        store.path.unlink()
        folder.rmdir()
    assert notes.names == ["profiles not saved"] * 2
    assert all(str(folder) in fields["error"] for _, fields in notes)


def test_a_failing_last_step_leaves_no_other_file(store: Store, notes: Events) -> None:
    (store.path / "in the way").mkdir(parents=True)
    store.save(snapshot("a"))
    assert names(store.path.parent) == ["p.json"]
    assert len(notes) == 1


def test_a_folder_that_may_not_be_written_to(store: Store, notes: Events) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    store.path.parent.mkdir(mode=0o555)
    store.save(snapshot("a"))
    assert "permission denied" in notes[0][1]["error"]


# When


def test_due_within_a_second_of_the_first_change(store: Store) -> None:
    assert not store.due(1e9), "nothing has changed"
    asked = []
    for tick in range(9):
        store.changed(100 + tick / 8)  # later changes do not put it off
        asked.append(store.due(100 + tick / 8))
    assert asked.index(True) == 6


def test_due_once_a_change(store: Store) -> None:
    store.changed(100.0)
    assert not store.due(100.5)
    assert store.due(100.75)
    assert not store.due(200.0)
    store.changed(200.0)
    assert not store.due(200.25)
    assert store.due(200.75)


def test_asked_every_quarter_second_no_change_waits_a_second(store: Store) -> None:
    chance, unsaved, oldest = random.Random(1), None, 0.0
    for step in range(20_000):
        now = step / 100
        if chance.random() < 0.05:
            store.changed(now)
            unsaved = now if unsaved is None else unsaved
        if step % 25 == 0 and store.due(now):
            assert unsaved is not None
            oldest, unsaved = max(oldest, now - unsaved), None
    assert 0 < oldest < 1


def test_a_disk_that_takes_its_time_is_asked_once_at_a_time_and_holds_up_nobody(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go, began, save = threading.Event(), [], store.save

    def slow(saved: Iterable[Saved]) -> None:
        began.append(1)
        assert let_go.wait(30)
        save(saved)

    async def play() -> None:
        monkeypatch.setattr(store, "save", slow)
        for now in range(0, 20, 2):  # each is time to save again
            store.changed(now)
            store.save_if_due(now + 1, lambda: snapshot("a"))
        let_go.set()
        await drained(store)
        assert len(began) == 1
        store.save_if_due(21, lambda: snapshot("b"))
        await drained(store)

    asyncio.run(play())
    assert list(store.load()) == ["b"], "what changed meanwhile was saved after it"


async def drained(store: Store) -> None:
    assert store._saving is not None
    await asyncio.wait([store._saving])


def test_an_error_in_the_thread_is_told(store: Store, notes: Events, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        store.changed(0)
        store.save_if_due(1, lambda: [None])  # type: ignore[list-item]
        await drained(store)
        await asyncio.sleep(0)

    asyncio.run(play())
    ((event, fields),) = notes
    assert event == "profiles not saved"
    assert "AttributeError" in fields["error"]


# Where


def test_the_default_path_is_in_the_cache_and_one_for_each_setting(home: Path) -> None:
    others = [SETTING, SETTING._replace(host="Xeon"), SETTING._replace(runtime="x"), SETTING._replace(threads=1)]
    paths = {default_path(setting) for setting in others}
    assert len(paths) == 4
    assert {path.parent for path in paths} == {files.cache_dir() / "profiles"}
    assert home in next(iter(paths)).parents
    assert default_path(SETTING) == default_path(Setting(*SETTING))


@pytest.mark.parametrize("odd", ["../../up", "a/b", "nul\0", "Intel(R) Xeon(R) @ 2.1GHz", "", "ä" * 50])
def test_odd_settings_make_good_paths(odd: str, notes: Events) -> None:
    setting = Setting(odd, odd, 1)
    path = default_path(setting)
    assert path.parent == files.cache_dir() / "profiles"
    Store(path, setting, notes).save([Saved.of(known("m"), setting)])
    assert list(Store(path, setting, notes).load()) == ["m"]
    assert notes == []


# With others that serve the same


class Board(dict[str, str]):
    """Peers that know at once what one of them tells."""

    def known(self, key: str) -> str | None:
        return self.get(key)

    def tell(self, key: str, text: str) -> None:
        self[key] = text


def test_what_one_has_learned_another_begins_with(tmp_path: Path, notes: Events) -> None:
    board = Board()
    Store(tmp_path / "one.json", SETTING, notes, board).save([Saved.of(known("a"), SETTING)])
    found = Store(tmp_path / "two.json", SETTING, notes, board).load()
    assert [(name, saved.profile.n) for name, saved in found.items()] == [("a", 100)]
    other = SETTING._replace(threads=SETTING.threads + 1)
    assert Store(tmp_path / "two.json", other, notes, board).load() == {}, "of another kind of machine"
    assert notes == []


def test_what_peers_know_is_newer_than_the_file(tmp_path: Path, notes: Events) -> None:
    board, path = Board(), tmp_path / "p.json"
    before, after = (Saved.of(known(name, load_ms=ms), SETTING) for name, ms in (("a", 1.0), ("a", 2.0)))
    alone = Saved.of(known("b"), SETTING)
    Store(path, SETTING, notes).save([before, alone])
    Store(tmp_path / "elsewhere.json", SETTING, notes, board).save([after])
    found = Store(path, SETTING, notes, board).load()
    assert {name: saved.load_ms for name, saved in found.items()} == {"a": 2.0, "b": 30.0}


def test_a_disk_that_does_not_take_it_keeps_nobody_from_knowing(tmp_path: Path, notes: Events) -> None:
    (tmp_path / "file").touch()
    board = Board()
    Store(tmp_path / "file" / "p.json", SETTING, notes, board).save([Saved.of(known("a"), SETTING)])
    assert notes.names == ["profiles not saved"]
    assert list(Store(tmp_path / "q.json", SETTING, notes, board).load()) == ["a"]


def test_what_peers_should_not_have_told_is_not_taken(tmp_path: Path, notes: Events) -> None:
    board = Board()
    store = Store(tmp_path / "p.json", SETTING, notes, board)
    store.save([Saved.of(known("a"), SETTING)])
    (key,) = board
    board[key] = board[key][:-10]
    assert list(store.load()) == ["a"], "the file is whole"
    assert "of other replicas: damaged" in notes.named("profiles not read")[0]["error"]
