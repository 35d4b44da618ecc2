"""python forked_client.py URL MODE: a client made and used before a fork, and then on both of its sides; as JSON."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from typing import Any

from serving import FAMILY

from ondevice import OffloadClient, Runner
from ondevice.errors import OnDeviceError
from ondevice.models import zoo

COUNT, SLA_MS = 100, 20_000.0
PICTURES = sorted(zoo.samples_dir().glob("*/*.png"))[::5]
# What each model that may answer says of each picture.
EXPECTED = {
    name: {path: runner.classify(path).index for path in PICTURES}
    for name, runner in ((name, Runner(name)) for name in FAMILY)
}


def asked(client: OffloadClient, count: int) -> dict[str, Any]:
    """What came of so many requests."""
    answers, errors = [], []
    for number in range(count):
        path = PICTURES[number % len(PICTURES)]
        try:
            answers.append((client.classify(path), path))
        except OnDeviceError as error:
            errors.append(type(error).__name__)
    return {
        "answers": len(answers),
        "late": sum(not answer.on_time for answer, _ in answers),
        "right": sum(answer.index == EXPECTED[answer.model][path] for answer, path in answers),
        "where": Counter(answer.where for answer, _ in answers),
        "errors": errors,
    }


def known(client: OffloadClient) -> bool:
    """Whether anything of the network is."""
    return bool(client.cloud and client.cloud.link.network.known)


def main(url: str, mode: str) -> None:
    reading, writing = os.pipe()
    client = OffloadClient(url, "digits_xs_int8", SLA_MS, mode)
    asked(client, 5)
    child = os.fork()
    if not child:
        status = 1
        try:
            with os.fdopen(writing, "w") as out:
                json.dump({"known": known(client), "found": asked(client, COUNT)}, out)
            status = 0
        finally:
            sys.stderr.flush()
            os._exit(status)
    os.close(writing)
    parent = asked(client, COUNT)
    with os.fdopen(reading) as answers:
        told = json.loads(answers.read() or "{}")
    os.waitpid(child, 0)
    print(json.dumps({"parent": parent, "child": told["found"], "known": told["known"]}))
    client.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
