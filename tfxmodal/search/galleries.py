"""What is searched: the items of a folder of pictures, a file of texts, a manifest or a dataset."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from tfxmodal.data import listings, manifest, rows
from tfxmodal.data.items import text_ids
from tfxmodal.data.pairs import Features, Pairs
from tfxmodal.data.repeated import TakenFeatures, without_number
from tfxmodal.encoders.text.bag_of_words import EncodedTexts, document
from tfxmodal.encoders.text.known_words import cut_texts, known_texts, told_cut
from tfxmodal.errors import InputError, some_of
from tfxmodal.inputs.config import PLACE, DataConfig, load
from tfxmodal.inputs.data_hash import data_hash
from tfxmodal.inputs.duplicates import image_keys, text_key, told_equal
from tfxmodal.inputs.prepare import check_images, split_rows
from tfxmodal.io.reporter import SILENT, Reporter
from tfxmodal.retrieval.scorer import Scorer
from tfxmodal.search.stores.checks import check_ids
from tfxmodal.training.run_folder import CONFIG, RunFolder
from tfxmodal.training.settings import Settings
from tfxmodal.training.trained_run import TrainedRun

SPLITS = rows.SPLITS
SHOWN = 20
"""Texts that are named where they are left out."""
ALONE = {"images": "a folder of pictures", "texts": "a file of texts"}


@dataclass(frozen=True)
class Items:
    """Images or texts of a gallery.

    Attributes:
        ids: `[n]`, the user's names.
        features: What the run's encoder takes, `[n, dim]`.
        shown: `[n]`, the pictures' absolute paths or the texts; ids where these are not known.
        are_texts: Whether `shown` are texts, which the run's encoder has read.
        metadata: By column a value of each or None: those of a manifest, and `path` and `text`
            where these are known.
    """

    ids: list[str]
    features: Features
    shown: list[str]
    are_texts: bool = False
    metadata: Mapping[str, Sequence] = field(default_factory=dict)


@dataclass(frozen=True)
class Embedded:
    """Items as a scorer takes them: `embeddings` `[n, d]`, and the rest as in `Items`."""

    ids: list[str]
    embeddings: np.ndarray
    shown: list[str]
    metadata: Mapping[str, Sequence]


def items_of(
    source: str,
    run: TrainedRun,
    config: DataConfig,
    kind: str | None = None,
    reporter: Reporter = SILENT,
) -> dict[str, Items]:
    """The items that a user names, `images`, `texts` or both, as features of a run.

    Args:
        source: A split of the run's dataset (`test`, ...), whose texts are those of its evaluation
            (with `captions` each every caption, ID#0 and so on, else a pair's captions in one) and
            whose images are there once; a folder of pictures; a manifest of pairs, where each text
            is an item of its own; a file of texts; or the folder of another run, whose test split
            it is.
        run: The trained run.
        config: How its data are loaded.
        kind: `images` or `texts`, where the source must hold them.
        reporter: Is told of the progress.

    Raises:
        InputError: If the source is none of these, cannot be read or does not hold that kind.
    """
    path = Path(source)
    if source in SPLITS:
        return _items_of_split(run, config, source, reporter)
    if (path / CONFIG).is_file():
        other = Settings.from_json(RunFolder(path).config).data
        place = {name: getattr(other, name) for name in ("dataset", *PLACE)}
        return _items_of_split(run, replace(config, **place), "test", reporter)
    if rows.is_manifest(path):
        return _items_of_manifest(path, run, config, kind, reporter)
    if kind not in (None, "images" if path.is_dir() else "texts"):
        raise InputError(
            f"{source} holds no {kind}: give {ALONE[kind]}, a manifest, a run's folder or one of "
            f"{', '.join(SPLITS)}."
        )
    if path.is_dir():
        return {"images": _items_of_pictures(path, run, config, reporter)}
    return {"texts": _items_of_texts(path, run, reporter)}


def embed(
    items: Items, kind: str, run: TrainedRun, scorer: Scorer, reporter: Reporter = SILENT
) -> Embedded:
    """Embeds items.

    Texts without a word that the run knows would all get one score: they are left out, and told.

    Raises:
        InputError: If no item is left.
    """
    embeddings = {"images": scorer.embed_images, "texts": scorer.embed_texts}[kind](items.features)
    if not items.are_texts:
        return Embedded(items.ids, embeddings, items.shown, items.metadata)
    known = known_texts(run.load_text_encoder(), items.shown)
    left_out = [items.ids[row] for row in np.flatnonzero(~known)]
    if len(left_out) == len(known):
        raise InputError(f"None of {len(known)} texts holds a word that {run.folder.path} knows.")
    if left_out:
        reporter.say(
            f"{len(left_out)} of {len(known)} texts hold no word that the model knows and are left "
            f"out: {some_of(left_out, SHOWN)}"
        )
    rows = np.flatnonzero(known)
    ids, shown = (_at(rows, values) for values in (items.ids, items.shown))
    return Embedded(ids, embeddings[rows], shown, _of_rows(rows, items.metadata))


def tell_duplicates(
    parts: Sequence[Items], kind: str, config: DataConfig, reporter: Reporter = SILENT
) -> None:
    """Tells how many items of a gallery, which may have several parts, are equal to another one."""
    keys: list[bytes] = []
    for items in parts:
        if items.are_texts:
            keys += map(text_key, items.shown)
        else:
            unknown = items.shown == items.ids  # Then the features are all that there is.
            values = items.features if unknown else np.array(items.shown)
            keys += image_keys(values, config.cache_dir)
    ids = [name for items in parts for name in items.ids]
    if equal := told_equal(ids, keys, range(len(ids)), kind):
        reporter.say(f"gallery: {equal}: each takes a place of its own among what is found.")


def _items_of_split(
    run: TrainedRun, config: DataConfig, split: str, reporter: Reporter
) -> dict[str, Items]:
    """Images and texts of a dataset's split."""
    prepared = run.prepare(load(config, reporter.bar), config, [split], reporter)
    source, own = getattr(prepared.source, split), run.settings.data
    if all(getattr(config, name) == getattr(own, name) for name in ("dataset", *PLACE)):
        began = run.description.get("hashes", {}).get(split)
        found = data_hash(source, config.cache_dir)
        if began not in (None, found):
            reporter.say(
                f"The {split} split is not what it was when {run.folder.path} was trained (hash "
                f"{began} -> {found}): if that is not meant, give its `data_dir`."
            )
    return _both(source, getattr(prepared.features, split))


def _items_of_pictures(
    folder: Path, run: TrainedRun, config: DataConfig, reporter: Reporter
) -> Items:
    """The pictures in a folder and the folders in it, their paths from there as ids."""
    ids, paths = listings.pictures_in(folder, reporter)
    pairs = Pairs(np.array(ids), np.array(paths), [()] * len(paths))
    config = replace(config, dataset=folder.name)
    return _both(*_as_features(run, config, pairs, reporter))["images"]


def _items_of_texts(path: Path, run: TrainedRun, reporter: Reporter) -> Items:
    """The texts of a UTF-8 file, one a line: ID<TAB>TEXT, or TEXT, which then is its own id."""
    return _texts(*listings.texts_in(path), run, {}, reporter)


def _items_of_manifest(
    path: Path, run: TrainedRun, config: DataConfig, kind: str | None, reporter: Reporter
) -> dict[str, Items]:
    """A manifest's images, and each of its texts as an item of its own, with its id of bulk.

    Both have the metadata of their pair. Where one `kind` is asked for, the other is not encoded.
    """
    pairs, metadata = manifest.load_pairs(path, config.on_bad_image)
    found = {}
    if kind != "texts":
        config = replace(config, dataset="pairs")
        images = _both(*_as_features(run, config, pairs, reporter))["images"]
        rows = {name: row for row, name in enumerate(pairs.ids.tolist())}
        of_images = _of_rows([rows[name] for name in images.ids], metadata)
        found["images"] = replace(images, metadata=images.metadata | of_images)
    if kind != "images":
        texts = [text for each in pairs.texts for text in each]
        owners = np.repeat(np.arange(len(pairs)), [len(each) for each in pairs.texts])
        ids, of_texts = text_ids(pairs.ids, pairs.texts), _of_rows(owners, metadata)
        found["texts"] = _texts(ids, texts, run, of_texts, reporter)
    return found


def _texts(
    ids: list[str], texts: list[str], run: TrainedRun, metadata: Mapping, reporter: Reporter
) -> Items:
    encoder = run.row_encoder(run.load_text_encoder())
    for told in told_cut(cut_texts(encoder, texts), len(texts)):
        reporter.say(f"gallery: {told}")
    return Items(ids, EncodedTexts(encoder, texts), texts, True, {"text": texts} | metadata)


def _of_rows(rows, metadata: Mapping[str, Sequence]) -> dict[str, list]:
    """The metadata of some rows."""
    return {name: _at(rows, values) for name, values in metadata.items()}


def _at(rows, values: Sequence) -> list:
    return [values[row] for row in rows]


def _as_features(
    run: TrainedRun, config: DataConfig, pairs: Pairs, reporter: Reporter
) -> tuple[Pairs, Pairs]:
    """Pairs whose images can be read, as they came and with what the run reads of the images."""
    check_ids(pairs.ids.tolist())
    images = run.load_image_encoder(config.image_weights)
    check_images(config, [pairs], run.inputs.kinds, images, reporter)
    return split_rows(config, "gallery", pairs, run.inputs.kinds, images, None, reporter)


def _both(source: Pairs, features: Pairs) -> dict[str, Items]:
    """Each image once, with all captions of its rows, and the text of each row."""
    ids = source.ids.tolist()
    text_ids = ids if source.paired else [f"text-{row}" for row in range(len(source.texts))]
    texts = [document(each) for each in source.texts] if source.has_captions else text_ids
    of_texts = {"text": texts} if source.has_captions else {}
    rows, images = source.once(slice(None)), features.images
    ids = _at(rows, ids)
    if source.image_ids is not None:
        images = TakenFeatures(images, rows)
        ids = [without_number(name) for name in ids] if source.has_captions else ids
    paths, of_images = ids, {}
    if source.has_image_files:
        paths = [os.path.abspath(path) for path in source.images[rows]]
        of_images["path"] = paths
    if source.has_captions and source.paired:
        captions: dict[int, tuple[str, ...]] = dict.fromkeys(rows.tolist(), ())
        for row, each in zip(source.owners.tolist(), source.texts, strict=True):
            captions[row] += tuple(each)
        of_images["text"] = [document(each) or None for each in captions.values()]
    return {
        "images": Items(ids, images, paths, metadata=of_images),
        "texts": Items(text_ids, features.texts, texts, source.has_captions, of_texts),
    }
