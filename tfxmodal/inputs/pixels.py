"""Picture files as rows of pixels, for encoders that are trained on them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfxmodal.encoders.image.image_encoder import Preprocessing
from tfxmodal.encoders.image.pictures import BadImage, bad_images, load_images
from tfxmodal.errors import InputError, choose


class Pixels:
    """The good ones among picture files, decoded when their rows are asked for and not kept.

    As `tfxmodal.data.pairs.Features`, but that a row is a picture: `pixels[rows]` gives
    `[len(rows), crop, crop, 3]`, RGB in 0..255, uint8.

    Attributes:
        kept: `[n]` numbers of the files that these are; bad ones are left out.
        bad: Files that cannot be read, with the reasons, by number.
        shape: `(n, crop, crop, 3)`.
    """

    dtype = np.dtype(np.uint8)

    def __init__(
        self,
        paths: Sequence[str | Path],
        preprocessing: Preprocessing,
        cache_dir: Path,
        on_bad: str = "refuse",
        progress=None,
    ):
        """Reads every file once: better a bad one is told now than in the middle of an epoch.

        Args:
            paths: Picture files.
            preprocessing: See `tfxmodal.encoders.image.pictures.decode`.
            cache_dir: Where bad files are listed, if they are many.
            on_bad: What to do about files that cannot be read: `refuse`, or `skip` them.
            progress: Wraps an iterable, as tqdm does.

        Raises:
            InputError: If files are bad and `on_bad` is `refuse`.
        """
        choose("on_bad", on_bad, ("refuse", "skip"))
        self._paths, self._how = np.asarray(paths, np.str_), preprocessing
        pictures = load_images(paths, preprocessing)
        if progress:
            pictures = progress(pictures, total=len(paths), desc="pictures")
        self.bad = {
            row: f"{paths[row]}: {picture.reason}"
            for row, picture in pictures
            if isinstance(picture, BadImage)
        }
        if self.bad and on_bad == "refuse":
            raise bad_images(self.bad, paths, cache_dir)
        self.kept = np.setdiff1d(np.arange(len(paths)), list(self.bad))

    @property
    def shape(self) -> tuple[int, int, int, int]:  # noqa: D102
        return len(self.kept), self._how.crop, self._how.crop, 3

    def __len__(self) -> int:
        return len(self.kept)

    def __getitem__(self, rows) -> np.ndarray:
        paths = self._paths[self.kept[rows]]
        pixels = np.empty((len(paths), *self.shape[1:]), self.dtype)
        for row, picture in load_images(paths, self._how):
            if isinstance(picture, BadImage):
                raise InputError(
                    f"{paths[row]} could be read before, and now it cannot ({picture.reason}): put "
                    "it back and go on with `resume`."
                )
            pixels[row] = np.rint(picture)
        return pixels
