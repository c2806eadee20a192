"""Picture files decoded by core TensorFlow ops, the same in training as in serving."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from threading import Lock

import numpy as np

from tfxmodal.encoders.image import formats
from tfxmodal.encoders.image.formats.exif import turn
from tfxmodal.encoders.image.image_encoder import Preprocessing
from tfxmodal.encoders.image.with_pillow import UnreadPicture, as_decoded
from tfxmodal.errors import InputError, first_line
from tfxmodal.io.atomic import whole_file
from tfxmodal.io.hashing import fingerprint
from tfxmodal.io.locks import locked
from tfxmodal.io.picture_kinds import picture_kind
from tfxmodal.lazy import tf

DECODING = 2
"""Number of what `decode` makes of a picture: features of another one are not taken for its own."""

THREADS = 4
AHEAD = 32
"""Pictures decoded ahead of the caller: a batch."""
TRACING = Lock()
"""Several threads that ask for a graph trace it once."""
SHOWN = 10
"""Bad pictures that are named where there are more."""


@dataclass(frozen=True)
class BadImage:
    """A picture that could not be read, and why."""

    reason: str


def bad_images(
    bad: Mapping[int, str], paths: Sequence[str | Path], folder: str | Path
) -> InputError:
    """The error for pictures that cannot be read: how many, which, what to do.

    Args:
        bad: The reasons, by row.
        paths: All pictures.
        folder: Where the bad ones are listed, if they are many.
    """
    told = list_bad(bad, paths, folder)
    return InputError(
        f"{len(bad)} of {len(paths)} images are bad ({told}); repair them, or leave them out with "
        "`on_bad_image` skip."
    )


def list_bad(
    bad: Mapping[int, str],
    paths: Sequence[str | Path],
    folder: str | Path,
    name: str = "bad_images",
) -> str:
    """Bad pictures in one line: all, or the first and the file that lists all.

    Args:
        bad: The reasons, by row.
        paths: All pictures, which decide the file, so that each dataset has its own.
        folder: Where the file is written, if there are many.
        name: What the file's name begins with.
    """
    lines = [f"row {row}: {reason}" for row, reason in sorted(bad.items())]
    if len(lines) <= SHOWN:
        return "; ".join(lines)
    path = Path(folder) / f"{name}-{fingerprint(*map(str, paths))[:8]}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_suffix(".lock")), whole_file(path) as file:
        file.write("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"))
    return "; ".join([*lines[:SHOWN], f"... all are listed in {path}"])


def decode(
    contents: tf.Tensor, preprocessing: Preprocessing, read: Callable | None = None
) -> tf.Tensor:
    """Decodes a JPEG, PNG, GIF, BMP or WebP file, by core ops that a server can run too.

    The picture is as a person sees it: turned as its Exif orientation tells, and transparent parts
    over white. Of an animation the first frame is taken. Grey becomes three equal channels, CMYK is
    converted, 16 bits become 8; colour profiles are ignored. Then the picture is squeezed to a
    square and cropped at its centre.

    Args:
        contents: The bytes of the file, a scalar string.
        preprocessing: The sides of the square and of the crop; the model normalises.
        read: By default `formats.read`; a part of it where the format is known.

    Returns:
        RGB in 0..255, `[crop, crop, 3]` float32.

    Raises:
        tf.errors.InvalidArgumentError: If the bytes are no whole picture, or one of more than
            `with_pillow.MAX_PIXELS`.
    """
    resize, crop = preprocessing.resize, preprocessing.crop
    picture = (read or formats.read)(contents)
    # Without antialiasing a 12-megapixel photo would lose most pixels, and its features with them.
    image = tf.image.resize(picture.image, [resize, resize], antialias=True)
    image = turn(image, picture.orientation)  # A square, which is small, turns as the picture does.
    start = (resize - crop) // 2
    image = image[start : start + crop, start : start + crop]
    return tf.ensure_shape(image, [crop, crop, 3])


def load_images(
    paths: Iterable[str | Path], preprocessing: Preprocessing
) -> Iterator[tuple[int, np.ndarray | BadImage]]:
    """Reads and decodes picture files in threads, a few ahead of the caller.

    Args:
        paths: Picture files.
        preprocessing: See `decode`.

    Yields:
        `(row, picture)` in the order of `paths`: `[crop, crop, 3]` float32, or a `BadImage` where
        the file is missing, empty, cut short, too large or no picture.
    """
    return _ahead(partial(_decoder, preprocessing), paths)


def check_images(paths: Iterable[str | Path]) -> Iterator[tuple[int, BadImage | None]]:
    """Looks at picture files without decoding them, which finds most that are bad in little time.

    Yields:
        `(row, fault)` in the order of `paths`; None where none is seen.
    """
    for row, fault in _ahead(_examiner, paths):
        if not isinstance(fault, BadImage):
            fault = BadImage(fault.decode()) if fault else None
        yield row, fault


def _ahead(graph_of: Callable, paths: Iterable[str | Path]) -> Iterator[tuple]:
    """What graphs make of files, in threads, in the order of the files.

    Args:
        graph_of: From the kind of a picture to the graph of its contents.
        paths: The files.
    """
    pending = deque()
    with ThreadPoolExecutor(THREADS) as pool:
        for row, path in enumerate(paths):
            pending.append((row, pool.submit(_tried, graph_of, path)))
            if len(pending) > AHEAD:
                row, future = pending.popleft()
                yield row, future.result()
        for row, future in pending:
            yield row, future.result()


def _tried(graph_of: Callable, path: str | Path):
    """What a graph makes of a file, as NumPy, or why it cannot."""
    try:
        contents = as_decoded(Path(path).read_bytes())
        kind = picture_kind(contents)
        if not contents:
            return BadImage("the file is empty")
        if kind not in formats.KINDS:
            return BadImage("the file is no picture of a known format")
        with TRACING:
            graph = graph_of(kind)
        return graph(tf.constant(contents)).numpy()
    except OSError as error:
        return BadImage(error.strerror or first_line(error))
    except UnreadPicture as error:
        return BadImage(str(error))
    except tf.errors.OpError as error:
        told = error.message.split("\n")[0].split("}} ")[-1]
        return BadImage(told.removeprefix("assertion failed: [").removesuffix("]"))


@cache
def _decoder(preprocessing: Preprocessing, kind: str):
    return _graph(
        lambda contents: decode(contents, preprocessing, partial(formats.read, kind=kind))
    )


@cache
def _examiner(kind: str):
    return _graph(partial(formats.fault, kind))


def _graph(function):
    contents = tf.TensorSpec([], tf.string)
    return tf.function(function, [contents], autograph=False).get_concrete_function()
