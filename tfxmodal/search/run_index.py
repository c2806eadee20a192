"""The index of a trained run: its items and its queries are raw, pictures and texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfxmodal.encoders.weights import hash_weights
from tfxmodal.errors import InputError
from tfxmodal.inputs.config import DataConfig, load
from tfxmodal.io.hashing import fingerprint
from tfxmodal.io.reporter import SILENT, Reporter
from tfxmodal.search.galleries import embed, items_of, tell_duplicates
from tfxmodal.search.index import Index
from tfxmodal.search.new_index import build_index
from tfxmodal.training.trained_run import TrainedRun

QUERIES = {"images": "text", "texts": "image"}
"""By gallery: what it is searched by."""


class RunIndex:
    """A gallery of images that a run searches by texts, or of texts that it searches by pictures.

    Args:
        run: The trained run.
        index: Its embeddings.
        data: How the run's data are loaded; by default as in training.
        reporter: Is told of the progress.
    """

    def __init__(
        self,
        run: TrainedRun,
        index: Index,
        data: DataConfig | None = None,
        reporter: Reporter = SILENT,
    ):
        self._run, self.index, self._reporter = run, index, reporter
        self._data = run.settings.data if data is None else data
        self._scorer = run.scorer()

    @classmethod
    def new(
        cls,
        run: TrainedRun,
        gallery: str = "images",
        data: DataConfig | None = None,
        reporter: Reporter = SILENT,
        **options,
    ) -> RunIndex:
        """An empty index; a score that is no dot product needs the run's training split.

        Args:
            run: The trained run.
            gallery: `images` or `texts`.
            data: How the run's data are loaded; by default as in training.
            reporter: Is told of the progress.
            **options: See `search.new_index.build_index`.
        """
        data = run.settings.data if data is None else data
        scorer, train = run.scorer(), {}
        if not scorer.is_dot_product:
            source = load(data, reporter.bar)
            pairs = run.prepare(source, data, ["train"], reporter).features.train
            train = {"images": pairs.images, "texts": pairs.texts}
        index = build_index(scorer, model_fingerprint(run), gallery, **train, **options)
        return cls(run, index, data, reporter)

    @classmethod
    def open(
        cls,
        folder: str | Path,
        run: TrainedRun,
        data: DataConfig | None = None,
        reporter: Reporter = SILENT,
    ) -> RunIndex:
        """The index that `save` wrote.

        Raises:
            InputError: If the folder holds none, or another run's.
        """
        index = Index.load(folder, run.scorer(), model_fingerprint(run))
        return cls(run, index, data, reporter)

    def __len__(self) -> int:
        return len(self.index)

    def add(self, source: str | Path):
        """Adds items that are not there yet; see `search.galleries.items_of` for the sources.

        Raises:
            InputError: If the source cannot be read, holds none, or an id is there already with
                other content.
        """
        gallery = self.index.gallery
        items = items_of(str(source), self._run, self._data, gallery, self._reporter)[gallery]
        tell_duplicates([items], gallery, self._data, self._reporter)
        items = embed(items, gallery, self._run, self._scorer, self._reporter)
        added = self.index.add(items.ids, items.embeddings, self._reporter.bar)
        if there := len(items.ids) - added:
            self._reporter.say(
                f"{there:,} of {len(items.ids):,} {gallery} are in the index already, {added:,} "
                "added."
            )

    def search(self, queries: Sequence[str | Path], k: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """The best items for each query; the reporter is told the words that the run does not know.

        Args:
            queries: Texts, where the gallery is of images; else paths of pictures.
            k: How many; cut to the gallery's size.

        Returns:
            Ids `[q, k]`, best first, and their scores `[q, k]`.

        Raises:
            InputError: If a text holds no known word, or a picture cannot be read.
        """
        if isinstance(queries, (str, Path)):
            raise InputError(f"`queries` is one query, {queries!r}: give a list.")
        if QUERIES[self.index.gallery] == "text":
            embeddings = self._run.embed_texts(queries)
            for query, words in zip(queries, self._run.unknown_words(queries), strict=True):
                if words:
                    named = ", ".join(dict.fromkeys(words))
                    self._reporter.say(f"Unknown words of {query!r}: {named}")
        else:
            embeddings = self._run.embed_images(queries, self._data.image_weights)
        return self.index.search(embeddings, k)

    def save(self, folder: str | Path):
        """Writes the index to a folder, in place of an index that is there."""
        self.index.save(folder)


def model_fingerprint(run: TrainedRun) -> str:
    """A hash of the weights of the run's networks."""
    networks = run.method.networks
    return fingerprint(*(hash_weights(networks[name]) for name in sorted(networks)))
