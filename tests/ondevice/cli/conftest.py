"""Networks to convert."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two copies of a small network, and others that cannot be converted."""
    pytest.importorskip("tensorflow")
    from ondevice.converters.export import tensorflow

    keras = tensorflow().keras
    keras.utils.set_random_seed(1)
    kinds = keras.layers
    folder = tmp_path_factory.mktemp("networks")
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            kinds.Conv2D(64, 3, 2, activation="relu"),
            kinds.Conv2D(128, 3, 2, activation="relu"),
            kinds.GlobalAveragePooling2D(),
            # Weights that are large enough to tell classes apart: untrained ones say the same of every picture.
            kinds.Dense(10, activation="softmax", kernel_initializer=keras.initializers.RandomNormal(stddev=3.0)),
        ]
    )
    for name in ("small", "victim"):
        model.save(folder / f"{name}.keras")
    inputs = keras.Input((32, 32, 3))
    x = kinds.Dense(10)(kinds.GlobalAveragePooling2D()(inputs))
    keras.Model(inputs, keras.ops.erfinv(x)).save(folder / "inverse.keras")
    return folder
