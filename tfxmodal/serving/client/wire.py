"""Connections to a server, and arrays as it takes and gives them."""

from __future__ import annotations

import json
from pathlib import Path

import grpc
import numpy as np

from tfxmodal.errors import InputError
from tfxmodal.lazy import tf


def open_channel(target: str, retries: int, tls: bool | str | Path) -> grpc.Channel:
    """A channel for messages of any size; its arguments are those of `Client`.

    gRPC itself retries, within a call's deadline.
    """
    policy = {
        "maxAttempts": retries + 1,
        "initialBackoff": "0.2s",
        "maxBackoff": "6s",
        "backoffMultiplier": 3,
        "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
    }
    service = {"methodConfig": [{"name": [{}], "retryPolicy": policy}]} if retries else {}
    options = [
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        ("grpc.service_config", json.dumps(service)),
        ("grpc.per_rpc_retry_buffer_size", 2**30),  # a request beyond it would not be retried
        ("grpc.initial_reconnect_backoff_ms", 100),
    ]
    if not tls:
        return grpc.insecure_channel(target, options)
    try:
        roots = None if tls is True else Path(tls).read_bytes()
    except OSError as error:
        raise InputError(f"Cannot read {tls} ({error.strerror}): give a PEM file.") from None
    return grpc.secure_channel(target, grpc.ssl_channel_credentials(roots), options)


def to_tensor(value):
    """A tensor of float32 or strings from a list or an array."""
    # As objects: NumPy's own type for bytes loses zeros at their end.
    array = np.asarray(value, getattr(value, "dtype", object))
    if array.dtype.kind in "USO" and all(isinstance(x, str | bytes) for x in array.flat):
        return tf.make_tensor_proto(array.astype(object))
    return tf.make_tensor_proto(np.asarray(value, np.float32))


def to_array(tensor) -> np.ndarray:
    """The array of a tensor; strings are decoded from UTF-8."""
    array = tf.make_ndarray(tensor)
    return np.vectorize(bytes.decode, otypes=[str])(array) if array.dtype == object else array
