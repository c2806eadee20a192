from io import BytesIO

import numpy as np
from matplotlib.colors import to_hex
from PIL import Image

from tfxmodal.evaluation.figures import (
    PLAIN,
    RIGHT,
    WRONG,
    Retrieved,
    curve_figure,
    curve_figures,
    figure_pdf,
    figure_png,
    gallery_figure,
    tsne_figure,
)


def picture(figure) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(figure_png(figure, dpi=40))))


def texts_of(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_a_pdf_holds_no_date():
    figure = curve_figure({"loss": {"SCL": (np.array([0, 1]), np.array([0.9, 0.2]))}}, "x", "y")
    pdf = figure_pdf(figure)
    assert pdf.startswith(b"%PDF") and b"Date" not in pdf


def test_one_panel_a_direction_and_one_line_a_name():
    lines = {"SCL": (np.array([0, 1]), np.array([0.9, 0.2])), "PLS": ([0, 1], [0.5, 0.1])}
    curves = {
        name: dict.fromkeys(
            ("precision_recall", "precision_scope"), {"image_to_text": line, "text_to_image": line}
        )
        for name, line in lines.items()
    }
    figures = curve_figures(curves)
    figure = figures["precision_scope"]
    assert [figure.axes[0].get_xlabel() for figure in figures.values()] == [
        "Recall",
        "Scope K (items retrieved)",
    ]
    assert [axes.get_title() for axes in figure.axes] == ["Image to text", "Text to image"]
    for axes in figure.axes:
        for line, (x, y) in zip(axes.lines, lines.values(), strict=True):
            np.testing.assert_array_equal(line.get_xydata(), np.transpose([x, y]))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["SCL", "PLS"]
    assert picture(figure).std() > 0


def test_no_two_of_forty_lines_look_alike():
    figure = curve_figure({"": {str(n): ([0, 1], [n, n]) for n in range(40)}}, "Recall")
    looks = {(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines}
    assert len(looks) == 40


def test_a_legend_tells_names_apart_that_differ_at_their_end():
    names = [f"dscmr, labelled fraction 0.{n}, label noise 0.{m}" for n in (1, 3) for m in (0, 2)]
    figure = curve_figure({"": {name: ([0, 1], [0, 1]) for name in ["PLS", *names]}}, "Recall")
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert [text.replace("\n", " ") for text in shown] == ["PLS", *names]
    long = curve_figure({"": {f"PLS {'0' * 40}": ([0, 1], [0, 1])}}, "Recall")
    assert long.legends[0].get_texts()[0].get_text().endswith("…")


def test_no_line_leaves_its_panel():
    low, high = ({"SCL": ([0, 1], [top, 0.1])} for top in (0.5, 0.9))
    figure = curve_figure({"image_to_text": low, "text_to_image": high}, "Recall")
    for axes in figure.axes:
        assert axes.get_ylim()[0] == 0 and axes.get_ylim()[1] > 0.9


def test_gallery_marks_right_and_wrong(tmp_path):
    path = tmp_path / "grey.png"
    Image.new("L", (8, 5), 100).save(path)
    photo = np.zeros((6, 9, 3), np.float32)
    figure = gallery_figure(
        [Retrieved(str(path), ["a $5 bill", "long " * 100, "c"], [True, False, True])],
        [Retrieved("a dog", [photo, path], [False, True])],
    )
    query, *found = figure.axes[:4]
    assert to_hex(query.spines["left"].get_edgecolor()) == PLAIN and not texts_of(query)
    assert [to_hex(axes.spines["left"].get_edgecolor()) for axes in found] == [RIGHT, WRONG, RIGHT]
    assert texts_of(found[0]) == ["a $5 bill", "✓"]
    shown, sign = texts_of(found[1])
    assert sign == "✗" and shown.endswith("…") and shown.count("\n") == 7
    query, *found, unused = figure.axes[4:]
    assert texts_of(query) == ["a dog"]
    assert [texts_of(axes) for axes in found] == [["✗"], ["✓"]]
    np.testing.assert_array_equal(np.unique(found[0].images[0].get_array()[118]), 0)
    np.testing.assert_array_equal(np.unique(found[1].images[0].get_array()[118]), 100)
    assert not unused.axison
    assert picture(figure).std() > 0


def test_gallery_of_one_direction():
    figure = gallery_figure([], [Retrieved("a dog", [np.zeros((4, 4, 3), np.uint8)], [True])])
    assert len(figure.axes) == 2


def test_tsne_colours_by_the_most_frequent_class():
    rng = np.random.default_rng(0)
    labels = np.zeros((20, 12), np.uint8)
    labels[np.arange(20), np.arange(20) % 10 + 2] = 1  # of twelve classes two are never seen
    labels[:9, 5] = 1
    names = np.array([f"name {i}" for i in range(12)])
    figure = tsne_figure(*rng.standard_normal((2, 20, 4)), labels, names, points=30)
    (axes,) = figure.axes
    images, texts = axes.collections
    assert len(images.get_offsets()) == len(texts.get_offsets()) == 15
    np.testing.assert_array_equal(images.get_edgecolors(), texts.get_edgecolors())
    _, counts = np.unique(images.get_edgecolors(), axis=0, return_counts=True)
    drawn = labels[np.random.default_rng(0).permutation(20)[:15]]
    assert counts.max() == drawn[:, 5].sum()
    entries = [text.get_text() for text in figure.legends[0].get_texts()]
    assert entries[:3] == ["image", "text", "name 5"]
    assert not {"name 0", "name 1", "other"} & set(entries)
    assert picture(figure).std() > 0


def test_tsne_is_seeded():
    rng = np.random.default_rng(0)
    arguments = *rng.standard_normal((2, 12, 4)), np.eye(12, dtype=np.uint8)
    first, again, other = (
        tsne_figure(*arguments, seed=seed).axes[0].collections[0].get_offsets()
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_photos_are_drawn_as_a_person_sees_them(tmp_path):
    """The left half is transparent over a hidden red, and the file tells to turn it."""
    pixels = np.zeros((40, 60, 4), np.uint8)
    pixels[..., 0], pixels[:, 30:] = 255, (0, 0, 255, 255)
    tags = Image.Exif()
    tags[0x0112] = 6  # what is left comes to the top
    path = tmp_path / "icon.png"
    Image.fromarray(pixels).save(path, exif=tags)
    figure = gallery_figure([Retrieved(path, ["a"], [True])], [])
    drawn = figure.axes[0].images[0].get_array()
    height, width, _ = drawn.shape
    assert drawn[height // 4, width // 2].tolist() == [255, 255, 255]
    assert drawn[3 * height // 4, width // 2].tolist() == [0, 0, 255]
