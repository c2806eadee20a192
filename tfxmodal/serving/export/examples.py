"""Example requests of each signature with the eager model's answers: for warm-up and checks."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from tfxmodal.io.datasets import records
from tfxmodal.lazy import tf
from tfxmodal.serving.export.eager import Arrays, EagerModel
from tfxmodal.serving.export.signatures import ServedRun, Signature
from tfxmodal.serving.messages import predict_pb2, prediction_log_pb2
from tfxmodal.serving.model_config import WARM_UP

SENTENCES = ("a dog runs on the beach", "two people ride horses", "a red bus in the city")
ROWS = len(SENTENCES)
NUMBERS = frozenset({"embedding", "score"})
"""Outputs of one row that are numbers."""


def examples(served: ServedRun, signatures: dict[str, Signature]) -> dict[str, tuple]:
    """Inputs and outputs of each signature, by its name."""
    eager, found = EagerModel(served), {}
    for name, signature in signatures.items():
        inputs = {key: _rows(key, spec, served) for key, spec in signature.inputs.items()}
        found[name] = inputs, getattr(eager, name)(**inputs)
    return found


def rounding(served: ServedRun, found: dict[str, tuple[Arrays, Arrays]]) -> float:
    """How far the eager model's numbers move when a row is asked alone, and not in a batch.

    Both are right but for rounding, which some maps amplify: the whitening at the end of a CCA. So
    far may the answers of a server be off, too.

    Args:
        served: The run as it is exported.
        found: What `examples` gives.

    Returns:
        The largest distance, absolute and relative; 0 where rows are not answered one by one.
    """
    eager, furthest = EagerModel(served), 0.0
    for name, (inputs, outputs) in found.items():
        if (
            name == "score_matrix" or "ids" in outputs
        ):  # A search has the rounding of its embedding.
            continue
        for row in range(ROWS):
            alone = getattr(eager, name)(**{key: rows[[row]] for key, rows in inputs.items()})
            furthest = max(
                furthest,
                *(distance(alone[key], outputs[key][[row]]) for key in NUMBERS & alone.keys()),
            )
    return furthest


def distance(found: np.ndarray, wanted: np.ndarray) -> float:
    """The largest distance of two arrays' numbers, absolute and relative; NaN if any is."""
    return float((np.abs(found - wanted) / np.maximum(1, np.abs(wanted))).max(initial=0))


def write_examples(folder: Path, model: str, found: dict[str, tuple[Arrays, Arrays]]):
    """Writes them as the warm-up records of a version, with the answers that are expected."""
    path = folder / WARM_UP
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name, (inputs, outputs) in found.items():
            request, response = predict_pb2.PredictRequest(), predict_pb2.PredictResponse()
            for message, tensors in ((request.inputs, inputs), (response.outputs, outputs)):
                for key, rows in tensors.items():
                    message[key].CopyFrom(tf.make_tensor_proto(rows))
            for spec in (request.model_spec, response.model_spec):
                spec.name, spec.signature_name = model, name
            log = prediction_log_pb2.PredictLog(request=request, response=response)
            record = prediction_log_pb2.PredictionLog(predict_log=log)
            writer.write(record.SerializeToString())


def read_examples(folder: Path) -> Iterator[tuple[str, Arrays, Arrays]]:
    """What `write_examples` wrote: signature, inputs, outputs."""
    for record in records(folder / WARM_UP):
        log = prediction_log_pb2.PredictionLog.FromString(record).predict_log
        arrays = (
            {key: tf.make_ndarray(tensor) for key, tensor in tensors.items()}
            for tensors in (log.request.inputs, log.response.outputs)
        )
        yield log.request.model_spec.signature_name, *arrays


def _rows(name: str, spec: tf.TensorSpec, served: ServedRun) -> np.ndarray:
    """Good rows of an input."""
    if name == "image":
        return pictures()
    if name == "text":
        words = served.text_encoder.words or ()
        known = [" ".join(words[row::ROWS][:4]) for row in range(min(ROWS, len(words)))]
        texts = known * ROWS if known else SENTENCES
        return np.array([text.encode() for text in texts[:ROWS]], object)
    random = np.random.default_rng(len(name))
    # Of either sign: codes of numbers of one sign would all be alike.
    rows = random.standard_normal([ROWS, *spec.shape[1:]]) / np.sqrt(spec.shape[-1])
    return rows.astype(np.float32)


def pictures() -> np.ndarray:
    """Pictures in colour, in grey and with transparency, as JPEG and PNG: bytes `[3]`."""
    random = np.random.default_rng(0)
    encoded = []
    for mode, kind in (("RGB", "JPEG"), ("L", "PNG"), ("RGBA", "PNG")):
        noise = random.integers(0, 256, [6, 8, len(mode)], np.uint8)
        image = Image.fromarray(noise.squeeze(), mode).resize([96, 72])
        buffer = io.BytesIO()
        image.save(buffer, kind)
        encoded.append(buffer.getvalue())
    return np.array(encoded, object)
