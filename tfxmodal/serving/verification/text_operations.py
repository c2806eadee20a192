"""Operations of TensorFlow Text in a graph: which they are, and which servers have them."""

from __future__ import annotations

from pathlib import Path

from tfxmodal.lazy import tf
from tfxmodal.serving.messages import saved_model_pb2

FIRST, LATER = "2.12.1", "2.20"
"""Servers from the first on have TensorFlow Text 2.12, and from the later one on its own version
(`org_tensorflow_text` in TensorFlow Serving's WORKSPACE)."""

SINCE_LATER = {"TFText>RoundRobinGenerateMasks", "TFText>RoundRobinTrim", "TFText>Utf8Binarize"}
"""Operations that TensorFlow Text 2.12 lacks."""


def operations(graph) -> set[str]:
    """Names of the operations in a GraphDef and its functions, less the functions themselves."""
    nodes = [*graph.node, *(node for each in graph.library.function for node in each.node_def)]
    return {node.op for node in nodes} - {each.signature.name for each in graph.library.function}


def foreign(names: set[str]) -> set[str]:
    """Those that are none of TensorFlow's own."""
    return {name for name in names if not hasattr(tf.raw_ops, name)}


def register(folder: Path) -> None:
    """Makes TensorFlow Text's operations known where a SavedModel needs more than TensorFlow's.

    A stock server has them; here they come with a package that takes a second to import.
    """
    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    if any(foreign(operations(each.graph_def)) for each in saved.meta_graphs):
        import tensorflow_text  # noqa: F401


def unknown(names: set[str]) -> set[str]:
    """Those that TensorFlow Text does not have either."""
    import tensorflow_text  # noqa: F401
    from tensorflow.python.framework import op_def_registry

    return {name for name in names if op_def_registry.get(name) is None}


def oldest_server(names: set[str]) -> str:
    """The oldest TensorFlow Serving that has operations of TensorFlow Text."""
    return LATER if names & SINCE_LATER else FIRST
