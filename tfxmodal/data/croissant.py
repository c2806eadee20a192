"""A manifest of pairs in the Croissant format, which dataset search and loaders read.

MLCommons, "Croissant Format Specification" 1.0: JSON-LD of schema.org, which tells the files of a
dataset (`distribution`) and the fields of its records (`recordSet`).
"""

from __future__ import annotations

import glob
import json
import mimetypes
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tfxmodal.data.dataset_card import DatasetCard
from tfxmodal.data.pairs import Dataset
from tfxmodal.errors import InputError
from tfxmodal.io.atomic import whole_file
from tfxmodal.io.hashing import sha256_of

FILE, ROWS = "croissant.json", "croissant_pairs.jsonl"

DESCRIBED = {
    "description": "description",
    "license": "license",
    "source": "url",
    "creator": "creator",
    "date_published": "datePublished",
}
"""Fields of `card.yaml` that the format requires, and their names there."""

FREE = {"version": "version", "citation": "citeAs", "language": "inLanguage"}
"""Fields of `card.yaml` that it may have."""

CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
} | {
    name: f"cr:{name}"
    for name in (
        *("citeAs", "column", "equivalentProperty", "extract", "field", "fileObject"),
        *("fileProperty", "fileSet", "format", "includes", "isLiveDataset", "jsonPath", "key"),
        *("md5", "parentField", "path", "recordSet", "references", "regex", "repeated", "replace"),
        *("samplingRate", "separator", "source", "subField", "transform"),
    )
}
"""The specification's own context (appendix 1)."""


def write_croissant(dataset: Dataset, folder: Path) -> tuple[Path, list[str]]:
    """Writes `croissant.json`, and the rows that it describes, into the folder of a manifest.

    The rows, `croissant_pairs.jsonl`, are a manifest themselves: whatever the form of the first
    one, each pair has its id, image, texts, labels and split.

    Args:
        dataset: Image files and captions.
        folder: Where both files come; the images lie in it.

    Returns:
        The path of `croissant.json`, and the fields of `card.yaml` that the format requires and
        that are not given.

    Raises:
        InputError: If an image lies elsewhere: a published folder would lack it; or a pair is in
            two splits.
    """
    root = Path(os.path.abspath(folder))  # a link keeps its name, as those of images do
    rows = list(_rows(dataset, root))
    if len({row["id"] for row in rows}) < len(rows):
        raise InputError(
            "Some pairs are in two splits, and a manifest tells one of each: leave the option "
            "`database` out of `dataset_options`."
        )
    with whole_file(folder / ROWS) as file:
        file.writelines(json.dumps(row).encode() + b"\n" for row in rows)
    path = folder / FILE
    with whole_file(path) as file:
        about = _described(dataset, [row["image"] for row in rows], sha256_of(folder / ROWS))
        file.write((json.dumps(about, indent=1) + "\n").encode())
    return path, [name for name in DESCRIBED if not getattr(dataset.card, name)]


def _rows(dataset: Dataset, root: Path) -> Iterable[dict]:
    names = dataset.class_names or ()
    for split, pairs in dataset.splits():
        for row in range(len(pairs)):
            image = Path(os.path.abspath(pairs.images[row]))
            if not image.is_relative_to(root):
                raise InputError(
                    f"The image {image} lies outside of {root}, whose files are described: put the "
                    "manifest into a folder above all images."
                )
            labels = [] if pairs.labels is None else pairs.labels[row].nonzero()[0]
            asks = pairs.queries is not None and pairs.queries[row]
            yield {
                "id": str(pairs.ids[row]),
                "image": image.relative_to(root).as_posix(),
                "texts": list(pairs.texts[row]),
                "labels": [names[column] for column in labels],
                "split": "query" if asks else split,
            }


def _described(dataset: Dataset, images: list[str], sha256: str) -> dict[str, Any]:
    card = dataset.card
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": card.name or dataset.name,
        **_given(card),
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": "rows",
                "name": "rows",
                "contentUrl": ROWS,
                "encodingFormat": "application/jsonlines",
                "sha256": sha256,
            },
            {
                "@type": "cr:FileSet",
                "@id": "image-files",
                "name": "image-files",
                "encodingFormat": sorted({_media_type(image) for image in images}),
                "includes": sorted({_like(image) for image in images}),
            },
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "pairs",
                "name": "pairs",
                "key": {"@id": "pairs/id"},
                "field": _fields(images),
            }
        ],
    }


def _given(card: DatasetCard) -> dict[str, Any]:
    values = {there: getattr(card, name) for name, there in (DESCRIBED | FREE).items()}
    given = {name: value for name, value in values.items() if value}
    if card.creator:
        given["creator"] = {"@type": "sc:Person", "name": card.creator}
    return given


def _fields(images: list[str]) -> list[dict[str, Any]]:
    # Readers join file names better than paths (mlcroissant 1.1 finds no image by its path).
    by_name = len({os.path.basename(image) for image in images}) == len(images)
    key = "filename" if by_name else "fullpath"
    content = {"fileSet": {"@id": "image-files"}, "extract": {"fileProperty": "content"}}
    file = {"fileSet": {"@id": "image-files"}, "extract": {"fileProperty": key}}
    image = _column("image_file", "image", references=file)
    if by_name:
        image["source"]["transform"] = {"regex": "^(?:.*/)?([^/]+)$"}
    return [
        _column("id"),
        image,
        {
            "@type": "cr:Field",
            "@id": "pairs/image",
            "name": "image",
            "dataType": "sc:ImageObject",
            "source": content,
        },
        _column("texts", repeated=True),
        _column("labels", repeated=True),
        _column("split"),
    ]


def _column(name: str, column: str | None = None, **more) -> dict[str, Any]:
    """A field of texts, from a key of the rows."""
    source = {"fileObject": {"@id": "rows"}, "extract": {"column": column or name}}
    return {
        "@type": "cr:Field",
        "@id": f"pairs/{name}",
        "name": name,
        "dataType": "sc:Text",
        "source": source,
        **more,
    }


def _media_type(image: str) -> str:
    return mimetypes.guess_type(image)[0] or "image/*"


def _like(image: str) -> str:
    """A pattern of the images in the same folder with the same suffix."""
    folder, name = os.path.split(image)
    return os.path.join(glob.escape(folder), f"*{os.path.splitext(name)[1]}")
