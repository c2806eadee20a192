"""An image tower that was trained further: its weights in a folder of their own."""

import dataclasses
import json
from pathlib import Path

from tfxmodal.encoders.image.image_encoder import ImageEncoder, hash_weights, save_weights
from tfxmodal.errors import InputError
from tfxmodal.io.atomic import whole_file

DESCRIPTION = "tower.json"
WEIGHTS = "tower.weights.h5"


def save(tower: ImageEncoder, folder: str | Path) -> None:
    """Writes `tower.weights.h5` and then `tower.json`, which tells whose weights they are."""
    folder = Path(folder)
    save_weights(tower.model, folder / WEIGHTS)
    description = {
        "name": tower.name,
        "resize": tower.resize,
        "crop": tower.crop,
        "preprocessing": tower.preprocessing,
        "weights_hash": hash_weights(tower.model),
    }
    with whole_file(folder / DESCRIPTION) as file:
        file.write(json.dumps(description, indent=1).encode())


def name_of(folder: str | Path) -> str:
    """The name of the tower in a folder.

    Raises:
        InputError: If it holds none.
    """
    return _description(Path(folder))["name"]


def load(tower: ImageEncoder, folder: str | Path) -> ImageEncoder:
    """A tower with the weights of a folder.

    Args:
        tower: The tower with any weights, which change.
        folder: What `save` wrote.

    Raises:
        InputError: If the folder is of another tower, or its files are missing or damaged.
    """
    folder = Path(folder)
    saved = _description(folder)
    if saved["name"] != tower.name:
        raise InputError(
            f"{folder} holds a trained {saved['name']}, and the image tower is {tower.name}: give "
            f"--image-tower {saved['name']}."
        )
    try:
        tower.model.load_weights(folder / WEIGHTS)
        weights_hash = hash_weights(tower.model)
        if weights_hash != saved["weights_hash"]:
            raise ValueError(f"{WEIGHTS} is not what {DESCRIPTION} was written with")
    except Exception as error:  # Keras and h5py raise nearly any for a damaged file.
        raise _not_a_tower(folder, error) from error
    return dataclasses.replace(tower, weights_hash=weights_hash)


def _description(folder: Path) -> dict:
    try:
        return json.loads((folder / DESCRIPTION).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise _not_a_tower(folder, error) from error


def _not_a_tower(folder: Path, error: Exception) -> InputError:
    reason = str(error).strip().split("\n")[0]
    return InputError(
        f"{folder} holds no trained image tower ({reason}): train one by trainers/train_towers.py."
    )
