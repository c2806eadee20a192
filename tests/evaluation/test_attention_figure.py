from types import SimpleNamespace

import numpy as np
import tensorflow as tf

from tests.serving.tiny import picture
from tfxmodal.data.pairs import Pairs
from tfxmodal.encoders.image.image_encoder import Preprocessing
from tfxmodal.encoders.text import load_text_encoder
from tfxmodal.evaluation.attention_figure import Attended, attended, attention_figure
from tfxmodal.evaluation.figures import figure_png

PICTURE = np.zeros((16, 16, 3), np.float32)


def test_weights_lie_over_the_picture_and_under_the_words():
    heat, words = np.arange(4) / 6, ["a", "cat", "on", "mats"]
    both = Attended(PICTURE, heat, words, np.array([0.0, 0.6, 0.1, 0.3, 0.0]))
    figure = attention_figure([both, Attended(PICTURE, None, [], None)])
    left, right, other, _ = figure.axes
    _, over = left.images
    np.testing.assert_array_equal(over.get_array(), heat.reshape(2, 2))
    assert over.get_extent() == [0, 16, 16, 0] and len(other.images) == 1
    shades = [text.get_bbox_patch().get_facecolor()[3] for text in right.texts]
    assert [text.get_text() for text in right.texts] == words
    np.testing.assert_allclose(shades, [0, 1, 1 / 6, 0.5])
    assert figure_png(figure).startswith(b"\x89PNG")


def test_each_picture_and_word_has_its_own_weights(tmp_path):
    """Of five pairs the fourth is not drawn; the second's picture cannot be read."""
    paths = [tmp_path / f"{row}.png" for row in range(5)]
    for row, path in enumerate(paths):
        path.write_bytes(picture((50 * row, 0, 0))[: 40 if row == 1 else None])
    texts = [tuple(f"{word}{row}" for word in "abcde") for row in range(5)]
    files = np.array([str(path) for path in paths])
    source = Pairs(files, files, texts)
    rng = np.random.default_rng(0)
    read = source.with_features(*(rng.random((5, n)).astype(np.float32) for n in (4, 3)))
    data = SimpleNamespace(
        source=SimpleNamespace(test=source),
        features=SimpleNamespace(test=read),
        image_encoder=SimpleNamespace(preprocessing=Preprocessing(8, 4, "none")),
        text_encoder=load_text_encoder("tf_idf", texts, 100).table,
    )
    found = attended(data, {"image": tf.identity, "text": tf.identity}, together=2)
    for row, pair in zip((0, 2, 4), found, strict=True):
        np.testing.assert_allclose(pair.picture[..., 0], 50 * row / 255, atol=1e-6)
        assert list(pair.words) == [f"{word}{row}" for word in "abcde"]
        np.testing.assert_array_equal(pair.locations, read.images[row])
        first, second, third = read.texts[row]
        assert list(pair.of_words) == [first, first, second, second, third, third]
    (pair, *_) = attended(data, {"text": tf.identity}, together=1)
    assert pair.locations is None and list(pair.of_words) == list(read.texts[0])
