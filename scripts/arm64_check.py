"""Compare the answers of two machines: arm64_check.py HERE THERE, folders of what `ondevice run --format json` printed.

Exits with 1 where a best class differs. Differences of scores are shown: the files hold six decimals, and a step of a
quantized classifier's score is 1/256, 0.003906.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from ondevice.cli.console import table

Answers = list[dict[str, Any]]


def scores(record: dict[str, Any]) -> dict[int, float]:
    """The score of every class, the best first."""
    return {prediction["index"]: prediction["score"] for prediction in record["top"]}


def compare(model: str, here: Answers, there: Answers) -> dict[str, Any]:
    """One model's row of the table."""
    pairs = [(scores(a), scores(b)) for a, b in zip(here, there, strict=True)]
    same = sum(next(iter(a)) == next(iter(b)) for a, b in pairs)
    difference = max(abs(a[index] - b[index]) for a, b in pairs for index in a)
    return {
        "model": model,
        "pictures": len(pairs),
        "same top-1": same,
        "largest score difference": f"{difference:.6f}",
        "runtimes": " / ".join(sorted({record["runtime"] for record in here + there})),
    }


def main() -> None:
    """Print the table."""
    here, there = map(Path, sys.argv[1:])
    rows = []
    for path in sorted(here.glob("*.json")):
        rows.append(compare(path.stem, *(json.loads((side / path.name).read_text()) for side in (here, there))))
    print(table(rows))
    sys.exit(not all(row["same top-1"] == row["pictures"] for row in rows))


if __name__ == "__main__":
    main()
