"""A trained run as the functions that a server offers, from encoded pictures and strings on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tfxmodal.data.pairs import MAX_TEXT_BYTES
from tfxmodal.encoders.image import ImageEncoder
from tfxmodal.encoders.image.with_pillow import MAX_PIXELS
from tfxmodal.encoders.text import TextEncoder
from tfxmodal.errors import InputError
from tfxmodal.lazy import keras, tf
from tfxmodal.serving.export.gallery import Gallery
from tfxmodal.serving.export.half_weights import HalfWeights
from tfxmodal.serving.export.inputs import (
    Rows,
    embed,
    finite,
    image_rows,
    refuse,
    text_rows,
    zeros_where_bad,
)
from tfxmodal.training.trained_run import TrainedRun, load_run

Outputs = dict[str, tf.Tensor]
FAULTS = {
    "image": "is no whole JPEG, PNG, GIF, BMP or WebP picture, or one of more than "
    f"{MAX_PIXELS:,} pixels: the query client converts other kinds that it can read",
    "text": f"holds no word that the model knows, or more than {MAX_TEXT_BYTES:,} bytes",
} | dict.fromkeys(
    ("features", "image_embedding", "text_embedding"), "holds numbers that are not finite"
)


@dataclass(frozen=True)
class Signature:
    """A function that a server offers.

    Attributes:
        function: From the inputs, in their order, to the outputs by name.
        inputs: What it takes, by name.
    """

    function: Callable[..., Outputs]
    inputs: dict[str, tf.TensorSpec]


class ServedRun:
    """The functions of a run, each row of a batch by itself, so that a server may batch requests.

    Args:
        run: The trained run.
        on_bad_input: What a row does that is no picture, a text without a word that the run knows,
            or not of finite numbers: `refuse` the request and name the row, or `flag` it, zeros
            in each output and false in the output `valid`.
        top_k: Items that a search returns, or all where there are fewer.
        weights: How weights are stored, see `ExportConfig`. Those of bfloat16 are of the run opened
            again, and rounded; the run that is given stays as it is.

    Attributes:
        run: The run as it is served.
        half: Stores weights in half the space, or None.
        galleries: What is searched: of `images`, of `texts`, both or none.
        image_encoder: The image encoder, or None where features of images came ready.
        text_encoder: The text encoder, or None where features of texts came ready.
    """

    def __init__(
        self,
        run: TrainedRun,
        on_bad_input: str = "flag",
        top_k: int = 100,
        weights: str = "float32",
    ):
        if weights == "bfloat16":
            run = replace(load_run(run.folder.path), settings=run.settings)
        self.run = run = run.folded()
        self.on_bad_input, self.top_k = on_bad_input, top_k
        self.galleries: dict[str, Gallery] = {}
        self.scorer = run.scorer()
        self.image_encoder: ImageEncoder | None = None
        self.text_encoder: TextEncoder | None = None
        if run.description["image_encoder"]:
            self.image_encoder = run.load_image_encoder().folded
        if run.description["text_encoder"]:
            self.text_encoder = run.load_text_encoder()
            if not self.text_encoder.served:
                raise InputError(
                    f"The text encoder of {run.folder.path} is a CLIP of KerasHub, whose tokenizer "
                    "gives other tokens in a server than in training: train with a SigLIP."
                )
        self.half = HalfWeights(self._models()) if weights == "bfloat16" else None
        # Functions of a graph, which an export holds once for all signatures.
        raw = [tf.TensorSpec([None], tf.string)]
        self._images, self._texts = (
            tf.function(each, raw, autograph=False) for each in (self._images, self._texts)
        )

    def signatures(self) -> dict[str, Signature]:
        """All that the run can offer, by name; the first is what is asked for by default."""
        networks = self.run.method.networks
        image, text = (_inputs(**{name: ([None], tf.string)}) for name in ("image", "text"))
        embeddings = {
            f"{kind}_embedding": (networks[f"{kind}_encoder"].output_shape, tf.float32)
            for kind in ("image", "text")
        }
        offered = {}
        if self.text_encoder:
            offered["embed_text"] = Signature(self.embed_text, text)
        if self.image_encoder:
            offered["embed_image"] = Signature(self.embed_image, image)
        for kind in ("text", "image"):
            if not self.run.inputs.modality(kind).raw:
                features = _inputs(features=(networks[f"{kind}_encoder"].input_shape, tf.float32))
                name = f"embed_{kind}_features"
                offered[name] = Signature(getattr(self, name), features)
        if self.image_encoder and self.text_encoder:
            offered["score_pairs"] = Signature(self.score_pairs, image | text)
        offered["score_embedding_pairs"] = Signature(
            self.score_embedding_pairs, _inputs(**embeddings)
        )
        # Where features come ready, a query's do, too.
        for gallery, kind, raw in (("texts", "image", image), ("images", "text", text)):
            if gallery in self.galleries:
                name = f"search_{gallery}" + "_by_features" * (f"embed_{kind}" not in offered)
                asked = (
                    raw if f"embed_{kind}" in offered else offered[f"embed_{kind}_features"].inputs
                )
                offered[name] = Signature(getattr(self, name), asked)
        return offered

    def _models(self) -> list[keras.layers.Layer]:
        """All networks with weights, the encoders' among them."""
        encoders = [part.model for part in (self.image_encoder, self.text_encoder) if part]
        if self.run.inputs.image.kind == "map":
            encoders.append(self.image_encoder.map_model)
        return [*self.run.method.networks.values(), *encoders]

    def matrix_signatures(self) -> dict[str, Signature]:
        """The scores of all pairs, whose rows are not a batch's: for a model of its own."""
        return {
            "score_matrix": Signature(
                self.score_matrix, self.signatures()["score_embedding_pairs"].inputs
            )
        }

    def tables(self) -> list[keras.layers.Layer]:
        """Layers with vocabularies or graphs of their own; an export finds variables by itself."""
        images = self.image_encoder.model.layers if self.image_encoder else []
        found = [layer for layer in images if isinstance(layer, keras.layers.TFSMLayer)]
        return [*found, *(self.text_encoder.resources if self.text_encoder else [])]

    # === Endpoints: inputs and outputs share their first dimension ==============================

    def embed_image(self, image: tf.Tensor) -> Outputs:
        """Embeddings of encoded pictures."""
        embedding, valid = self._images(image)
        return self._answer({"embedding": embedding}, image=valid)

    def embed_text(self, text: tf.Tensor) -> Outputs:
        """Embeddings of texts."""
        embedding, valid, told = self._texts(text)
        return self._answer({"embedding": embedding} | told, text=valid)

    def embed_image_features(self, features: tf.Tensor) -> Outputs:
        """Embeddings of ready features of images."""
        return self._answer(
            {"embedding": self._embed("image", features)}, features=finite(features)
        )

    def embed_text_features(self, features: tf.Tensor) -> Outputs:
        """Embeddings of ready features of texts."""
        return self._answer({"embedding": self._embed("text", features)}, features=finite(features))

    def score_pairs(self, image: tf.Tensor, text: tf.Tensor) -> Outputs:
        """Scores of encoded pictures with texts, pair by pair."""
        images, pictured = self._images(image)
        texts, worded, told = self._texts(text)
        scores = self.scorer.graph_score_pairs(images, texts)
        return self._answer({"score": scores} | told, image=pictured, text=worded)

    def score_embedding_pairs(
        self, image_embedding: tf.Tensor, text_embedding: tf.Tensor
    ) -> Outputs:
        """Scores of embeddings, pair by pair."""
        return self._answer(
            {"score": self.scorer.graph_score_pairs(image_embedding, text_embedding)},
            image_embedding=finite(image_embedding),
            text_embedding=finite(text_embedding),
        )

    def search_texts(self, image: tf.Tensor) -> Outputs:
        """The texts of the gallery that match encoded pictures best."""
        images, valid = self._images(image)
        return self._answer(self._best_texts(images), image=valid)

    def search_images(self, text: tf.Tensor) -> Outputs:
        """The images of the gallery that match texts best."""
        texts, valid, told = self._texts(text)
        return self._answer(self._best_images(texts) | told, text=valid)

    def search_texts_by_features(self, features: tf.Tensor) -> Outputs:
        """The texts of the gallery that match ready features of images best."""
        images = self._embed("image", features)
        return self._answer(self._best_texts(images), features=finite(features))

    def search_images_by_features(self, features: tf.Tensor) -> Outputs:
        """The images of the gallery that match ready features of texts best."""
        texts = self._embed("text", features)
        return self._answer(self._best_images(texts), features=finite(features))

    def score_matrix(self, image_embedding: tf.Tensor, text_embedding: tf.Tensor) -> Outputs:
        """Scores of all pairs of embeddings; rows that are not of finite numbers are refused."""
        given = {"image_embedding": image_embedding, "text_embedding": text_embedding}
        checks = [refuse(name, finite(rows), FAULTS[name]) for name, rows in given.items()]
        with tf.control_dependencies(checks):
            scores = self.scorer.graph_score(image_embedding, text_embedding)
            return {"scores": tf.where(tf.math.is_finite(scores), scores, 0.0)}

    # === Their parts ===========================================================================

    def _images(self, image: tf.Tensor) -> Rows:
        rows, valid = image_rows(self.image_encoder, image, self.run.inputs.image.kind)
        return self._embed("image", rows), valid

    def _texts(self, text: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, Outputs]:
        """Embeddings, which are valid, and the words that the model does not know."""
        kind = self.run.inputs.text.kind
        (rows, valid), unknown = text_rows(self.text_encoder, text, kind)
        told = {} if self.text_encoder.words is None else {"unknown_words": unknown}
        return self._embed("text", rows), valid, told

    def _embed(self, kind: str, rows: tf.Tensor) -> tf.Tensor:
        return embed(self.run.method.networks[f"{kind}_encoder"], rows)

    def _best_texts(self, images: tf.Tensor) -> Outputs:
        """What the gallery of texts holds for embeddings of images `[batch, d]`."""
        rows = self.scorer.graph_images(images)
        return self.galleries["texts"].search(
            lambda texts: self.scorer.graph_score_rows(rows, texts), self.top_k
        )

    def _best_images(self, texts: tf.Tensor) -> Outputs:
        """What the gallery of images holds for embeddings of texts `[batch, d]`."""
        rows = self.scorer.graph_texts(texts)
        return self.galleries["images"].search(
            lambda images: tf.transpose(self.scorer.graph_score_rows(images, rows)), self.top_k
        )

    def _answer(self, outputs: Outputs, **valid: tf.Tensor) -> Outputs:
        """The outputs with what is to be done about bad rows; `valid` is by input."""
        numbers = [finite(rows) for rows in outputs.values() if rows.dtype.is_floating]
        overall = tf.reduce_all(tf.stack([*valid.values(), *numbers]), axis=0)
        outputs = {name: zeros_where_bad(rows, overall) for name, rows in outputs.items()}
        if self.on_bad_input == "flag":
            return outputs | {"valid": overall}
        checks = [refuse(name, rows, FAULTS[name]) for name, rows in valid.items()]
        checks.append(refuse(next(iter(valid)), overall, "leads to numbers that are not finite"))
        with tf.control_dependencies(checks):
            return {name: tf.identity(rows) for name, rows in outputs.items()}


def _inputs(**inputs: tuple) -> dict[str, tf.TensorSpec]:
    """Specifications by name, from shape and dtype."""
    return {name: tf.TensorSpec(*spec, name=name) for name, spec in inputs.items()}
