"""A client of an exported model on TensorFlow Serving (or the development server), by gRPC."""

from __future__ import annotations

import math
import random
import time
import unicodedata
from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path

import grpc
import numpy as np

from tfxmodal.encoders.image.with_pillow import UnreadPicture, as_decoded
from tfxmodal.errors import InputError
from tfxmodal.io.reading import read_json
from tfxmodal.serving.client.checks import (
    check_finite,
    check_lengths,
    check_several,
    fault_of,
    tensor_of,
)
from tfxmodal.serving.client.protos import serving_pb2 as pb
from tfxmodal.serving.client.refusals import (
    BY_OTHERS,
    CLOSED,
    TOO_MANY,
    ServerError,
    bad_rows,
    explain,
)
from tfxmodal.serving.client.tensors import to_array, type_name
from tfxmodal.serving.client.wire import Stub, open_channel
from tfxmodal.serving.model_config import GALLERY

AVAILABLE = pb.ModelVersionStatus.State.AVAILABLE
MAX_RETRIES = 4
"""As many as gRPC makes."""

MOMENT = 0.1
"""Seconds, at most, after which a request is sent again that cannot leave the batches."""

Image = bytes | str | Path
"""The bytes of a picture file, or its path."""


class Client:
    """Asks one model; NumPy in and out. A context manager; threads may share it.

    Every method sends one request (a server that batches refuses more rows than its batches hold:
    32 in export/deploy), and raises `ServerError` where the server, the model, its version or its
    signature is not there, or time is up, and `InputError` where rows are bad: pictures that cannot
    be decoded, texts without a word. What does not fit the signature, as the server describes it,
    is not sent. One that is refused is sent once more, so that no other caller's mistake fails it:
    see `predict`.
    """

    def __init__(
        self,
        target: str,
        model: str,
        version: int | None = None,
        label: str | None = None,
        deadline: float = 10.0,
        retries: int = 3,
        tls: bool | str | Path = False,
    ):
        """Connects with the first request, not now.

        Args:
            target: Host and port, such as `localhost:8500`.
            model: The model's name on the server.
            version: Its version; by default the latest.
            label: Or a label of a version, such as `stable`.
            deadline: Seconds for a request, its retries included.
            retries: How often, at most 4, a request is sent again when the server is unavailable
                or has no thread left, after 0.2 s at first and then three times as long each time.
            tls: Encrypt: True trusts the system's authorities, a path those in the PEM file.

        Raises:
            InputError: If the arguments do not fit together, one is out of range, or the PEM file
                cannot be read.
        """
        if version is not None and label is not None:
            raise InputError(f"Version {version} and label {label!r} are both given: give one.")
        if not 0 <= retries <= MAX_RETRIES:
            raise InputError(f"retries is {retries}: give 0 to {MAX_RETRIES}.")
        if deadline is None or not 0 < deadline < math.inf:
            raise InputError(f"`deadline` must be above 0; received {deadline}: give seconds.")
        self.target, self.deadline = target, deadline
        self.spec = pb.ModelSpec(name=model)
        if version is not None:
            self.spec.version.value = version
        if label is not None:
            self.spec.version_label = label
        self._channel = open_channel(target, retries, tls)
        self._stub = Stub(self._channel)
        self._signatures: dict[str, pb.SignatureDef] | None = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Ends the connection."""
        self._channel.close()

    def at_version(self, version: int) -> Client:
        """A client of this version, over the same connection."""
        other = copy(self)
        other.spec = pb.ModelSpec(name=self.spec.name)
        other.spec.version.value = version
        other._signatures = None
        return other

    def embed_images(self, images: Sequence[Image]) -> np.ndarray:
        """Embeddings `[b, d]` of pictures."""
        return self._whole("embed_image", image=images)["embedding"]

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Embeddings `[b, d]` of texts."""
        return self._whole("embed_text", text=texts)["embedding"]

    def score_pairs(self, images: Sequence[Image], texts: Sequence[str]) -> np.ndarray:
        """Scores `[b]` of each picture with its text."""
        return self._whole("score_pairs", image=images, text=texts)["score"]

    def score_embeddings(self, images: np.ndarray, texts: np.ndarray) -> np.ndarray:
        """Scores `[b]` of embeddings `[b, d]` of pictures with those of texts, of any number.

        One output is asked for. A server that batches takes no such request into its batches, and
        has no limit of rows for it, where the signature has several outputs.

        Raises:
            InputError: If a row is not finite as float32, which would have the score 0.
        """
        request = self._request(
            "score_embedding_pairs", {"image_embedding": images, "text_embedding": texts}
        )
        request.output_filter.append("score")
        self._checked(request)
        for name in ("image_embedding", "text_embedding"):
            check_finite(name, to_array(request.inputs[name]))
        answer = self._predict(request, time.monotonic() + self.deadline)
        return to_array(answer.outputs["score"])

    def search_texts(self, images: Sequence[Image], k: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """Ids and scores `[b, k]` of the gallery's best texts for each picture."""
        return self._search("search_texts", k, image=images)

    def search_images(self, texts: Sequence[str], k: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """Ids and scores `[b, k]` of the gallery's best images for each text."""
        return self._search("search_images", k, text=texts)

    def unknown_words(self, texts: Sequence[str]) -> list[list[str]]:
        """Words of each text that the model does not know, and which therefore say nothing.

        At most 20 a text, each once; none where the model cannot tell them, as earlier exports.
        """
        return _unknown(self.predict("embed_text", text=texts), len(texts))

    def read_texts(self, texts: Sequence[str]) -> tuple[np.ndarray, list[list[str]]]:
        """Embeddings `[b, d]` of texts, and their `unknown_words`, by one request."""
        outputs = self._whole("embed_text", text=texts)
        return outputs["embedding"], _unknown(outputs, len(texts))

    def predict(self, signature: str, **inputs) -> dict[str, np.ndarray]:
        """Any signature, as the server answers it: where there is a `valid`, look at it.

        A request that a server refuses may have met a wrong one in a batch. It is sent once more:
        in two parts, of which each asks for some of the outputs, since TensorFlow Serving batches
        only requests for all of them; or, where there is one output alone, a moment later.

        Args:
            signature: Its name, such as `score_embedding_pairs`.
            inputs: By name: strings, bytes or floats, one or more, in lists, arrays or generators.
        """
        end = time.monotonic() + self.deadline
        request = self._request(signature, inputs)
        outputs = self._checked(request)
        try:
            answers = [self._predict(request, end)]
        except ServerError as error:
            if error.code not in BY_OTHERS or TOO_MANY in error.details:
                raise
            answers = self._predict_alone(request, outputs, end)
        return {n: to_array(tensor) for answer in answers for n, tensor in answer.outputs.items()}

    def metadata(self) -> tuple[int, dict]:
        """The version that answers, and its signatures as SignatureDefs by name."""
        request = pb.GetModelMetadataRequest(model_spec=self.spec, metadata_field=["signature_def"])
        response = self._call(self._stub.metadata, request, "metadata")
        found = pb.SignatureDefMap.FromString(response.metadata["signature_def"].value)
        public = {n: s for n, s in found.signature_def.items() if not n.startswith("__")}
        return response.model_spec.version.value, public

    def signatures(self) -> dict[str, dict[str, dict[str, str]]]:
        """Names and types: `{"embed_text": {"inputs": {"text": "string [-1]"}, ...}}`."""
        return {
            name: {"inputs": _described(signature.inputs), "outputs": _described(signature.outputs)}
            for name, signature in sorted(self.metadata()[1].items())
        }

    def gallery(self, path: Path | None = None) -> dict[str, dict[str, str]]:
        """What to show for the ids that a search finds.

        Args:
            path: The gallery.json of the export; by default that of models/MODEL/VERSION, of the
                version that answers, where it is on this machine.

        Returns:
            By id, captions of `texts` and paths of `images`; nothing where there is no such file.
        """
        if path is None:
            path = Path("models", self.spec.name, str(self.metadata()[0]), GALLERY)
            if not path.exists():
                return {}
        return read_json(path)

    def status(self) -> dict[int, str]:
        """The state of each version: `{2: "AVAILABLE", 1: "END"}`, with the error where it has."""
        spec = pb.ModelSpec(name=self.spec.name)
        request = pb.GetModelStatusRequest(model_spec=spec)
        response = self._call(self._stub.status, request, "status")
        state_name = pb.ModelVersionStatus.State.Name
        return {
            v.version: ": ".join(filter(None, [state_name(v.state), v.status.error_message]))
            for v in response.model_version_status
        }

    def available(self) -> str:
        """The versions that are available, or nothing where the model is unknown."""
        request = pb.GetModelStatusRequest(model_spec=pb.ModelSpec(name=self.spec.name))
        try:
            response = self._stub.status(request, timeout=self.deadline)
        except grpc.RpcError:
            return ""
        numbers = [v.version for v in response.model_version_status if v.state == AVAILABLE]
        return ", ".join(map(str, sorted(numbers))) or "none that is loaded"

    def _search(self, signature: str, k: int, **inputs) -> tuple[np.ndarray, np.ndarray]:
        if k < 1:
            raise InputError(f"top-k is {k}: give 1 or more.")
        found = self._whole(signature, **inputs)
        return found["ids"][:, :k], found["scores"][:, :k]

    def _request(self, signature: str, inputs: Mapping) -> pb.PredictRequest:
        request = pb.PredictRequest(model_spec=self.spec)
        request.model_spec.signature_name = signature
        for name, rows in inputs.items():
            request.inputs[name].CopyFrom(tensor_of(name, rows))
        return request

    def _checked(self, request: pb.PredictRequest) -> list[str]:
        """The outputs of a request's signature, or none where it is not known.

        Raises:
            InputError: If the request does not fit it, also as the newest version has it.
        """
        name = request.model_spec.signature_name
        known = self._learnt() if self._signatures is None else self._signatures
        if fault_of(name, known, request.inputs):  # What is known may be of an older version.
            known = self._learnt()
        if fault := fault_of(name, known, request.inputs):
            raise InputError(fault)
        return sorted(known[name].outputs) if name in known else []

    def _learnt(self) -> dict[str, pb.SignatureDef]:
        """The signatures as they are now; none where a gateway keeps them back."""
        try:
            self._signatures = self.metadata()[1]
        except ServerError as error:
            if error.code not in CLOSED:
                raise
            self._signatures = {}
        return self._signatures

    def _predict(self, request: pb.PredictRequest, end: float) -> pb.PredictResponse:
        what = f"signature {request.model_spec.signature_name}"
        return self._call(self._stub.predict, request, what, max(0.0, end - time.monotonic()))

    def _predict_alone(
        self, request: pb.PredictRequest, outputs: list[str], end: float
    ) -> list[pb.PredictResponse]:
        """The answers, which together hold the outputs, to a request that is in no batch."""
        if len(outputs) < 2:
            time.sleep(random.uniform(0, MOMENT))
            return [self._predict(request, end)]
        request.output_filter[:] = outputs[:1]
        first = self._predict(request, end)
        request.output_filter[:] = outputs[1:]
        request.model_spec.version.value = first.model_spec.version.value
        return [first, self._predict(request, end)]

    def _whole(self, signature: str, **inputs) -> dict[str, np.ndarray]:
        """Like `predict`, of pictures and texts, with every row good."""
        check_several(inputs)
        inputs = {name: list(rows) for name, rows in inputs.items()}
        sent = dict(inputs)
        if "image" in inputs:
            sent["image"] = _contents(inputs["image"])
        if "text" in inputs:
            sent["text"] = check_lengths(inputs["text"])
        outputs = self.predict(signature, **sent)
        valid = outputs.get("valid", np.ones(0, bool))
        if not valid.all():
            raise bad_rows(inputs, valid)
        return outputs

    def _call(self, method, request, what: str, timeout: float | None = None):
        try:
            return method(request, timeout=self.deadline if timeout is None else timeout)
        except grpc.RpcError as error:
            code, details = error.code(), " ".join((error.details() or "").split())
        raise ServerError(explain(self, code, details, what), code, details)


def _unknown(outputs: dict[str, np.ndarray], rows: int) -> list[list[str]]:
    """The words, each once, that a model tells of texts, where it does."""
    told = outputs.get("unknown_words", [""] * rows)
    return [[*dict.fromkeys(unicodedata.normalize("NFC", words).split())] for words in told]


def _contents(images: Sequence[Image]) -> list[bytes]:
    contents = []
    try:
        for image in images:
            contents.append(image if isinstance(image, bytes) else Path(image).read_bytes())
            contents[-1] = as_decoded(contents[-1])
    except UnreadPicture as error:
        name = "a picture" if isinstance(image, bytes) else image
        raise InputError(f"Cannot read {name} ({error}).") from None
    except OSError as error:
        raise InputError(
            f"Cannot read {error.filename} ({error.strerror}): give a picture."
        ) from None
    except (TypeError, ValueError) as error:
        raise InputError(f"`image` takes paths and the bytes of pictures ({error}).") from None
    return contents


def _described(tensors) -> dict[str, str]:
    return {
        name: f"{type_name(t.dtype)} {[dim.size for dim in t.tensor_shape.dim]}"
        for name, t in sorted(tensors.items())
    }
