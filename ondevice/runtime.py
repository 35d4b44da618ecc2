"""One class over the three packages that run .tflite files: LiteRT, tflite-runtime and TensorFlow."""

from __future__ import annotations

import ctypes
import functools
import importlib
import importlib.util
import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from ondevice import refusal
from ondevice.errors import MissingError, ModelError, UsageError
from ondevice.limits.threads import check_threads
from ondevice.models import graph, precision
from ondevice.models.ends import End, classifier_layout
from ondevice.models.layout import Layout

# In the order of preference. TensorFlow last: it takes seconds to import.
_MODULES = {
    "litert": ("ai_edge_litert", "ai_edge_litert.interpreter", "ai-edge-litert"),
    "tflite-runtime": ("tflite_runtime", "tflite_runtime.interpreter", "tflite-runtime"),
    "tensorflow": ("tensorflow", "tensorflow.lite.python.interpreter", "tensorflow"),
}
RUNTIMES = tuple(_MODULES)


class Runtime(NamedTuple):
    """A TFLite runtime: its name (one of RUNTIMES), the distribution's version, and its Interpreter class."""

    name: str
    version: str
    interpreter: Any

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@functools.cache
def get(name: str | None = None) -> Runtime:
    """The runtime called `name`, or the first that is installed. Raises MissingError or UsageError."""
    if name is not None and name not in _MODULES:
        raise UsageError(f"no runtime '{name}': choose {', '.join(RUNTIMES)}")
    wanted = RUNTIMES if name is None else (name,)
    for candidate in wanted:
        package, module, distribution = _MODULES[candidate]
        if importlib.util.find_spec(package):
            try:
                return Runtime(candidate, _version(package, distribution), importlib.import_module(module).Interpreter)
            except (ImportError, AttributeError) as error:  # such as tflite-runtime beside numpy 2
                raise MissingError(
                    f"{distribution} is installed but cannot be loaded: {refusal.shortened(error)}; "
                    f"try `pip install --force-reinstall {distribution}`, or another --runtime",
                    candidate,
                ) from error
    raise MissingError(_how_to_install(name), name or RUNTIMES[0])


def version(name: str) -> str:
    """The installed version of the runtime called `name`; empty where it is not installed."""
    package, _, distribution = _MODULES[name]
    return _version(package, distribution) if importlib.util.find_spec(package) else ""


def _version(package: str, distribution: str) -> str:
    if package != "tensorflow" and (known := getattr(importlib.import_module(package), "__version__", "")):
        return str(known)
    # Slower than asking the package, but importing TensorFlow takes seconds.
    from importlib import metadata

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:  # tensorflow-cpu and the like
        return str(importlib.import_module(package).__version__)


def _how_to_install(name: str | None) -> str:
    from ondevice import host

    if name is None and not host.current().takes_wheels():
        return (
            "no TFLite runtime: run `pkg install python-tflite-runtime`, and make the venv with --system-site-packages"
        )
    distribution = _MODULES[name or "litert"][2]
    return f"the runtime {name or 'for .tflite files'} is not installed: run `pip install {distribution}`"


class TensorSpec(NamedTuple):
    """One end of a model: its tensor's number, shape, dtype, quantization and name.

    real = (stored - zero_point) * scale; scale 0 means not quantized. signature: the shape as the file has it, -1 for
    each size that is free, which is 1 in `shape` unless it was given; () where the runtime does not say.
    """

    tensor: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: float
    zero_point: int
    name: str = ""
    signature: tuple[int, ...] = ()

    @classmethod
    def of(cls, detail: dict[str, Any]) -> TensorSpec:
        """The end in an entry of the interpreter's get_input_details or get_output_details."""
        scale, zero_point = detail["quantization"]
        shape, signature = (tuple(int(n) for n in detail.get(key, ())) for key in ("shape", "shape_signature"))
        dtype, name = np.dtype(detail["dtype"]), str(detail["name"])
        return cls(int(detail["index"]), shape, dtype, float(scale), int(zero_point), name, signature)

    @property
    def end(self) -> End:
        """What messages tell of it."""
        dtype = "string" if self.dtype.kind == "S" else str(self.dtype)
        return End(self.name, dtype, self.shape, self.signature)

    def __str__(self) -> str:
        """Its name, as far as a person gave it one, its shape with ? for free sizes, and its dtype."""
        return str(self.end)


class Executable:
    """A .tflite file, loaded, whatever it computes: tensors in, tensors out.

    inputs, outputs: in the file's order; an output's shape may be another one after `run`. load_ms: making the
    interpreter and its tensors. shapes: an input's each, in that order, for a file with free sizes; none: those that
    the file has. Not safe for several threads at once: take one a thread. A forked process loads the file anew when it
    first runs it; copies, and what was pickled, are loaded where they are made.
    Raises ModelError where the file is malformed or cannot take the shapes, UsageError for an impossible thread count.
    """

    def __init__(
        self, path: str | Path, threads: int = 1, runtime: str | None = None, shapes: Sequence[tuple[int, ...]] = ()
    ) -> None:
        check_threads(threads)
        self.path, self.threads, self.runtime = Path(path), threads, get(runtime)
        # What it is loaded anew from, whatever its process's working directory is by then.
        self._file, self._shapes = self.path.absolute(), tuple(shapes)
        self._host_threads, self._asked_runtime = threads, runtime
        start = perf_counter()
        self._interpreter = self._made()
        self.load_ms = (perf_counter() - start) * 1e3
        self.inputs, self.outputs = _ends(self._interpreter)
        _LOADED.add(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._file, self.threads, self._asked_runtime, self._shapes)

    def run(self, tensors: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        """Run it on a tensor for each input, of that one's shape and dtype; gives every output, as it is stored.

        Raises ModelError, also where a forked process finds another file, or none.
        """
        if self._interpreter is None:
            self._renew()
        try:
            for spec, tensor in zip(self.inputs, tensors, strict=True):
                self._interpreter.set_tensor(spec.tensor, tensor)
            self._interpreter.invoke()
            return [self._interpreter.get_tensor(spec.tensor) for spec in self.outputs]
        except (ValueError, RuntimeError) as error:
            message = f"{self.path}: inference failed: {refusal.shortened(error)}"
            raise ModelError(message, str(self.path)) from error

    @property
    def precision(self) -> str:
        """The precision that the file's tensors show: fp32, fp16, dynamic, int8 or uint8. Raises ModelError."""
        return precision.of(graph.read(self.path))

    def _made(self) -> Any:
        """An interpreter, with its tensors."""
        try:
            interpreter = self.runtime.interpreter(model_path=os.fsencode(self._file), num_threads=self._host_threads)
            if self._shapes:
                _resize(interpreter, self._shapes)
            interpreter.allocate_tensors()
            return interpreter
        except (ValueError, RuntimeError, MemoryError) as error:
            raise self._refused(error) from error

    def _renew(self) -> None:
        """Load the file in this process, which has been forked from the one that had."""
        if not self._file.is_file():
            raise self._lost("its file is gone")
        interpreter = self._made()
        if _ends(interpreter) != (self.inputs, self.outputs):
            raise self._lost("its file is another one now")
        self._interpreter = interpreter

    def _lost(self, what: str) -> ModelError:
        said = f"{what}, and a forked process loads its models anew: keep the file, or load it after the fork"
        return ModelError(f"{self.path}: {said}", str(self.path))

    def _refused(self, error: BaseException) -> ModelError:
        distribution = _MODULES[self.runtime.name][2]
        return ModelError(refusal.in_words(self.path, str(self.runtime), distribution, error), str(self.path))


def _resize(interpreter: Any, shapes: Sequence[tuple[int, ...]]) -> None:
    for detail, shape in zip(interpreter.get_input_details(), shapes, strict=True):
        if shape != tuple(detail["shape"]):
            interpreter.resize_tensor_input(detail["index"], shape, strict=True)


def _ends(interpreter: Any) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    return tuple(map(TensorSpec.of, inputs)), tuple(map(TensorSpec.of, outputs))


_LOADED: weakref.WeakSet[Executable] = weakref.WeakSet()


def _leave_interpreters() -> None:
    """In a forked process: have none of the interpreters that it inherited used any more, nor destroyed.

    Their threads were not forked. Without them an inference has one thread, or waits for the others for ever (in
    tflite-runtime 2.14, and elsewhere for what XNNPACK does not compute); and an interpreter that ends joins its
    threads, which is a wait for ever or a segmentation fault. So each is given a reference that nobody holds, and its
    pages stay shared with its parent.
    """
    for executable in _LOADED:
        if executable._interpreter is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(executable._interpreter))
            executable._interpreter = None


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_leave_interpreters)


class Model:
    """A .tflite image classifier, loaded: one picture's tensor in, one score a class out, or one of two classes.

    file: its path, or what is loaded of it already. `input.shape` is [1, H, W, C], [1, C, H, W] or [1, H, W], C 1 or 3.
    load_ms: making the interpreter and its tensors. Not safe for several threads at once: take one a thread.
    Raises ModelError where the file is malformed, NotClassifierError where it is not an image classifier, UsageError
    for an impossible thread count.
    """

    def __init__(self, file: str | Path | Executable, threads: int = 1, runtime: str | None = None) -> None:
        self.executable = file if isinstance(file, Executable) else Executable(file, threads, runtime)
        self.path, self.threads = self.executable.path, self.executable.threads
        self.runtime, self.load_ms = self.executable.runtime, self.executable.load_ms
        ends = ([spec.end for spec in specs] for specs in (self.executable.inputs, self.executable.outputs))
        classifier_layout(self.path, *ends)
        self.input, self.output = self.executable.inputs[0], self.executable.outputs[0]
        layout = Layout.of(self.input.shape)  # with the sizes that it has here
        assert layout is not None
        self.layout = layout

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.executable,)

    @property
    def outputs(self) -> int:
        """How many numbers `invoke` gives."""
        return int(np.prod(self.output.shape))

    @property
    def channels_first(self) -> bool:
        """Whether the input is [1, C, H, W], as PyTorch exports have it."""
        return self.layout.channels_first

    @property
    def precision(self) -> str:
        """The precision that the file's tensors show: fp32, fp16, dynamic, int8 or uint8."""
        return self.executable.precision

    def invoke(self, tensor: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Run the model on one tensor of `input`'s shape and dtype; gives the stored output, flat, [outputs]."""
        stored = self.executable.run((tensor,))[0].reshape(-1)
        if stored.size != self.outputs:  # the graph may make another shape of it than the file says
            said = f"{self.path}: it gave {stored.size} scores instead of {self.outputs}"
            raise ModelError(f"{said}: convert it with a fixed batch of one", str(self.path))
        return stored

    def dequantize(self, stored: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Output values as real numbers, float32."""
        if not self.output.scale:
            return stored.astype(np.float32, copy=False)
        return (stored.astype(np.float32) - self.output.zero_point) * np.float32(self.output.scale)
