"""Saved times whose writer is killed: the file is always whole."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest
from events import Events
from saved_times import names, snapshot

from ondevice.cloud.backends.local.store import Store
from ondevice.models import files

# For each line "SECONDS HOW" a writer is forked and killed, so long after its first save, or its second where it is
# paced; then comes the time.
KILLER = """
import os, signal, sys, time
from pathlib import Path
from ondevice.cloud.backends.learning import Learned
from ondevice.timing.recent import Recent
from ondevice.cloud.backends.local.store import Saved, Setting, Store

def fail(event, **fields):
    os._exit(1)

def write(paced, first):
    setting = Setting("Cortex-A76", "litert 2.3.0", 2)
    store = Store(Path(sys.argv[1]), setting, fail)
    models = [Learned(f"m{i}", Recent([1.0, 2.0])) for i in range(10)]
    while True:
        now = time.monotonic()
        for model in models:
            model.load_ms = now  # the clock of all processes: the file says how old it is
        store.changed(now)
        if first or not paced or store.due(now):
            store.save([Saved.of(model, setting) for model in models])
        if first:
            os.close(first)
            first = None
        if paced:
            time.sleep(0.05)

for line in sys.stdin:
    seconds, how = line.split()
    saved, first = os.pipe()
    pid = os.fork()
    if not pid:
        write(how == "paced", first)
    os.close(first)
    os.read(saved, 1)
    os.close(saved)
    first_save = os.stat(sys.argv[1]).st_mtime_ns
    while how == "paced" and os.stat(sys.argv[1]).st_mtime_ns == first_save:
        time.sleep(0.01)
    time.sleep(float(seconds))
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL, status
    print(time.monotonic(), flush=True)
"""


def ages_when_killed(store: Store, after: list[float], how: str) -> list[float]:
    """How old, in seconds, a whole file was when its writer had been killed, so many seconds after it was saved."""
    command, ages = [sys.executable, "-c", KILLER, str(store.path)], []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as killer:
        assert killer.stdin is not None
        assert killer.stdout is not None
        for seconds in after:
            print(seconds, how, file=killer.stdin, flush=True)
            ages.append(float(killer.stdout.readline()) - stamp(store))
        killer.stdin.close()
    assert killer.returncode == 0
    return ages


def stamp(store: Store) -> float:
    """The one moment at which all models were saved."""
    found = store.load()
    assert len(found) == 10
    (moment,) = {saved.load_ms for saved in found.values()}
    assert moment is not None
    return moment


# A second would be too old on a machine that has nothing else to do; this tells only that saving has gone on.
YOUNG_S = 20.0


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere processes may not share the monotonic clock")
def test_killed_while_saving_the_file_is_always_whole(store: Store, notes: Events) -> None:
    chance = random.Random(4)
    ages = ages_when_killed(store, [chance.uniform(0, 0.05) for _ in range(20)], "in-a-loop")
    assert all(0 <= age < YOUNG_S for age in ages)
    assert notes == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere processes may not share the monotonic clock")
def test_killed_between_saves_the_file_is_whole_and_saving_had_gone_on(store: Store) -> None:
    ages = ages_when_killed(store, [0.0, 0.1, 0.3], "paced")
    assert all(0 <= age < YOUNG_S for age in ages)


def test_what_a_killed_writer_left_is_swept_away_and_what_one_is_writing_is_not(store: Store) -> None:
    store.save(snapshot("a"))
    with files.replacing(store.path) as out:
        out.write(b"{")
        (part,) = (path for path in store.path.parent.iterdir() if path != store.path)
        assert list(store.load()) == ["a"]
        assert part.exists(), "another server may be writing it"
        os.utime(part, (1e9, 1e9))
        assert list(store.load()) == ["a"]
        assert names(store.path.parent) == ["p.json"]
        part.write_bytes(b"")  # for `replacing` to end well
    assert names(store.path.parent) == ["p.json"]
