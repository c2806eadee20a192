"""One version of a SavedModel, loaded and run as TensorFlow Serving does it: in a session.

`tf.saved_model.load` is more forgiving: it runs exports whose variables TensorFlow Serving cannot
find. Feeds, too, go straight to the graph, with no check of their shapes, as they do there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import grpc
import numpy as np

from tfxmodal.io.datasets import records
from tfxmodal.lazy import tf
from tfxmodal.serving.messages import config_pb2, predict_pb2, prediction_log_pb2, types_pb2
from tfxmodal.serving.model_config import WARM_UP
from tfxmodal.serving.verification.text_operations import register

MAX_WARM_UP_RECORDS = 1000
MAX_ELEMENTS = 2**28
"""Of one input; a short message may claim any shape, its last value is repeated."""

Run = Callable[[list[np.ndarray]], list[np.ndarray]]
"""A signature's function, from inputs to outputs, each sorted by name."""

CODES = {code.value[0]: code for code in grpc.StatusCode}


class RequestError(Exception):
    """What a request is answered with in place of a result.

    Attributes:
        code: The gRPC status code.
        message: What TensorFlow Serving would say.
    """

    def __init__(self, code: grpc.StatusCode, message: str):
        super().__init__(f"{code.name}: {message}")
        self.code, self.message = code, message


class NeverAnswered(Exception):
    """A request that TensorFlow Serving, when it batches, leaves waiting for ever."""


def invalid(message: str) -> RequestError:
    """The error for a request that cannot be right."""
    return RequestError(grpc.StatusCode.INVALID_ARGUMENT, message)


class ServedModel:
    """A loaded version; its methods may be called from many threads at once.

    Attributes:
        signatures: SignatureDefs by name.
    """

    def __init__(self, folder: Path, threads: int = 0, batcher: Callable[[Run], Run] | None = None):
        """Loads a version and replays its warm-up records.

        Args:
            folder: MODELS/NAME/VERSION.
            threads: Of the session, within an op and between ops; 0 is one a core.
            batcher: Makes of a signature's function one that runs concurrent requests as one.

        Raises:
            Exception: Of any kind, where the folder is partial or broken or a warm-up fails.
        """
        register(folder)
        config = tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=threads,
            inter_op_parallelism_threads=threads,
        )
        self._session = tf.compat.v1.Session(graph=tf.Graph(), config=config)
        with self._session.graph.as_default(), _without_warnings():
            graph = tf.compat.v1.saved_model.loader.load(self._session, ["serve"], str(folder))
        self.signatures = dict(graph.signature_def)
        self._batcher = batcher
        self._runner = lru_cache(maxsize=None)(self._make_runner)
        self._warm_up(folder / WARM_UP)

    def predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        """Answers a request; the model's name and version are for the caller to fill in.

        Raises:
            RequestError: With the code that TensorFlow Serving gives.
            NeverAnswered: If it gives none.
        """
        name = request.model_spec.signature_name or "serving_default"
        if name not in self.signatures:
            raise RequestError(
                grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.'
            )
        signature = self.signatures[name]
        feeds = _feeds(signature, request)
        outputs = _outputs(signature, request)
        try:
            results = self._runner(name, outputs)(feeds)
        except tf.errors.OpError as error:
            raise RequestError(CODES[error.error_code], error.message) from None
        response = predict_pb2.PredictResponse()
        response.model_spec.signature_name = name
        for output, result in zip(outputs, results, strict=True):
            response.outputs[output].CopyFrom(tf.make_tensor_proto(result))
        return response

    def _make_runner(self, name: str, outputs: tuple[str, ...]) -> Run:
        """A function from the signature's inputs, sorted by name, to `outputs`."""
        signature = self.signatures[name]
        call = self._session._make_callable_from_options(
            config_pb2.CallableOptions(
                feed=[signature.inputs[key].name for key in sorted(signature.inputs)],
                fetch=[signature.outputs[key].name for key in outputs],
            )
        )

        def run(feeds: list[np.ndarray]) -> list[np.ndarray]:
            return call(*feeds)

        whole = len(outputs) == len(signature.outputs)  # Others pass the real server's batcher by.
        return self._batcher(run) if self._batcher and whole else run

    def _warm_up(self, path: Path):
        if not path.exists():
            return
        for number, record in enumerate(records(path), start=1):
            log = prediction_log_pb2.PredictionLog.FromString(record)
            if number > MAX_WARM_UP_RECORDS:
                raise invalid(f"Number of warmup records exceeds {MAX_WARM_UP_RECORDS}")
            if log.WhichOneof("log_type") != "predict_log":
                raise invalid("Unsupported log_type for warmup")
            self.predict(log.predict_log.request)


@contextmanager
def _without_warnings() -> Iterator[None]:
    """The session loader is deprecated, but it is what servers use."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)


def _feeds(signature, request: predict_pb2.PredictRequest) -> list[np.ndarray]:
    """The request's inputs as arrays, sorted by name."""
    given, wanted = set(request.inputs), set(signature.inputs)
    if given != wanted:
        raise invalid(
            f"input size does not match signature: {len(given)}!={len(wanted)}. "
            f"Sent extra: {{{','.join(sorted(given - wanted))}}}. "
            f"Missing but required: {{{','.join(sorted(wanted - given))}}}."
        )
    return [_array(key, request.inputs[key], signature.inputs[key].dtype) for key in sorted(given)]


def _array(name: str, tensor, dtype: int) -> np.ndarray:
    """The array in a TensorProto."""
    if tensor.dtype != dtype:
        got = _dtype_name(tensor.dtype)
        raise invalid(f"Expects input {name} to be {_dtype_name(dtype)} but {got} is provided")
    sizes = [dim.size for dim in tensor.tensor_shape.dim]
    if min(sizes, default=0) < 0 or math.prod(sizes) > MAX_ELEMENTS:
        raise invalid(f"tensor parsing error: {name}")
    try:
        return tf.make_ndarray(tensor)
    except (ValueError, TypeError):
        raise invalid(f"tensor parsing error: {name}") from None


def _outputs(signature, request: predict_pb2.PredictRequest) -> tuple[str, ...]:
    """Names of the outputs asked for: all of them without a filter."""
    wanted = tuple(request.output_filter) or tuple(sorted(signature.outputs))
    for name in wanted:
        if name not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {name} Outputs expected to be in the "
                f"set {{{','.join(sorted(signature.outputs))}}}."
            )
    if len(set(wanted)) < len(wanted):
        raise invalid("duplicate output tensor alias")
    return wanted


def _dtype_name(code: int) -> str:
    """`float` of 1; the number itself where there is no such type."""
    known = code in types_pb2.DataType.values()
    return types_pb2.DataType.Name(code)[len("DT_") :].lower() if known else str(code)
