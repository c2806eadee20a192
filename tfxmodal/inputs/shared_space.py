"""Whether features of images and texts can be compared as they are."""

from __future__ import annotations

from tfxmodal.data.pairs import Pairs
from tfxmodal.encoders.image import ImageEncoder
from tfxmodal.encoders.text import TextEncoder
from tfxmodal.errors import InputError
from tfxmodal.io.reporter import SILENT, Reporter

REMEDY = (
    "give one SigLIP or CLIP of KerasHub as both (`image_encoder` and `text_encoder` "
    "keras_hub:PRESET_OR_FOLDER), or a method that learns"
)


def check_shared_space(
    train: Pairs,
    images: ImageEncoder | None,
    texts: TextEncoder | None,
    reporter: Reporter = SILENT,
):
    """Checks, before features are computed, that those of images and texts are of one space.

    Args:
        train: Training pairs as they came.
        images: What makes features of the images, or None where they came ready.
        texts: What makes features of the texts, likewise.
        reporter: Is told what cannot be checked: where both came ready, their widths alone can.

    Raises:
        InputError: If they are not.
    """
    if images is None and texts is None:
        widths = train.images.shape[1], train.texts.shape[1]
        if widths[0] != widths[1]:
            raise InputError(
                f"Ready features of images are {widths[0]} wide and those of texts {widths[1]}, so "
                f"that they share no space: {REMEDY}."
            )
        reporter.say("The ready features are taken for vectors of one space of images and texts.")
    elif images is None or texts is None:
        raise InputError(
            f"Features of one modality came ready, and an encoder makes those of the other: they "
            f"share no space; {REMEDY}."
        )
    elif images.space is None or images.space != texts.space:
        raise InputError(
            f"The encoders of images ({images.name}) and of texts share no space: {REMEDY}."
        )
