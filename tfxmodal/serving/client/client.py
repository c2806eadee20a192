"""A client of an exported model on TensorFlow Serving (or the development server), by gRPC."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from pathlib import Path

import grpc
import numpy as np

from tfxmodal.encoders.image.with_pillow import UnreadPicture, as_decoded
from tfxmodal.errors import InputError
from tfxmodal.io.reading import read_json
from tfxmodal.serving.client.protos import serving_pb2 as pb
from tfxmodal.serving.client.tensors import to_array, to_tensor, type_name
from tfxmodal.serving.client.wire import Stub, open_channel
from tfxmodal.serving.model_config import GALLERY

Code = grpc.StatusCode
AVAILABLE = pb.ModelVersionStatus.State.AVAILABLE
MAX_RETRIES = 4
"""As many as gRPC makes."""

FAULTS = {"image": "no picture that can be read", "text": "no word that the model knows"}

Image = bytes | str | Path
"""The bytes of a picture file, or its path."""


class ServerError(InputError):
    """A request that the server did not answer with a result, and what to do about it.

    Attributes:
        code: The gRPC status code.
        details: The server's own words.
    """

    def __init__(self, message: str, code: grpc.StatusCode, details: str):
        super().__init__(message)
        self.code, self.details = code, details


class Client:
    """Asks one model; NumPy in and out. A context manager; threads may share it.

    Every method sends one request (a server that batches refuses more rows than its batches hold:
    32 in export/deploy), and raises `ServerError` where the server, the model, its version or its
    signature is not there, or time is up, and `InputError` where rows are bad: pictures that cannot
    be decoded, texts without a word.
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
            InputError: If the arguments do not fit together, or the PEM file cannot be read.
        """
        if version is not None and label is not None:
            raise InputError(f"Version {version} and label {label!r} are both given: give one.")
        if not 0 <= retries <= MAX_RETRIES:
            raise InputError(f"retries is {retries}: give 0 to {MAX_RETRIES}.")
        self.target, self.deadline = target, deadline
        self.spec = pb.ModelSpec(name=model)
        if version is not None:
            self.spec.version.value = version
        if label is not None:
            self.spec.version_label = label
        self._channel = open_channel(target, retries, tls)
        self._stub = Stub(self._channel)

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

    def search_texts(self, images: Sequence[Image], k: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """Ids and scores `[b, k]` of the gallery's best texts for each picture."""
        return self._search("search_texts", k, image=images)

    def search_images(self, texts: Sequence[str], k: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """Ids and scores `[b, k]` of the gallery's best images for each text."""
        return self._search("search_images", k, text=texts)

    def predict(self, signature: str, **inputs) -> dict[str, np.ndarray]:
        """Any signature, as the server answers it: where there is a `valid`, look at it.

        Args:
            signature: Its name, such as `score_embedding_pairs`.
            inputs: By name: strings, bytes or floats, in lists or arrays.
        """
        request = pb.PredictRequest(model_spec=self.spec)
        request.model_spec.signature_name = signature
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(to_tensor(value))
        response = self._call(self._stub.predict, request, f"signature {signature}")
        return {name: to_array(tensor) for name, tensor in response.outputs.items()}

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

    def _search(self, signature: str, k: int, **inputs) -> tuple[np.ndarray, np.ndarray]:
        if k < 1:
            raise InputError(f"top-k is {k}: give 1 or more.")
        found = self._whole(signature, **inputs)
        return found["ids"][:, :k], found["scores"][:, :k]

    def _whole(self, signature: str, **inputs) -> dict[str, np.ndarray]:
        """Like `predict`, of pictures and texts, with every row good."""
        for name, rows in inputs.items():
            if isinstance(rows, str | bytes | Path):
                raise InputError(f"A single {name} is given, {str(rows)[:40]!r}: give a list.")
        if "image" in inputs:
            inputs["image"] = _contents(inputs["image"])
        outputs = self.predict(signature, **inputs)
        bad = np.flatnonzero(~outputs.get("valid", np.ones(0, bool)))
        if bad.size:
            faults = " or ".join(FAULTS[name] for name in sorted(inputs))
            raise InputError(
                f"{len(bad)} of {len(outputs['valid'])} rows hold {faults} (row "
                f"{', '.join(map(str, bad[:3]))}{', ...' * (len(bad) > 3)}): give others."
            )
        return outputs

    def _call(self, method, request, what: str):
        try:
            return method(request, timeout=self.deadline)
        except grpc.RpcError as error:
            code, details = error.code(), " ".join((error.details() or "").split())
        raise ServerError(self._explain(code, details, what), code, details)

    def _explain(self, code: grpc.StatusCode, details: str, what: str) -> str:
        """One sentence: what was asked for, what is there, what to do."""
        model = f"model {self.spec.name!r} at {self.target}"
        if code == Code.UNAVAILABLE:
            return (
                f"No server answers at {self.target} ({details}): start one with export/serve.py, "
                "or correct the address and --tls."
            )
        if code == Code.DEADLINE_EXCEEDED:
            return (
                f"The {model} did not answer within {self.deadline:g} s ({what}): give a longer "
                "--deadline, or send fewer rows at once."
            )
        if code == Code.NOT_FOUND or "version label" in details:
            there = self._versions()
            if not there:
                return f"There is no {model}: correct the name, or serve it with export/serve.py."
            choice = self.spec.WhichOneof("version_choice")
            asked = {
                "version": self.spec.version.value,
                "version_label": f"labelled {self.spec.version_label!r}",
            }.get(choice, "the latest")
            return f"The {model} has no version {asked}: it has {there}."
        if code == Code.FAILED_PRECONDITION and "ignature" in details:
            try:
                names = ", ".join(sorted(self.metadata()[1]))
            except ServerError:
                names = "unknown ones"
            return f"The {model} has no {what}: it has {names}."
        return f"The {model} refused the request ({what}, {code.name}): {details}"

    def _versions(self) -> str:
        """Versions that are available, or nothing where the model is unknown."""
        request = pb.GetModelStatusRequest(model_spec=pb.ModelSpec(name=self.spec.name))
        try:
            response = self._stub.status(request, timeout=self.deadline)
        except grpc.RpcError:
            return ""
        numbers = [v.version for v in response.model_version_status if v.state == AVAILABLE]
        return ", ".join(map(str, sorted(numbers))) or "none that is loaded"


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
    return contents


def _described(tensors) -> dict[str, str]:
    return {
        name: f"{type_name(t.dtype)} {[dim.size for dim in t.tensor_shape.dim]}"
        for name, t in sorted(tensors.items())
    }
