"""Malformed requests: each must be answered by an error, or by a `valid` of false."""

import threading
from collections import Counter
from collections.abc import Iterator

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from tests.serving import tiny
from tfxmodal.serving.client.client import Client
from tfxmodal.serving.client.tensors import to_array

EXPECTED = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.NOT_FOUND,
}
"""What a request that is wrong may be told; anything else is the server's own trouble."""


def requests(n: int, model: str, signatures: dict, seed: int = 0) -> Iterator:
    """`n` malformed requests, each another, the same for a seed.

    Args:
        n: How many.
        model: Its name on the server.
        signatures: SignatureDefs by name.
        seed: Of the random numbers.
    """
    rng = np.random.default_rng(seed)
    pictures = [tiny.picture(tuple(rng.integers(0, 256, 3).tolist()), size) for size in (9, 60)]
    names = sorted(signatures)
    for _ in range(n):
        request = predict_pb2.PredictRequest()
        request.model_spec.name = model
        name = str(rng.choice(names))
        request.model_spec.signature_name = name
        inputs = signatures[name].inputs
        kinds = {key: tf.as_dtype(inputs[key].dtype) for key in sorted(inputs)}
        for key, kind in kinds.items():
            good = pictures[0] if key == "image" else b"a red car"
            width = inputs[key].tensor_shape.dim[-1].size
            value = np.array([good], object) if kind == tf.string else tiny.rows(1, width)
            request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
        damage = huge_string if rng.random() < 0.005 else rng.choice(DAMAGES)
        damage(rng, request, str(rng.choice(sorted(kinds))), kinds, pictures)
        yield request


def wrong_dtype(rng, request, key, kinds, pictures):
    value = rng.choice([0, 1, 2.5], size=rng.integers(0, 4, size=rng.integers(0, 3)))
    dtype = rng.choice(["float64", "int32", "bool", "float16", "uint8", "complex64"])
    request.inputs[key].CopyFrom(tf.make_tensor_proto(value.astype(dtype)))


def unknown_dtype(rng, request, key, kinds, pictures):
    request.inputs[key].dtype = int(rng.choice([0, 20, 21, 77, 101, 2**31 - 1]))


def wrong_width(rng, request, key, kinds, pictures):
    shape = [1, int(rng.integers(5, 31))] if kinds[key] != tf.string else [1, 2]
    fill = b"a" if kinds[key] == tf.string else 1.0
    _put(request, key, np.full(shape, fill, kinds[key].as_numpy_dtype))


def wrong_rank(rng, request, key, kinds, pictures):
    shape = [[], [1, 1, 1], [2, 1, 2, 1]][rng.integers(3)]
    fill = b"" if kinds[key] == tf.string else 1.0
    _put(request, key, np.full(shape, fill, kinds[key].as_numpy_dtype))


def shape_that_lies(rng, request, key, kinds, pictures):
    shape = request.inputs[key].tensor_shape
    del shape.dim[:]
    for size in [[-1], [2, -3], [2**62, 2**62], [10**9, 10**9], [2**40]][rng.integers(5)]:
        shape.dim.add(size=size)


def cut_content(rng, request, key, kinds, pictures):
    tensor = request.inputs[key]
    tensor.tensor_content = rng.bytes(int(rng.integers(1, 4)))
    if kinds[key] == tf.string:
        tensor.tensor_shape.dim[0].size = -7


def missing_input(rng, request, key, kinds, pictures):
    del request.inputs[key]


def one_more_input(rng, request, key, kinds, pictures):
    _put(request, rng.bytes(4).hex(), np.array([b"x"], object))


def unknown_output(rng, request, key, kinds, pictures):
    request.output_filter.append(rng.bytes(3).hex())


def unknown_signature(rng, request, key, kinds, pictures):
    request.model_spec.signature_name = rng.bytes(int(rng.integers(1, 9))).hex()


def unknown_version(rng, request, key, kinds, pictures):
    if rng.random() < 0.5:
        request.model_spec.version.value = int(rng.integers(-(2**62), 0))
    else:
        request.model_spec.version_label = rng.bytes(3).hex()


def rows_of_rubbish(rng, request, key, kinds, pictures):
    """Strings that are nothing: for inputs that are numbers, strings at all."""
    rows = [_rubbish(rng, key, pictures) for _ in range(rng.integers(1, 4))]
    for each, kind in kinds.items():
        if kind == tf.string or each == key:
            _put(request, each, np.array(rows, object))


def _rubbish(rng, key: str, pictures: list[bytes]) -> bytes:
    if key != "image":
        return bytes(rng.choice([9, 10, 13, 32], size=rng.integers(0, 40)).astype(np.uint8))
    whole = pictures[rng.integers(len(pictures))]
    kind = rng.integers(5)
    if kind == 0:
        return rng.bytes(int(rng.integers(0, 300)))
    if kind == 1:
        return whole[: rng.integers(0, len(whole))]
    if kind == 2:
        return whole[:8] + rng.bytes(100) + whole[-8:]  # damaged within
    if kind == 3:
        return tiny.picture(kind="JPEG")[: rng.integers(1, 300)]
    return b""


def huge_string(rng, request, key, kinds, pictures):
    """A megabyte of nothing."""
    for each in kinds:
        _put(request, each, np.array([b" \n" * 500_000], object))


DAMAGES = [
    wrong_dtype,
    unknown_dtype,
    wrong_width,
    wrong_rank,
    shape_that_lies,
    cut_content,
    missing_input,
    one_more_input,
    unknown_output,
    unknown_signature,
    unknown_version,
    *[rows_of_rubbish] * 6,
]


def _put(request, key: str, value: np.ndarray):
    request.inputs[key].CopyFrom(tf.make_tensor_proto(value))


def answers(client: Client, made, in_flight: int = 16) -> Counter:
    """How often the server answered what.

    A status code, `valid` where that is false, or `taken for good`.
    """
    counts, slots, left = Counter(), threading.Semaphore(in_flight), threading.Lock()

    def done(request, call):
        code = call.code()
        what = code
        if code is grpc.StatusCode.OK:
            outputs = call.result().outputs
            valid = to_array(outputs["valid"]) if "valid" in outputs else np.True_
            what = "taken for good" if np.all(valid) and valid.size else "valid"
        with left:
            counts[what] += 1
        slots.release()

    for request in made:
        slots.acquire()
        call = client._stub.predict.future(request, timeout=60)
        call.add_done_callback(lambda call, request=request: done(request, call))
    for _ in range(in_flight):
        slots.acquire()
    return counts
