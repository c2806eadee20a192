"""A model without a server: what `Client` answers, in NumPy."""

import io
from types import SimpleNamespace

import grpc
import numpy as np
from PIL import Image

from tfxmodal.errors import InputError
from tfxmodal.serving.client.client import ServerError

WORDS = ("red", "green", "blue", "car", "field", "sea")
COLOURS = {"red": (220, 20, 20), "green": (20, 200, 30), "blue": (20, 30, 220)}


def picture(colour="red", size: int = 16, kind: str = "PNG") -> bytes:
    """The bytes of a picture of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), COLOURS.get(colour, colour)).save(buffer, kind)
    return buffer.getvalue()


class FakeClient:
    """Words are axes of the space, turned by the version; a picture lies among its colours.

    Attributes:
        versions: Those on the server, each with the seed of its weights.
        fault: A status that is answered in place of everything.
        is_dot_product: Whether the score is the dot product of the embeddings, or its cube.
        asked: How many requests were answered.
        unknown: By version a word, or a picture, of which it can make nothing.
    """

    def __init__(self, **versions: int):
        self.spec = SimpleNamespace(name="fake")
        self.versions = {int(name.strip("v")): seed for name, seed in versions.items()} or {1: 1}
        self.fault, self.is_dot_product, self.asked, self.version = None, True, 0, 1
        self.unknown: dict[int, str | bytes] = {}
        self._shared = self

    def at_version(self, version: int) -> "FakeClient":
        other = FakeClient()
        other._shared, other.version = self._shared, version
        return other

    def metadata(self):
        self._turned(np.eye(1, len(WORDS)))
        outputs = SimpleNamespace(outputs={"embedding", "valid"})
        names = ("embed_image", "embed_text", "score_embedding_pairs")
        return self.version, dict.fromkeys(names, outputs)

    def predict(self, signature: str, **inputs) -> dict[str, np.ndarray]:
        read = {"embed_image": _colours, "embed_text": _words}[signature]
        ((_, contents),) = inputs.items()
        rows = np.array([read(content) for content in contents], np.float32)
        unknown = self._shared.unknown.get(self.version)
        rows[[isinstance(unknown, type(c)) and unknown in c for c in contents]] = 0
        return {"embedding": self._turned(rows), "valid": rows.any(axis=1)}

    def embed_images(self, images) -> np.ndarray:
        return self._good("image", images)

    def read_texts(self, texts):
        unknown = [[word for word in text.split() if word not in WORDS] for text in texts]
        return self._good("text", texts), unknown

    def score_embeddings(self, images: np.ndarray, texts: np.ndarray) -> np.ndarray:
        self._turned(np.eye(1, len(WORDS)))
        scores = np.einsum("nd,nd->n", images, texts)
        return scores if self._shared.is_dot_product else scores**3

    def _good(self, name: str, rows) -> np.ndarray:
        outputs = self.predict(f"embed_{name}", **{name: rows})
        if not outputs["valid"].all():
            raise InputError(f"The {name} holds nothing that the model knows: give another one.")
        return outputs["embedding"]

    def _turned(self, rows: np.ndarray) -> np.ndarray:
        """Unit rows as this version embeds them."""
        server = self._shared
        fault = server.fault
        if fault is None and self.version not in server.versions:
            fault = grpc.StatusCode.NOT_FOUND
        if fault is not None:
            raise ServerError(f"The model server answers {fault.name}.", fault, "")
        server.asked += 1
        rng = np.random.default_rng(server.versions[self.version])
        turn, _ = np.linalg.qr(rng.standard_normal((len(WORDS), len(WORDS))))
        rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
        return (rows @ turn).astype(np.float32)


def _words(text: str) -> np.ndarray:
    return np.array([text.split().count(word) for word in WORDS], float)


def _colours(contents: bytes) -> np.ndarray:
    try:
        pixels = np.asarray(Image.open(io.BytesIO(contents)).convert("RGB"), float)
    except OSError:
        return np.zeros(len(WORDS))
    return np.pad(pixels.mean(axis=(0, 1)) / 255 + 0.01, (0, len(WORDS) - 3))
