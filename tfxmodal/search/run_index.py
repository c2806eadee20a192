"""The index of a trained run: its items and its queries are raw, pictures and texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

import numpy as np

from tfxmodal.errors import InputError, choose
from tfxmodal.inputs.config import DataConfig, load
from tfxmodal.io.reporter import SILENT, Reporter
from tfxmodal.search.galleries import embed, items_of, tell_duplicates
from tfxmodal.search.index import Changes, Index
from tfxmodal.search.new_index import build_index
from tfxmodal.search.stores.checks import check_ids
from tfxmodal.search.vectors import is_vectors, read_vectors
from tfxmodal.training.trained_run import TrainedRun

QUERIES = {"images": "text", "texts": "image"}
"""By gallery: what it is searched by, unless the run has a common space."""


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
            **options: See `search.new_index.build_index`: `folder` and `store` among them.
        """
        data = run.settings.data if data is None else data
        scorer, train = run.scorer(), {}
        if not scorer.is_dot_product:
            source = load(data, reporter.bar)
            pairs = run.prepare(source, data, ["train"], reporter).features.train
            train = {"images": pairs.images, "texts": pairs.texts}
        index = build_index(scorer, run.fingerprint, gallery, **train, **options)
        return cls(run, index, data, reporter)

    @classmethod
    def open(
        cls,
        folder: str | Path,
        run: TrainedRun,
        data: DataConfig | None = None,
        reporter: Reporter = SILENT,
    ) -> RunIndex:
        """The index of a folder.

        Raises:
            InputError: If the folder holds none, or another run's.
        """
        index = Index.load(folder, run.scorer(), run.fingerprint)
        return cls(run, index, data, reporter)

    def __len__(self) -> int:
        return len(self.index)

    def add(self, source: str | Path) -> Changes:
        """Adds items, and replaces those whose content or metadata changed, see `Index.add`.

        Vectors of `export/embed_corpus.py` are added in parts, each of which is a write.

        Args:
            source: See `search.galleries.items_of`; or what `export/embed_corpus.py` wrote.

        Returns:
            How many were added, replaced, and left as they were.

        Raises:
            InputError: If the source cannot be read, holds none, or has ids that are no UTF-8.
        """
        gallery, bar = self.index.gallery, self._reporter.bar
        if is_vectors(source):
            parts = [
                astuple(self.index.add(items.ids, items.embeddings, bar, items.metadata))
                for items in read_vectors(source, self._run.fingerprint, gallery)
            ]
            return Changes(*map(sum, zip(*parts, strict=True)))
        items = items_of(str(source), self._run, self._data, gallery, self._reporter)[gallery]
        check_ids(items.ids)
        tell_duplicates([items], gallery, self._data, self._reporter)
        items = embed(items, gallery, self._run, self._scorer, self._reporter)
        return self.index.add(items.ids, items.embeddings, bar, items.metadata)

    def delete(self, ids: Sequence[str]) -> int:
        """Removes items, and returns how many of them were there."""
        return self.index.delete(ids)

    def search(
        self,
        queries: Sequence[str | Path],
        k: int = 10,
        by: str | None = None,
        where: str | None = None,
        min_score: float = -np.inf,
        min_probability: float | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The best items for each query; the reporter is told the words that the run does not know.

        Args:
            queries: Texts, or paths of pictures.
            k: How many are wanted.
            by: `text` or `image`: what the queries are; by default the other modality than the
                gallery's. Of the same one where the run's score is a dot product of embeddings.
            where: A condition on metadata, as in `"year > 2020 and album = 'beach'"`.
            min_score: The least score.
            min_probability: The least probability that a query and an item belong together, from
                above 0 to below 1, by the run's `Calibration`.

        Returns:
            Ids `[q, found]`, best first, and their scores `[q, found]`, see `Index.search`.

        Raises:
            InputError: If a text holds no known word, a picture cannot be read, the condition is
                wrong, or the run cannot search by such queries or was not calibrated.
        """
        if isinstance(queries, (str, Path)):
            raise InputError(f"`queries` is one query, {queries!r}: give a list.")
        minimum = self.least_score(by, min_score, min_probability)
        return self.index.search(self.embed(queries, by), k, where, minimum)

    def least_score(self, by: str | None, min_score: float, min_probability: float | None) -> float:
        """The least score of both minima; see `search`."""
        if min_probability is None:
            return min_score
        if self.is_alike(by):
            raise InputError(
                f"`min_probability` {min_probability} is of an image with a text; received a query "
                f"by {by} in a gallery of {self.index.gallery}: give `min_score`."
            )
        calibration = self._run.folder.calibration
        if calibration is None:
            raise InputError(
                f"`min_probability` needs scores that were calibrated, and {self._run.folder.path} "
                "has none: evaluate it with `split` validation."
            )
        return max(min_score, calibration.score(min_probability))

    def is_alike(self, by: str | None) -> bool:
        """Whether such queries are of the gallery's own modality."""
        return by is not None and by != QUERIES[self.index.gallery]

    def embed(self, queries: Sequence[str | Path], by: str | None = None) -> np.ndarray:
        """Embeddings `[q, d]` of queries; see `search`."""
        gallery = self.index.gallery
        by = QUERIES[gallery] if by is None else by
        choose("by", by, QUERIES.values())
        if self.is_alike(by) and not self._scorer.is_dot_product:
            raise InputError(
                f"`by` is {by}, and {self._run.settings.method} scores images with texts alone: "
                f"search a gallery of {gallery} by {QUERIES[gallery]}."
            )
        if by == "image":
            return self._run.embed_images(queries, self._data.image_weights)
        embeddings = self._run.embed_texts(queries)
        for query, words in zip(queries, self._run.unknown_words(queries), strict=True):
            if words:
                named = ", ".join(dict.fromkeys(words))
                self._reporter.say(f"Unknown words of {query!r}: {named}")
        return embeddings

    def save(self, folder: str | Path):
        """Writes a copy of the index to a folder, in place of an index that is there."""
        self.index.save(folder)
