"""A new index for a trained model."""

import numpy as np

from tfxmodal.data.pairs import Features
from tfxmodal.errors import InputError, choose
from tfxmodal.retrieval.scorer import Scorer
from tfxmodal.search.codes import CodeSpace
from tfxmodal.search.index import GALLERIES, Index
from tfxmodal.search.landmarks import DotSpace, LandmarkSpace, oriented_score
from tfxmodal.search.stores import FaissCodes, FaissStore, Store

FIT = 2048
"""Training items on which a relation score's queries are fitted."""


def build_index(
    scorer: Scorer,
    fingerprint: str,
    gallery: str,
    images: Features | None = None,
    texts: Features | None = None,
    landmarks: int = 256,
    kind: str = "auto",
    store: Store | None = None,
    rescore: float = 0.005,
    seed: int = 0,
) -> Index:
    """An empty index, ready for `add`.

    Where the score is a dot product, the embeddings are searched themselves; binary codes are
    packed, and searched by their Hamming distance. Any other scorer is
    searched by its scores against landmarks, drawn from training items, see
    `tfxmodal.search.landmarks`.

    Args:
        scorer: The trained model's.
        fingerprint: Names its weights.
        gallery: `texts` or `images`: what is searched, by the other modality.
        images: Features `[n, d_image]` of training images; none are needed for a dot product.
        texts: Features `[m, d_text]` of training texts; likewise.
        landmarks: Training items of the query's modality that items are scored against.
        kind: How the FAISS store searches: `flat` (all vectors), `scan` (their four-bit codes) or
            `auto` (by size).
        store: Another store, empty, in its place.
        rescore: Share of the gallery that is scored exactly for each query, see `Index`; of a
            dot product the candidates are few by themselves.
        seed: Of the draw.

    Raises:
        InputError: If a name is unknown, a number out of range or there are no training items.
    """
    choose("gallery", gallery, GALLERIES)
    if scorer.is_hamming:
        if kind == "scan":
            raise InputError(
                "`kind` scan reads four-bit codes of floats; received it for a run of binary "
                "codes, which are all compared: leave it out."
            )
        return Index(scorer, fingerprint, gallery, CodeSpace(), store or FaissCodes(), rescore=0)
    store = FaissStore(kind) if store is None else store
    if scorer.is_dot_product:
        return Index(scorer, fingerprint, gallery, DotSpace(), store, rescore=0)
    if images is None or texts is None or not len(images) or not len(texts):
        raise InputError(
            "The index of a score that is no dot product needs training `images` and `texts`, for "
            "the landmarks; received none: give those that the model was trained on."
        )
    if landmarks < 1:
        raise InputError(f"`landmarks` must be at least 1; received {landmarks}.")
    random = np.random.default_rng(seed)

    def drawn(features: Features, count: int) -> np.ndarray:
        return features[np.sort(random.permutation(len(features))[:count])]

    of_images, of_texts = (landmarks, FIT) if gallery == "texts" else (FIT, landmarks)
    images = scorer.embed_images(drawn(images, of_images))
    texts = scorer.embed_texts(drawn(texts, of_texts))
    queries, items = (images, texts) if gallery == "texts" else (texts, images)
    space = LandmarkSpace.fit(oriented_score(scorer, gallery), queries, items)
    return Index(scorer, fingerprint, gallery, space, store, rescore)
