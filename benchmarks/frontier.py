"""What `ondevice convert` made of networks, as docs/converting.md has it: sizes, times here and on the emulated phones.

    ondevice convert --zoo torch --weights none --precision fp32,fp16,weight_only,dynamic,int8
        --calibration random --out zoo/ --format json > zoo.json
    python benchmarks/frontier.py zoo.json

The times here are those that the command took, on one thread. The phones' are foretold from the files' layers.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from ondevice.devices import card, network, prediction
from ondevice.devices.card import Device
from ondevice.errors import OnDeviceError

Record = dict[str, Any]
PRECISIONS = ("fp32", "fp16", "weight_only", "dynamic", "int8")
# The records have six digits behind the point.
LEAST = 1e-6
# What is emulated and not a phone.
BOARDS = ("firefly", "jetson", "khadas", "macbook", "odroid", "raspberry")


def phones() -> list[Device]:
    """The phones that can be emulated, for float networks at least."""
    return [device for device in card.devices() if device.emulated and not device.name.startswith(BOARDS)]


def table(rows: list[dict[str, str]]) -> str:
    """Rows as Markdown, numbers to the right."""
    columns = list(rows[0])
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *([row[column] for column in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def of_network(name: str, files: dict[str, Record]) -> dict[str, str]:
    """What a network is, and how long its files take here."""
    source, fp32, int8 = files["source"], files["fp32"], files.get("int8", {})
    row = {
        "network": f"`{name}`",
        "parameters": f"{source['parameters']:,}",
        "fp32, MB": megabytes(fp32),
        "int8, MB": megabytes(int8),
        "transposes": str(fp32.get("transposes")),
        "floats in int8": str(int8.get("float_operators", "")),
        "error, fp32": error(fp32),
        "error, int8": error(int8),
    }
    return row | {f"{precision}, ms": milliseconds(files.get(precision, {})) for precision in PRECISIONS}


def megabytes(file: Record) -> str:
    """The size, or that the file was refused."""
    return "refused" if file.get("failed") else f"{file['size_bytes'] / 1e6:.1f}" if file else "none"


def error(file: Record) -> str:
    """The logits' error over their spread."""
    of_spread = file.get("error_of_spread")
    if of_spread is None:
        return ""
    return f"{of_spread:.2f}" if of_spread >= 1e-3 else f"{of_spread:.0e}" if of_spread >= LEAST else f"< {LEAST:.0e}"


def milliseconds(file: Record) -> str:
    """The median here; with a star where the measurement was disturbed."""
    latency = file.get("latency_ms")
    return "" if latency is None else f"{latency:.1f}{'' if file['latency_verdict'] == 'VALID' else '*'}"


def on_phones(name: str, files: dict[str, Record]) -> dict[str, str]:
    """How long the phones would take, float and quantized where that is known."""
    foretold = {
        device.name: " / ".join(on_phone(files.get(kind), device) for kind in ("fp32", "int8")) for device in phones()
    }
    return {"network": f"`{name}`", **foretold}


def on_phone(file: Record | None, device: Device) -> str:
    """The median on a phone, or a dash where there is no file, or nothing published tells it."""
    if file is None or file["failed"]:
        return "-"
    try:
        foretold = prediction.predict(device, network.of_file(Path(file["path"])), file["precision"])
    except OnDeviceError:
        return "-"
    return f"{float(foretold.times.quantile_ms(0.5)):.3g}"


def main(paths: list[Path]) -> None:
    """Print both tables of what is in files of the command's records."""
    models: dict[str, dict[str, Record]] = {}
    for record in (record for path in paths for record in json.loads(path.read_text())):
        models.setdefault(record["model"], {})[record["precision"]] = record
    whole = {name: files for name, files in models.items() if "fp32" in files}
    for rows in (of_network, on_phones):
        print(table([rows(name, files) for name, files in sorted(whole.items())]), end="\n\n")


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
