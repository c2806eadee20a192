"""What a run answers by the library's own scorer and encoders: the measure of an export."""

import unicodedata

import numpy as np

from tfxmodal.encoders.image.pictures import decode
from tfxmodal.encoders.text.known_words import unknown_words
from tfxmodal.serving.export.gallery import Gallery
from tfxmodal.serving.export.inputs import UNKNOWN_WORDS
from tfxmodal.serving.export.signatures import ServedRun

Arrays = dict[str, np.ndarray]


class EagerModel:
    """The endpoints of `ServedRun` on good input, each as evaluation would compute it.

    Args:
        served: The run as it is exported.
    """

    def __init__(self, served: ServedRun):
        self._served, self._scorer = served, served.scorer

    def embed_image(self, image: np.ndarray) -> Arrays:
        """Embeddings of encoded pictures, bytes `[b]`."""
        encoder = self._served.image_encoder
        rows = np.stack([decode(contents, encoder.preprocessing) for contents in image])
        return self.embed_image_features(self._served.run.image_rows(encoder, rows))

    def embed_text(self, text: np.ndarray) -> Arrays:
        """Embeddings of texts, UTF-8 `[b]`."""
        encoder, texts = self._served.text_encoder, [each.decode() for each in text]
        rows = self._served.run.row_encoder(encoder).encode(texts)
        return self.embed_text_features(rows) | self._unknown_words(texts)

    def embed_image_features(self, features: np.ndarray) -> Arrays:
        """Embeddings of features."""
        return {"embedding": self._scorer.embed_images(features)}

    def embed_text_features(self, features: np.ndarray) -> Arrays:
        """Embeddings of features."""
        return {"embedding": self._scorer.embed_texts(features)}

    def score_pairs(self, image: np.ndarray, text: np.ndarray) -> Arrays:
        """Scores pair by pair."""
        told = self._unknown_words([each.decode() for each in text])
        return self.score_embedding_pairs(**self._embeddings(image=image, text=text)) | told

    def score_embedding_pairs(
        self, image_embedding: np.ndarray, text_embedding: np.ndarray
    ) -> Arrays:
        """Scores pair by pair."""
        return {"score": self._scorer.score_pairs(image_embedding, text_embedding)}

    def score_matrix(self, image_embedding: np.ndarray, text_embedding: np.ndarray) -> Arrays:
        """Scores of all pairs."""
        return {"scores": self._scorer.score(image_embedding, text_embedding)}

    def search_texts(self, image: np.ndarray) -> Arrays:
        """The best texts of the gallery."""
        return self._best_texts(self.embed_image(image))

    def search_images(self, text: np.ndarray) -> Arrays:
        """The best images of the gallery."""
        queries = self.embed_text(text)
        embedding = {"embedding": queries.pop("embedding")}
        return self._best_images(embedding) | queries

    def search_texts_by_features(self, features: np.ndarray) -> Arrays:
        """The best texts of the gallery."""
        return self._best_texts(self.embed_image_features(features))

    def search_images_by_features(self, features: np.ndarray) -> Arrays:
        """The best images of the gallery."""
        return self._best_images(self.embed_text_features(features))

    def _best_texts(self, queries: Arrays) -> Arrays:
        gallery = self._served.galleries["texts"]
        found = self._scorer.top_k(queries["embedding"], gallery.embeddings, self._served.top_k)
        return self._found(gallery, *found)

    def _best_images(self, queries: Arrays) -> Arrays:
        gallery = self._served.galleries["images"]
        found = self._scorer.top_k_images(
            queries["embedding"], gallery.embeddings, self._served.top_k
        )
        return self._found(gallery, *found)

    def _embeddings(self, image, text) -> Arrays:
        return {
            "image_embedding": self.embed_image(image)["embedding"],
            "text_embedding": self.embed_text(text)["embedding"],
        }

    def _unknown_words(self, texts: list[str]) -> Arrays:
        """Words that the run does not know, as its graph writes them, where it can tell."""
        encoder = self._served.text_encoder
        if encoder.words is None:
            return {}
        told = [" ".join(words[:UNKNOWN_WORDS]) for words in unknown_words(encoder, texts)]
        written = [unicodedata.normalize("NFD", each).encode() for each in told]
        return {"unknown_words": np.array(written, object)}

    def _found(self, gallery: Gallery, rows: np.ndarray, scores: np.ndarray) -> Arrays:
        return {"ids": gallery.ids.numpy()[rows], "scores": scores}
