import numpy as np

from tests.encoders.image.tiny import tiny_encoder
from tfxmodal.encoders.image.augmentation import RandomCropFlip, augmented


def crops_and_mirrors(image, crop):
    """Every crop of a picture, as it is and mirrored."""
    places = range(len(image) - crop + 1)
    crops = [image[y : y + crop, x : x + crop] for y in places for x in places]
    return crops + [each[:, ::-1] for each in crops]


def test_training_sees_every_crop_both_ways_and_each_picture_its_own():
    image = np.arange(5 * 5 * 3, dtype=np.uint8).reshape(5, 5, 3)
    crops = RandomCropFlip(3, dtype="uint8")(np.stack([image] * 400), training=True).numpy()
    possible = [each.tobytes() for each in crops_and_mirrors(image, 3)]
    seen = [each.tobytes() for each in crops]
    assert set(seen) == set(possible) and len(set(possible)) == 18


def test_without_training_it_is_the_centre():
    images = np.random.default_rng(0).integers(0, 255, (2, 6, 6, 3), np.uint8)
    centre = RandomCropFlip(4, dtype="uint8")(images).numpy()
    np.testing.assert_array_equal(centre, images[:, 1:5, 1:5])


def test_an_augmented_encoder_is_the_encoder_at_the_centre():
    encoder = tiny_encoder()
    pictures = np.random.default_rng(0).integers(0, 255, (3, 20, 20, 3), np.uint8)
    network = augmented(encoder)
    expected = encoder.model(pictures[:, 2:18, 2:18].astype(np.float32))
    np.testing.assert_allclose(network(pictures), expected, rtol=1e-5)
    assert np.abs(network(pictures, training=True) - expected).max() > 1e-3
