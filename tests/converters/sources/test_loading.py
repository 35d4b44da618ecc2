"""SavedModels are programs: what would touch files, the network or Python is refused before any of it is run."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from converting import ran

from ondevice.converters.export import tensorflow, to_tflite
from ondevice.converters.job import ConversionJob
from ondevice.converters.pictures import noise
from ondevice.converters.sources import loading, operations
from ondevice.converters.sources.opening import open_source
from ondevice.errors import ConvertError

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
SHAPE = (None, 8, 8, 3)


@pytest.fixture(scope="module", autouse=True)
def _tensorflow() -> None:
    pytest.importorskip("tensorflow")


def saved(folder: Path, scores: Callable[[Any], Any] = lambda x: x, module: Any = None) -> Path:
    """A SavedModel whose signature does what `scores` does with pictures, and then gives their means [n, 3]."""
    tf = tensorflow()
    module = module or tf.Module()
    spec = tf.TensorSpec(SHAPE, tf.float32, "picture")
    module.serve = tf.function(lambda x: tf.reduce_mean(scores(x), axis=(1, 2)), input_signature=[spec])
    tf.saved_model.save(module, str(folder), signatures=module.serve.get_concrete_function())
    return folder


def edited(folder: Path, change: Callable[[Any], None]) -> Path:
    """The SavedModel with its graph changed."""
    model = loading._program(folder)
    change(model.meta_graphs[0])
    (folder / "saved_model.pb").write_bytes(model.SerializeToString())
    return folder


def refused(path: Path) -> str:
    with pytest.raises(ConvertError) as caught:
        loading.load(path)
    said = str(caught.value)
    assert "\n" not in said
    return said.removeprefix(f"{path}: ")


def and_then(does: Callable[[], Any]) -> Callable[[Any], Any]:
    def function(x: Any) -> Any:
        with tensorflow().control_dependencies([does()]):
            return x + 0

    return function


def test_one_that_would_write_a_file_is_one_line_and_writes_none(tmp_path: Path) -> None:
    tf, written = tensorflow(), tmp_path / "written"
    path = saved(tmp_path / "net", and_then(lambda: tf.io.write_file(str(written), "x")))
    result = ran(tmp_path, path, "--range=0,1")
    (line,) = result.errors()
    assert line.startswith(
        f"ondevice: error: {path}: it has an operation 'WriteFile', which may do more than compute, and is not run: "
        "save the network alone, by model.export(FOLDER) or tf.saved_model.save(model, FOLDER), and convert that; "
    )
    assert not written.exists()
    tf.saved_model.load(str(path)).serve(tf.zeros((1, 8, 8, 3)))
    assert written.exists()  # so it would have been


@pytest.mark.parametrize(
    ("does", "operation"),
    [
        (lambda tf, file: tf.io.read_file(file), "ReadFile"),
        (lambda tf, file: tf.io.matching_files(file), "MatchingFiles"),
        (lambda tf, file: tf.print("x", output_stream=f"file://{file}"), "PrintV2"),
        (lambda tf, file: tf.numpy_function(lambda: 1.0, [], tf.float32), "PyFunc"),
        (lambda tf, file: tf.py_function(lambda: 1.0, [], tf.float32), "EagerPyFunc"),
        (lambda tf, file: tf.raw_ops.Save(filename=file, tensor_names=["a"], data=[1.0]), "Save"),
        (lambda tf, file: tf.raw_ops.DebugIdentityV3(input=1.0, debug_urls=[f"file://{file}"]), "DebugIdentityV3"),
        (lambda tf, file: tf.cond(tf.constant(1) > 2, lambda: tf.io.write_file(file, "x"), tf.no_op), "WriteFile"),
    ],
)  # fmt: skip
def test_what_may_do_more_than_compute(does: Callable[[Any, str], Any], operation: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "net", and_then(lambda: does(tensorflow(), str(tmp_path / "file"))))
    assert refused(path).startswith(f"it has an operation '{operation}', ")


def test_wherever_it_stands(tmp_path: Path) -> None:
    def at_the_top(graph: Any) -> None:
        graph.graph_def.node.add(name="w", op="WriteFile")

    def as_a_signature(graph: Any) -> None:
        graph.signature_def["serving_default"].outputs["output_0"].name = graph.saver_def.save_tensor_name

    assert "'WriteFile'" in refused(edited(saved(tmp_path / "a"), at_the_top))
    said = refused(edited(saved(tmp_path / "b"), as_a_signature))
    assert re.match("it has an operation '(SaveV2|MergeV2Checkpoints)', ", said)


def test_variables_chance_and_tables_of_words_are_a_networks_own(tmp_path: Path) -> None:
    tf = tensorflow()
    module = tf.Module()
    module.variable = tf.Variable(2.0)
    (tmp_path / "words").write_text("cat\ndog\n")
    index = tf.lookup.TextFileIndex
    words = str(tmp_path / "words"), tf.string, index.WHOLE_LINE, tf.int64, index.LINE_NUMBER
    module.table = tf.lookup.StaticHashTable(tf.lookup.TextFileInitializer(*words), 5)
    module.generator = tf.random.Generator.from_seed(1)
    module.named = tf.function(lambda: module.table.lookup(tf.constant(["dog"])))
    module.named.get_concrete_function()
    module.noisy = tf.function(lambda: module.generator.normal((1,)) + tf.random.normal((1,)))
    module.noisy.get_concrete_function()
    path = saved(tmp_path / "net", lambda x: x * module.variable, module)
    source = open_source(ConversionJob(str(path), "", value_range=(0.0, 1.0)))
    images = noise(2, source.input, 0)
    np.testing.assert_allclose(source.predict(images), images.mean(axis=(1, 2)) * 2 / 255, rtol=1e-5)
    assert len(to_tflite(source.save, "fp32")) > 0  # its words are saved with it
    assert loading.load(path).named().numpy() == [1]


def test_what_an_optimizer_kept_is_left_out(tmp_path: Path) -> None:
    tf = tensorflow()
    module = tf.Module()
    module.variable = tf.Variable(2.0)
    module.optimizer = tf.compat.v1.train.AdamOptimizer()
    module.optimizer.apply_gradients([(tf.constant(1.0), module.variable)])
    path = saved(tmp_path / "net", lambda x: x * module.variable, module)
    nodes = loading._program(path).meta_graphs[0].object_graph_def.nodes
    assert any(node.slot_variables for node in nodes)
    source = open_source(ConversionJob(str(path), "", value_range=(0.0, 255.0)))
    images = noise(2, source.input, 0)
    np.testing.assert_allclose(source.predict(images), module.serve(tf.constant(images, tf.float32)), rtol=1e-6)


def test_a_program_that_is_cut(tmp_path: Path) -> None:
    path = saved(tmp_path / "net") / "saved_model.pb"
    path.write_bytes(path.read_bytes()[:-9])
    assert refused(tmp_path / "net").startswith("TensorFlow cannot read it: ")


# Operations with such an input or attribute are looked at by hand: these read what a network's own files say.
NAMES_A_FILE = re.compile(r"file|path|url|dir(?!ection)|address|socket|prefix|token(?!_ids)|(?<!re)source|callback")
READ_OWN = {"InitializeTableFromTextFile", "InitializeTableFromTextFileV2", "RestoreV2", "Restore", "RestoreSlice"}
COMPUTE = {"CTCBeamSearchDecoder", "XlaSelectAndScatter", "XlaCallModule"}
COMPUTE |= {"TensorArrayGrad", "TensorArrayGradV2", "TensorArrayGradV3", "TensorArrayGradWithShape"}


def names_a_file(operation: Any) -> bool:
    return any(NAMES_A_FILE.search(given.name) for given in (*operation.input_arg, *operation.attr))


def test_operations_of_the_installed_tensorflow_that_name_files_are_judged() -> None:
    from tensorflow.core.framework import node_def_pb2, op_def_pb2
    from tensorflow.python.client import pywrap_tf_session

    known = op_def_pb2.OpList.FromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
    of_files = [each for each in known.op if names_a_file(each)]
    assert len(of_files) > 50
    passing = {
        each.name for each in of_files if operations._computes(node_def_pb2.NodeDef(op=each.name), loading._is_stateful)
    }
    assert passing == READ_OWN | COMPUTE
