"""A Keras network computing in float32, whatever it was trained in."""

from __future__ import annotations

from typing import Any

_FLOAT32 = "float32"
# What networks are trained in to be faster or more exact; phones' runtimes compute in float32, and quantize that.
_OTHERS = ("float16", "bfloat16", "float64", "mixed_float16", "mixed_bfloat16")


def in_float32(network: Any) -> Any:
    """The network, or where a layer computes in something else, one with its weights that computes in float32.

    Weights of mixed precision are float32 already.
    """
    if all(layer.compute_dtype == _FLOAT32 for layer in _layers(network)):
        return network
    from keras import saving

    again = saving.deserialize_keras_object(retyped(saving.serialize_keras_object(network)))
    again.set_weights(network.get_weights())
    return again


def retyped(config: Any) -> Any:
    """A Keras config, in which all that computes in another kind of float computes in float32."""
    if isinstance(config, list | tuple):
        return type(config)(map(retyped, config))
    if not isinstance(config, dict):
        return config
    if config.get("class_name") in ("DTypePolicy", "Policy") and "name" in config.get("config", {}):
        name = config["config"]["name"]
        return _FLOAT32 if name in _OTHERS else name
    changed = {key: retyped(value) for key, value in config.items()}
    if isinstance(config.get("dtype"), str) and config["dtype"] in _OTHERS:
        changed["dtype"] = _FLOAT32
    return changed


def _layers(network: Any) -> list[Any]:
    """All layers, nested ones too."""
    return [network, *(inner for layer in getattr(network, "layers", ()) for inner in _layers(layer))]
