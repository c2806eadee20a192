import numpy as np

from tfxmodal.evaluation.attention_figure import Attended, attention_figure
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
