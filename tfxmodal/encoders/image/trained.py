"""An image encoder that was trained further: its weights in a folder of their own."""

import dataclasses
import json
from pathlib import Path

from tfxmodal.encoders.image.image_encoder import ImageEncoder
from tfxmodal.encoders.places import without_place
from tfxmodal.encoders.weights import DAMAGED, hash_weights, save_weights
from tfxmodal.errors import InputError, first_line
from tfxmodal.io.atomic import whole_file

DESCRIPTION = "tower.json"
WEIGHTS = "tower.weights.h5"


def save(encoder: ImageEncoder, folder: str | Path) -> None:
    """Writes `tower.weights.h5` and then `tower.json`, which tells whose weights they are."""
    folder = Path(folder)
    save_weights(encoder.model, folder / WEIGHTS)
    description = {
        "name": encoder.name,
        "resize": encoder.preprocessing.resize,
        "crop": encoder.preprocessing.crop,
        "preprocessing": encoder.preprocessing.normalisation,
        "weights_hash": hash_weights(encoder.model),
    }
    with whole_file(folder / DESCRIPTION) as file:
        file.write(json.dumps(description, indent=1).encode())


def name_of(folder: str | Path) -> str:
    """The name of the encoder in a folder.

    Raises:
        InputError: If it holds none.
    """
    return _description(Path(folder))["name"]


def load(encoder: ImageEncoder, folder: str | Path) -> ImageEncoder:
    """An encoder with the weights of a folder.

    Args:
        encoder: The encoder with any weights, which change.
        folder: What `save` wrote.

    Raises:
        InputError: If the folder is of another encoder, or its files are missing or damaged.
    """
    folder = Path(folder)
    saved = _description(folder)
    if without_place(saved["name"]) != without_place(encoder.name):
        raise InputError(
            f"{folder} holds a trained {saved['name']}, and `image_encoder` is {encoder.name}: "
            f"give {saved['name']}."
        )
    try:
        encoder.model.load_weights(folder / WEIGHTS)
        weights_hash = hash_weights(encoder.model)
        if weights_hash != saved["weights_hash"]:
            raise ValueError(f"{WEIGHTS} is not what {DESCRIPTION} was written with")
    except DAMAGED as error:
        raise _not_trained(folder, error) from error
    return dataclasses.replace(encoder, weights_hash=weights_hash, space=None)


def _description(folder: Path) -> dict:
    try:
        return json.loads((folder / DESCRIPTION).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise _not_trained(folder, error) from error


def _not_trained(folder: Path, error: Exception) -> InputError:
    return InputError(
        f"{folder} holds no trained image encoder ({first_line(error)}): train one by "
        "trainers/train_towers.py."
    )
