"""Networks from raw input to features: VGG-19, EfficientNet-Lite0, TensorFlow Hub.

A new image tower is one file with `load(weights, seed) -> ImageTower` and one line in `TOWERS`.
"""

from tfxmodal.errors import choose
from tfxmodal.towers import efficientnet_lite0
from tfxmodal.towers.image_tower import ImageTower, extract

TOWERS = {
    "efficientnet_lite0": efficientnet_lite0.load,
}


def load_image_tower(name: str, weights: str = "imagenet", seed: int = 0) -> ImageTower:
    """Loads an image tower by its name.

    Args:
        name: One of `TOWERS`.
        weights: "imagenet", "random", or the path of a weights file.
        seed: Seed of random weights.

    Raises:
        InputError: If the name is unknown or the weights cannot be had.
    """
    choose("image tower", name, TOWERS)
    return TOWERS[name](weights, seed)


__all__ = ["TOWERS", "ImageTower", "extract", "load_image_tower"]
