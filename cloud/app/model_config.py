"""A model's configuration, as Triton's extension of that name has it: its metadata in other words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def of(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of the model that these metadata, as JSON has them, describe.

    max_batch_size is 0: shapes are whole ones, and one picture is inferred at a time.
    """
    return {
        "name": metadata["name"],
        "platform": metadata["platform"],
        "backend": "ondevice",
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": 0,
        "input": [_tensor(tensor) for tensor in metadata["inputs"]],
        "output": [_tensor(tensor) for tensor in metadata["outputs"]],
        "model_transaction_policy": {"decoupled": False},
    }


def _tensor(tensor: Mapping[str, Any]) -> dict[str, Any]:
    datatype = "STRING" if tensor["datatype"] == "BYTES" else tensor["datatype"]
    return {"name": tensor["name"], "data_type": f"TYPE_{datatype}", "dims": tensor["shape"]}
