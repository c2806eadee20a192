"""A new index for a trained model."""

from pathlib import Path

import numpy as np

from tfxmodal.data.pairs import Features
from tfxmodal.errors import InputError, choose
from tfxmodal.retrieval.scorer import Scorer
from tfxmodal.search.index import GALLERIES, Index
from tfxmodal.search.landmarks import LandmarkSpace, oriented_score
from tfxmodal.search.stores import STORES, About, FaissStore
from tfxmodal.search.stores.folder import INDEX

LANDMARKS, RESCORE = 256, 0.005
"""Of a score that is no dot product, by default."""

FIT = 2048
"""Training items on which a relation score's queries are fitted."""


def build_index(
    scorer: Scorer,
    fingerprint: str,
    gallery: str,
    images: Features | None = None,
    texts: Features | None = None,
    landmarks: int | None = None,
    kind: str | None = None,
    rescore: float | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
    store: str = "faiss",
    **place: str,
) -> Index:
    """An empty index, ready for `add`.

    Where the score is a dot product, the embeddings are searched themselves; FAISS packs binary
    codes, and searches them by their Hamming distance. Any other scorer is searched by its scores
    against landmarks, drawn from training items, see `tfxmodal.search.landmarks`.

    Args:
        scorer: The trained model's.
        fingerprint: Names its weights.
        gallery: `texts` or `images`: what is searched, by the other modality.
        images: Features `[n, d_image]` of training images; none are needed for a dot product.
        texts: Features `[m, d_text]` of training texts; likewise.
        landmarks: Training items of the query's modality that items are scored against, by default
            `LANDMARKS`; none for a dot product.
        kind: How FAISS searches: `flat` (all vectors), `scan` (their codes) or, by default, `auto`
            (by size).
        rescore: Share of the gallery that is scored exactly for each query, see `Index`, by default
            `RESCORE`; likewise.
        seed: Of the draw.
        folder: Where it is; of FAISS by default in memory, from where `save` writes it.
        store: One of `STORES`: what keeps its items.
        **place: Where the store is, if not in the folder: see its class.

    Raises:
        InputError: If a name is unknown, a number out of range or given for a dot product, there
            are no training items, or the store cannot be had.
    """
    choose("gallery", gallery, GALLERIES)
    choose("store", store, STORES)
    for name, value in {"landmarks": landmarks, "rescore": rescore}.items():
        if scorer.is_dot_product and value is not None:
            raise InputError(
                f"`{name}` {value} is of a score that is no dot product; this model's is one, and "
                "needs none: leave it out."
            )
    landmarks = LANDMARKS if landmarks is None else landmarks
    rescore = RESCORE if rescore is None else rescore
    if not 0 <= rescore <= 1:
        raise InputError(f"`rescore` is a share of the gallery, 0 to 1; received {rescore}.")
    if store != "faiss" and folder is None:
        raise InputError(f"The store {store} needs a `folder`; received none: name a new one.")
    if store == "faiss" and place:
        name, value = next(iter(place.items()))
        raise InputError(
            f"`{name}` {value} is where another store is, and faiss is in its folder: give `store` "
            "lancedb or qdrant, or leave it out."
        )
    if folder is not None and Path(folder, INDEX).exists():
        raise InputError(f"`folder` {folder} holds an index already: open it, or name another.")
    if kind and (scorer.is_hamming or store != "faiss"):
        what = f"the store {store}" if store != "faiss" else "a run of binary codes"
        raise InputError(
            f"`kind` {kind} is how FAISS searches vectors of floats; received it for {what}: leave "
            "it out."
        )
    about = About(fingerprint, gallery)
    if not scorer.is_dot_product:
        space = _space(scorer, gallery, images, texts, landmarks, seed)
        about = About(fingerprint, gallery, rescore, space)
    if store == "faiss":
        return Index(scorer, FaissStore(about, folder, kind or "auto", scorer.is_hamming))
    return Index(scorer, STORES[store](about, folder, **place))


def _space(
    scorer: Scorer,
    gallery: str,
    images: Features | None,
    texts: Features | None,
    landmarks: int,
    seed: int,
) -> dict[str, np.ndarray]:
    """The arrays of a landmark space, fitted to training items."""
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
    return LandmarkSpace.fit(oriented_score(scorer, gallery), queries, items).arrays
