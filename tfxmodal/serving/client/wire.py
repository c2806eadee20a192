"""Connections to a server, and the calls that it answers."""

from __future__ import annotations

import json
from pathlib import Path

import grpc

from tfxmodal.errors import InputError
from tfxmodal.serving.client.protos import serving_pb2 as pb


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
    # Of a name with several addresses, each gets its share of the requests.
    service: dict = {"loadBalancingConfig": [{"round_robin": {}}]}
    if retries:
        service["methodConfig"] = [{"name": [{}], "retryPolicy": policy}]
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


class Stub:
    """The calls of TensorFlow Serving's services, each from its request to its response.

    A call takes a `timeout` in seconds and has a `future`, as all calls of gRPC.
    """

    def __init__(self, channel: grpc.Channel):
        def call(path: str, response) -> grpc.UnaryUnaryMultiCallable:
            return channel.unary_unary(
                f"/tensorflow.serving.{path}",
                request_serializer=lambda request: request.SerializeToString(),
                response_deserializer=response.FromString,
            )

        self.predict = call("PredictionService/Predict", pb.PredictResponse)
        self.metadata = call("PredictionService/GetModelMetadata", pb.GetModelMetadataResponse)
        self.status = call("ModelService/GetModelStatus", pb.GetModelStatusResponse)
        self.reload = call("ModelService/HandleReloadConfigRequest", pb.ReloadConfigResponse)
