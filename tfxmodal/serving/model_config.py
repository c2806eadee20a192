"""Which models a server serves: a ModelServerConfig, from folders or from a models.config file."""

import json
import os
from collections.abc import Iterable
from pathlib import Path

from google.protobuf import text_format

from tfxmodal.errors import InputError
from tfxmodal.io.reading import read_text
from tfxmodal.serving.client.protos.serving_pb2 import ModelServerConfig

DESCRIPTION = "signatures.json"
"""What a version of a model says of itself."""

GALLERY = "gallery.json"
"""What a person is to see of the items that a version finds."""

WARM_UP = Path("assets.extra", "tf_serving_warmup_requests")
"""Requests that a server replays when it loads a version."""

MODEL = "retrieval"
"""The model's name in export/deploy, and where a command is told no other."""


def model_config(folders: Iterable[Path], file: Path | None = None) -> ModelServerConfig:
    """The models of a `models.config` and more, each a folder of integer versions.

    Args:
        folders: MODELS/NAME; the folder's name is the model's.
        file: Text of a ModelServerConfig: base paths, version policies, version labels.

    Raises:
        InputError: If there is no model, two have one name, or a folder holds no version.
    """
    config = ModelServerConfig() if file is None else parsed(read_text(file), file)
    models = config.model_config_list.config
    for folder in folders:
        path = Path(os.path.abspath(folder))  # a link keeps its name
        models.add(name=path.name, base_path=str(path), model_platform="tensorflow")
    if not models:
        raise InputError("There is no model to serve: give `model` MODELS/NAME or `config` FILE.")
    names = [model.name for model in models]
    for model in models:
        if names.count(model.name) > 1:
            raise InputError(f"Two models are named {model.name!r}: rename the folder of one.")
        if not versions(Path(model.base_path)):
            raise InputError(
                f"{model.base_path} holds no version of a model, such as "
                f"{Path(model.base_path, '1')}: export one with export/export_savedmodel.py, and "
                "give the folder above the version."
            )
    return config


def parsed(text: str, path: Path) -> ModelServerConfig:
    """The configuration that a models.config holds.

    Raises:
        InputError: If the text is none; it names `path`.
    """
    try:
        return text_format.Parse(text, ModelServerConfig())
    except text_format.ParseError as error:
        raise InputError(f"{path} is no models.config ({error}): correct it.") from None


def versions(base: Path) -> dict[int, Path]:
    """The version folders in a model's folder, ascending; names that are no numbers are passed."""
    folders = base.iterdir() if base.is_dir() else ()
    found = {int(path.name): path for path in folders if path.name.isdecimal() and path.is_dir()}
    return dict(sorted(found.items()))


def unbatchable(config: ModelServerConfig) -> list[str]:
    """Names of the models whose latest export says that it must not be batched."""
    models = config.model_config_list.config
    return [model.name for model in models if not is_batchable(Path(model.base_path))]


def is_batchable(base: Path) -> bool:
    """Whether requests to a model may be batched, as its latest export says, if it does."""
    for path in list(versions(base).values())[-1:]:
        about = path / DESCRIPTION
        if about.exists():
            return json.loads(about.read_text()).get("batchable", True)
    return True
