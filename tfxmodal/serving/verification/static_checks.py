"""What must hold of a version's files, before it is loaded.

Each check returns what it saw, for people, or raises a `Fault`.
"""

from __future__ import annotations

from tfxmodal.lazy import tf
from tfxmodal.serving.model_config import DESCRIPTION
from tfxmodal.serving.verification.examined import Fault, Version
from tfxmodal.serving.verification.text_operations import (
    foreign,
    oldest_server,
    operations,
    unknown,
)

TYPES = (tf.float32, tf.int64, tf.string, tf.bool)
PYTHON_OPS = {"PyFunc", "PyFuncStateless", "EagerPyFunc"}
GRAPH_LIMIT = 2**31
"""Bytes of a protocol buffer."""


def check_files(version: Version) -> str:
    """All files are there; the graph is within the limit of its format."""
    sizes = {
        path.relative_to(version.folder).as_posix(): path.stat().st_size
        for path in version.folder.rglob("*")
        if path.is_file()
    }
    wanted = {"saved_model.pb", DESCRIPTION, "README.md"}
    if lost := sorted(wanted - sizes.keys()):
        raise Fault(f"there is no {lost[0]}")
    if sizes["saved_model.pb"] >= GRAPH_LIMIT:
        raise Fault(f"the graph takes {sizes['saved_model.pb']:,} bytes of at most {GRAPH_LIMIT:,}")
    megabytes = {
        "graph": sizes["saved_model.pb"],
        "variables": sum(size for name, size in sizes.items() if name.startswith("variables/")),
        "all": sum(sizes.values()),
    }
    return ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in megabytes.items())


def check_operations(version: Version) -> str:
    """A stock server has all operations: none in Python, none that XLA must compile."""
    graph = version.graph.graph_def
    for function in graph.library.function:
        if function.attr["_XlaMustCompile"].b:
            raise Fault(
                f"the function {function.signature.name} must be compiled by XLA, which servers "
                "have disabled: leave out jit_compile"
            )
    nodes = [*graph.node, *(node for each in graph.library.function for node in each.node_def)]
    for node in nodes:
        if node.attr["_XlaMustCompile"].b:
            raise Fault(f"the operation {node.name} must be compiled by XLA: leave out jit_compile")
    names = operations(graph)
    if python := sorted(names & PYTHON_OPS):
        raise Fault(f"{python[0]} runs Python, which no server does: use TensorFlow's operations")
    of_text = foreign(names)
    if of_text and not version.about["tensorflow_text"]:
        raise Fault(
            f"{min(of_text)} is none of TensorFlow's operations, and TensorFlow Text is not "
            "declared"
        )
    if strange := of_text and unknown(of_text):
        raise Fault(
            f"{min(strange)} is an operation of neither TensorFlow nor TensorFlow Text: no stock "
            "server has it"
        )
    told = f", {len(of_text)} of TensorFlow Text, which TensorFlow Serving has from "
    return f"{len(names)} operations" + (told + f"{oldest_server(of_text)} on" if of_text else "")


def check_signatures(version: Version) -> str:
    """Signatures are as they are described, of types and shapes that a server can batch."""
    if "serving_default" not in version.graph.signature_def:
        raise Fault("it has no serving_default")
    seen = {}
    for name, signature in version.signatures.items():
        seen[name] = sides = {"inputs": {}, "outputs": {}}
        for side in sides:
            for key, tensor in getattr(signature, side).items():
                dtype, shape = tf.as_dtype(tensor.dtype), tf.TensorShape(tensor.tensor_shape)
                _check_tensor(f"{name}'s {key}", dtype, shape, version.about["batchable"])
                sides[side][key] = {"dtype": dtype.name, "shape": [*shape]}
    described = version.about.get("signatures", seen)
    if seen.keys() != described.keys():
        raise Fault(f"it has {sorted(seen)} and describes {sorted(described)}")
    for name, sides in seen.items():
        for side, told in sides.items():
            if told != described[name][side]:
                raise Fault(f"the {side} of {name} are {told}, not {described[name][side]}")
    return f"{len(seen)} signatures"


def _check_tensor(what: str, dtype: tf.DType, shape: tf.TensorShape, batchable: bool):
    if dtype not in TYPES:
        names = ", ".join(each.name for each in TYPES)
        raise Fault(f"{what} is {dtype.name}; a server's clients take {names}")
    if not shape.rank or shape[0] is not None:
        raise Fault(f"{what} is {shape}; it must begin with a dimension of any number of rows")
    if batchable and None in [*shape[1:]]:
        raise Fault(
            f"{what} is {shape}: only the first dimension may vary, since a server that batches "
            "would mix the rows of several callers; give it a model of its own, not batchable"
        )
