"""One version of a model on its server, which embeds what is asked and what is kept."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from tfxmodal.encoders.image.with_pillow import UnreadPicture, as_decoded
from tfxmodal.errors import InputError
from tfxmodal.retrieval.scorer import Scorer
from tfxmodal.service.pictures import DECODED_AT_ONCE
from tfxmodal.serving.client.client import Client
from tfxmodal.serving.client.probe import TEXT, is_near, picture
from tfxmodal.serving.client.refusals import FAULTS, ServerError

ROWS = 16
"""Pictures or texts in a request: a server that batches takes no more than its batches hold."""

PAIRS = 4096
"""Pairs of embeddings in a request."""

NEEDED = ("embed_image", "embed_text", "score_embedding_pairs")


@dataclass(frozen=True)
class Probe:
    """What a model makes of a picture and a text that are always the same: it tells models apart.

    Attributes:
        image: Embedding `[d]`.
        text: Embedding `[d]`, or nothing where the model knows no word of it.
        score: The two's, or the image's with itself.
    """

    image: list[float]
    text: list[float] | None
    score: float

    @property
    def is_dot_product(self) -> bool:
        """Whether the score is the embeddings' dot product, so that a store can search them."""
        product = float(np.dot(self.image, self.text or self.image))
        return abs(product - self.score) <= 1e-4 * max(1.0, abs(self.score))

    def is_of(self, other: Probe) -> bool:
        """Whether another probe is of the same model."""
        pairs = [(self.image, other.image), ([self.score], [other.score])]
        if self.text and other.text:
            pairs.append((self.text, other.text))
        return bool(self.text) == bool(other.text) and all(is_near(*pair) for pair in pairs)


class ServedScorer(Scorer):
    """Scores embeddings by a model on its server, for `search.index`.

    Args:
        client: Asks the version of the model.
        is_dot_product: Whether the score is the embeddings' dot product.
    """

    def __init__(self, client: Client, is_dot_product: bool):
        self._client, self.is_dot_product = client, is_dot_product

    def embed_images(self, features) -> np.ndarray:
        """Not known here."""
        raise NotImplementedError("A model server embeds pictures, not their features.")

    def embed_texts(self, features) -> np.ndarray:
        """Not known here."""
        raise NotImplementedError("A model server embeds texts, not their features.")

    def score(self, images: np.ndarray, texts: np.ndarray) -> np.ndarray:
        """Scores of all pairs, `[n, m]` float32."""
        if self.is_dot_product:
            return images @ texts.T
        step, scores = max(1, PAIRS // max(1, len(texts))), [np.empty(0, np.float32)]
        for start in range(0, len(images), step):
            some = images[start : start + step]
            repeated = np.repeat(some, len(texts), axis=0), np.tile(texts, (len(some), 1))
            scores.append(self.score_pairs(*repeated))
        return np.concatenate(scores).reshape(len(images), len(texts))

    def score_pairs(self, images: np.ndarray, texts: np.ndarray) -> np.ndarray:
        """Scores of aligned pairs: `[n, d]` and `[n, d]` to `[n]`."""
        if self.is_dot_product:
            return np.einsum("nd,nd->n", images, texts)
        scores = [np.empty(0, np.float32)]
        for start in range(0, len(images), PAIRS):
            part = slice(start, start + PAIRS)
            scores.append(self._client.score_embeddings(images[part], texts[part]))
        return np.concatenate(scores)


class ServedModel:
    """A version of a model, always the same one, whatever its labels say.

    Args:
        client: Asks the server.
        version: The version.
    """

    def __init__(self, client: Client, version: int):
        self.name, self.version = client.spec.name, version
        self._client = client.at_version(version)

    def scorer(self, is_dot_product: bool) -> ServedScorer:
        """Scores embeddings; see `Probe.is_dot_product`."""
        return ServedScorer(self._client, is_dot_product)

    def embed_text(self, text: str) -> tuple[np.ndarray, list[str]]:
        """The embedding `[d]` of a text, and the words of it that the model does not know.

        Raises:
            InputError: If it has no word that the model knows.
        """
        embeddings, unknown = self._client.read_texts([text])
        return embeddings[0], unknown[0]

    def embed_image(self, picture: bytes) -> np.ndarray:
        """The embedding `[d]` of a picture.

        Raises:
            InputError: If it is none.
        """
        with DECODED_AT_ONCE, suppress(UnreadPicture):  # The client tells what is wrong with it.
            picture = as_decoded(picture)
        return self._client.embed_images([picture])[0]

    def embed_all(
        self, kind: str, contents: Sequence[bytes | str]
    ) -> tuple[np.ndarray, dict[int, str]]:
        """Embeddings `[n, d]` of pictures or texts, and by the row why some have none.

        Args:
            kind: `images` or `texts`.
            contents: `[n]` bytes of pictures, or texts.

        Raises:
            ServerError: If the server does not answer.
        """
        name, reasons = kind.removesuffix("s"), {}
        rows = list(contents)
        for row, content in enumerate(rows):
            try:
                if isinstance(content, bytes):
                    with DECODED_AT_ONCE:
                        rows[row] = as_decoded(content)
            except UnreadPicture as error:
                rows[row], reasons[row] = b"", f"it cannot be read ({error})"
        parts = [np.empty((0, 0), np.float32)]
        for start in range(0, len(rows), ROWS):
            outputs = self._client.predict(f"embed_{name}", **{name: rows[start : start + ROWS]})
            parts.append(outputs["embedding"])
            for row in np.flatnonzero(~outputs["valid"]):
                reasons.setdefault(start + int(row), f"it holds {FAULTS[name]}")
        return np.concatenate(parts[1:] or parts), reasons

    def probe(self) -> Probe:
        """What tells this model from others.

        Raises:
            InputError: If the model cannot do what the service needs.
            ServerError: If the server or the version is not there.
        """
        _, signatures = self._client.metadata()
        if missing := [name for name in NEEDED if name not in signatures]:
            raise InputError(
                f"The model {self.name!r} has no {', '.join(missing)}: the service needs an export "
                "that takes pictures and texts."
            )
        if "valid" not in signatures["embed_image"].outputs:
            raise InputError(
                f"The model {self.name!r} refuses a request for one bad row: export it with "
                "`on_bad_input` flag."
            )
        image = self.embed_image(picture())
        try:
            text, _ = self.embed_text(TEXT)
        except ServerError:
            raise
        except InputError:
            text = None
        other = image if text is None else text
        score = self._client.score_embeddings(image[None], other[None])
        return Probe(image.tolist(), None if text is None else text.tolist(), float(score[0]))
