"""A version of a model under examination: its files, its graph, and what a server loads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from google.protobuf.message import DecodeError

from tfxmodal.lazy import tf
from tfxmodal.serving.export.eager import Arrays
from tfxmodal.serving.export.examples import read_examples
from tfxmodal.serving.messages import predict_pb2, saved_model_pb2
from tfxmodal.serving.model_config import DESCRIPTION, WARM_UP
from tfxmodal.serving.verification.served_model import ServedModel


class Fault(Exception):
    """Why a version may not be published."""


@dataclass
class Version:
    """A version's folder under examination.

    Attributes:
        folder: MODELS/NAME/VERSION, or a hidden folder that shall become one.
    """

    folder: Path

    @cached_property
    def about(self) -> dict:
        """What it says of itself; a SavedModel that says nothing is taken to be batched."""
        if not (self.folder / DESCRIPTION).exists():
            return {"batchable": True, "on_bad_input": "flag", "tensorflow_text": False}
        try:
            return json.loads((self.folder / DESCRIPTION).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise Fault(f"{DESCRIPTION} cannot be read ({error})") from error

    @cached_property
    def graph(self):
        """Its MetaGraphDef."""
        saved = saved_model_pb2.SavedModel()
        try:
            saved.ParseFromString((self.folder / "saved_model.pb").read_bytes())
        except (OSError, DecodeError) as error:
            raise Fault(f"saved_model.pb cannot be read ({error!r})") from error
        for graph in saved.meta_graphs:
            if "serve" in graph.meta_info_def.tags:
                return graph
        raise Fault("saved_model.pb holds no graph with the tag `serve`")

    @cached_property
    def signatures(self) -> dict:
        """Its SignatureDefs by name, less the default and what only initialises."""
        hidden = ("serving_default", "__saved_model_init_op")
        found = self.graph.signature_def.items()
        return {name: signature for name, signature in found if name not in hidden}

    @cached_property
    def examples(self) -> dict[str, tuple[Arrays, Arrays]]:
        """Inputs and expected outputs, by signature."""
        if not (self.folder / WARM_UP).exists():
            return {}
        try:
            return {name: (inputs, outputs) for name, inputs, outputs in read_examples(self.folder)}
        except (tf.errors.OpError, DecodeError, ValueError, TypeError) as error:
            raise Fault(f"the warm-up records cannot be read ({error!r})") from error

    @cached_property
    def model(self) -> ServedModel:
        """The model as a server loads it."""
        try:
            return ServedModel(self.folder)
        except Exception as error:  # What is broken can fail in any way, see ServedModel.
            raise Fault(f"a server cannot load and warm it up: {first_line(error)}") from error

    def ask(self, name: str, inputs: Arrays) -> Arrays:
        """The outputs of a signature."""
        request = predict_pb2.PredictRequest()
        request.model_spec.signature_name = name
        for key, rows in inputs.items():
            request.inputs[key].CopyFrom(tf.make_tensor_proto(rows))
        outputs = self.model.predict(request).outputs
        return {key: tf.make_ndarray(tensor) for key, tensor in outputs.items()}


def first_line(error: Exception) -> str:
    """What an error says, without the graph's stack."""
    said = str(error).removeprefix("Graph execution error:").strip()
    return said.split("\n")[0] or repr(error)
