"""The index of a trained run: its landmarks come from the run's data, its queries are raw."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tfxmodal.encoders.image.pictures import BadImage, load_images
from tfxmodal.errors import InputError
from tfxmodal.inputs.config import DataConfig, load
from tfxmodal.io.reporter import SILENT, Reporter
from tfxmodal.retrieval.cosine import CosineScorer
from tfxmodal.retrieval.scorer import Scorer
from tfxmodal.search.galleries import known_texts
from tfxmodal.search.index import Index
from tfxmodal.search.new_index import build_index
from tfxmodal.training.trained_run import TrainedRun


def model_fingerprint(run: TrainedRun) -> str:
    """A hash of the weights of the run's networks."""
    from tfxmodal.data.pairs import fingerprint
    from tfxmodal.encoders.image.image_encoder import hash_weights

    networks = run.method.networks
    return fingerprint(*(hash_weights(networks[name]) for name in sorted(networks)))


def new_run_index(
    run: TrainedRun, data: DataConfig, scorer: Scorer, reporter: Reporter = SILENT, **options
) -> Index:
    """An empty index for a run; a score that is no dot product needs the run's training split.

    Args:
        run: The trained run.
        data: How its data are loaded.
        scorer: The run's.
        reporter: Is told of the progress.
        **options: See `build_index`.
    """
    images = texts = None
    if not isinstance(scorer, CosineScorer):
        source = load(data, reporter.bar)
        train = run.prepare(source, data, ["train"], reporter).features.train
        images, texts = train.images, train.texts
    return build_index(scorer, model_fingerprint(run), images=images, texts=texts, **options)


def embed_query(
    run: TrainedRun, scorer: Scorer, query: str | Path, image_weights: str | None = None
) -> np.ndarray:
    """The embedding `[1, d]` of a text, or of the picture at a path.

    Args:
        run: The trained run.
        scorer: The run's.
        query: A text as `str`, a picture as `Path`.
        image_weights: See `TrainedRun.load_image_encoder`.

    Raises:
        InputError: If the text holds no known word, or the picture cannot be read.
    """
    if isinstance(query, str):
        encoder = run.load_text_encoder()
        if not known_texts(encoder, [query]).all():
            raise InputError(f"`text` {query!r} holds no word that {run.folder.path} knows.")
        return scorer.embed_texts(run.row_encoder(encoder).encode([query]))
    encoder = run.load_image_encoder(image_weights)
    ((_, picture),) = load_images([query], (encoder.resize, encoder.crop))
    if isinstance(picture, BadImage):
        raise InputError(f"`image` {query} cannot be read ({picture.reason}): give a picture.")
    return scorer.embed_images(run.image_rows(encoder, picture[None]))
