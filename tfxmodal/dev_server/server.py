"""A server with TensorFlow Serving's gRPC interface, in Python: for trying and testing.

PredictionService and ModelService answer with the same names, messages and error codes; there is
no REST, no monitoring, and none of the real server's speed.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path

import grpc

from tfxmodal.dev_server.batching import Batcher, Batching
from tfxmodal.dev_server.model_store import ModelStore
from tfxmodal.errors import InputError
from tfxmodal.io.reading import read_text
from tfxmodal.serving.client.protos.serving_pb2 import ModelServerConfig
from tfxmodal.serving.messages import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)
from tfxmodal.serving.verification.served_model import (
    NeverAnswered,
    RequestError,
    ServedModel,
    invalid,
)

UNLIMITED = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))


@dataclass(frozen=True)
class Tls:
    """PEM files of a server: its private key and its certificate."""

    key: Path
    certificate: Path


class DevServer:
    """Serves until it is stopped; a context manager.

    Attributes:
        port: Where it listens.
    """

    def __init__(
        self,
        config: ModelServerConfig,
        port: int = 0,
        tls: Tls | None = None,
        batching: Batching | None = None,
        threads: int = 0,
        workers: int = 32,
        poll_seconds: float = 1.0,
        log=print,
    ):
        """Takes the port, loads the models, and answers.

        Args:
            config: The models.
            port: 0 takes a free one.
            tls: Encrypts, where given.
            batching: Runs concurrent requests as one, where given.
            threads: Of each model's session; 0 is one a core.
            workers: Requests answered at once.
            poll_seconds: Time between two looks for new versions.
            log: Takes lines about versions that come, go or fail.

        Raises:
            InputError: If a model does not load, the port is taken, or the PEM files are none.
        """
        self._log = log
        batcher = partial(Batcher, batching=batching) if batching else None
        self._store = ModelStore(partial(ServedModel, threads=threads, batcher=batcher), log)
        options = (*UNLIMITED, ("grpc.so_reuseport", 0))
        self._server = grpc.server(ThreadPoolExecutor(workers), options=options)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            _PredictionService(self._store), self._server
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(
            _ModelService(self._store), self._server
        )
        self.port = self._listen(port, tls)
        try:
            self._store.configure(config)
        except RequestError as error:
            self._server.stop(None)
            raise InputError(f"Cannot serve: {error.message}") from None
        self._server.start()
        self._stopping = threading.Event()
        self._poller = threading.Thread(target=self._poll, args=[poll_seconds], daemon=True)
        self._poller.start()

    def stop(self, grace: float = 5.0):
        """Takes no more requests, and gives those under way `grace` seconds."""
        self._stopping.set()
        self._server.stop(grace).wait()
        self._poller.join()

    def __enter__(self) -> "DevServer":
        return self

    def __exit__(self, *_):
        self.stop()

    def _listen(self, port: int, tls: Tls | None) -> int:
        try:
            if tls is None:
                return self._server.add_insecure_port(f"[::]:{port}")
            pair = read_text(tls.key).encode(), read_text(tls.certificate).encode()
            return self._server.add_secure_port(f"[::]:{port}", grpc.ssl_server_credentials([pair]))
        except RuntimeError as error:
            files = f", or correct {tls.key} and {tls.certificate}" if tls else ""
            raise InputError(
                f"Cannot listen on port {port} ({error}): give another{files}."
            ) from None

    def _poll(self, seconds: float):
        while not self._stopping.wait(seconds):
            try:
                self._store.poll()
            except Exception as error:  # The next look may see them.
                self._log(f"Cannot look for new versions ({error}).")


def _answers(method):
    """Turns a RequestError into the call's status, and holds a call that is never answered.

    Its thread is held until the caller gives up; in TensorFlow Serving it is lost.
    """

    @wraps(method)
    def call(self, request, context):
        try:
            return method(self, request)
        except RequestError as error:
            context.abort(error.code, error.message)
        except NeverAnswered:
            ended = threading.Event()
            if context.add_callback(ended.set):
                ended.wait()
            context.abort(grpc.StatusCode.CANCELLED, "The caller gave up.")

    return call


class _PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict and GetModelMetadata; what else there is answers UNIMPLEMENTED."""

    def __init__(self, store: ModelStore):
        self._store = store

    @_answers
    def Predict(self, request):  # noqa: N802
        version, model = self._store.find(request.model_spec)
        response = model.predict(request)
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = version
        return response

    @_answers
    def GetModelMetadata(self, request):  # noqa: N802
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for name in request.metadata_field:
            if name != "signature_def":
                raise invalid(f"Metadata field {name} is not supported")
        version, model = self._store.find(request.model_spec)
        signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=model.signatures)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = version
        response.metadata["signature_def"].Pack(signatures)
        return response


class _ModelService(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, store: ModelStore):
        self._store = store

    @_answers
    def GetModelStatus(self, request):  # noqa: N802
        return get_model_status_pb2.GetModelStatusResponse(
            model_version_status=self._store.status(request.model_spec)
        )

    @_answers
    def HandleReloadConfigRequest(self, request):  # noqa: N802
        config = ModelServerConfig.FromString(request.config.SerializeToString())
        self._store.configure(config)
        return model_management_pb2.ReloadConfigResponse()
