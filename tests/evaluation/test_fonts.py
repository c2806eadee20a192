import unicodedata
import warnings

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.text import Text
from rich.cells import cell_len

from tests.evaluation.test_figures import picture
from tfxmodal.evaluation import fonts
from tfxmodal.evaluation.figures import Retrieved, gallery_figure, tsne_figure
from tfxmodal.evaluation.fonts import fitted, lacking

CHINESE = "两只狗在沙滩上奔跑"
TONGUES = [
    CHINESE * 200,
    "สุนัขสองตัววิ่งเล่นบนชายหาด" * 80,
    "二匹の犬が浜辺を走る。" * 3,
    "كلبان يركضان على الشاطئ",
    "שני כלבים רצים על החוף",
    "दो कुत्ते समुद्र तट पर दौड़ रहे हैं",
    "👨‍👩‍👧‍👦 🐶🐶 run ✌🏽",
    "x" * 2000,
    "a $5 bill _and_ $6 \\frac{",
    "",
]


def font_of(path, family: str, characters: str):
    """Writes a font in which each of the characters is a black square."""
    square = TTGlyphPen(None)
    for number, corner in enumerate([(50, 0), (50, 900), (950, 900), (950, 0)]):
        (square.lineTo if number else square.moveTo)(corner)
    square.closePath()
    names = [".notdef", *(f"uni{ord(c):04X}" for c in characters)]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap(dict(zip(map(ord, characters), names[1:], strict=True)))
    builder.setupGlyf(dict.fromkeys(names, square.glyph()))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (1000, 0)))
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A machine on which only Matplotlib's fonts are known; those in `tmp_path` are installed."""
    own = [entry for entry in font_manager.fontManager.ttflist if "mpl-data" in entry.fname]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)
    found = lambda: [str(path) for path in tmp_path.glob("*.ttf")]  # noqa: E731
    monkeypatch.setattr(font_manager, "findSystemFonts", found)
    fonts._fonts_for.cache_clear()
    yield tmp_path
    fonts._fonts_for.cache_clear()


def figure_of(text: str) -> Figure:
    return gallery_figure([], [Retrieved(text, [np.zeros((4, 4, 3), np.uint8)], [True])])


def families_of(figure: Figure, text: str) -> list[str]:
    (drawn,) = [each for each in figure.findobj(Text) if text in each.get_text()]
    return drawn.get_fontfamily()


def test_installed_fonts_that_have_the_glyphs_are_taken(system):
    font_of(system / "half.ttf", "Half", CHINESE[:5])
    font_of(system / "most.ttf", "Most", CHINESE[1:])
    font_of(system / "all-in-boxes.ttf", "Last Resort", CHINESE)
    figure = figure_of(CHINESE[:6])
    assert lacking([figure]) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = picture(figure)
    assert families_of(figure, CHINESE[:6])[-2:] == ["Half", "Most"]
    plain = figure_of("-")
    picture(plain)
    assert families_of(plain, "-") == ["sans-serif"]
    # The squares of the font are drawn, and not the hollow boxes of a missing glyph.
    assert np.mean(drawn[..., :3] < 50) > np.mean(picture(plain)[..., :3] < 50)


def test_a_script_without_a_font_is_told_once_and_warned_of_never(system):
    figure = figure_of(CHINESE)
    said = lacking([figure, figure_of("สุนัข 🐶 𝄠"), figure_of("naïve Ωμέγα ✓")])
    assert said.count("CJK (上 ") == said.count("Thai (") == said.count("Emoji (🐶)") == 1
    assert said.count("Symbols (𝄠)") == 1
    for family in ("Noto Sans CJK", "Noto Emoji", "Noto Sans Thai"):
        assert family in said.partition("install ")[2]
    assert "Greek" not in said and "Latin" not in said
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert picture(figure).std() > 0


@pytest.mark.filterwarnings("ignore:Glyph .* missing")  # Measuring draws again.
def test_no_caption_leaves_its_cell():
    for text in TONGUES:
        figure = figure_of(text)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            picture(figure)
        (drawn,), room = figure.axes[0].texts, figure.axes[0].get_window_extent()
        assert drawn.get_window_extent().height <= room.height + 1, text[:20]
        assert drawn.get_clip_on() and drawn.get_clip_box().bounds == room.bounds


def test_names_of_classes_are_cut_and_are_no_mathematics():
    rng = np.random.default_rng(0)
    names = [CHINESE * 50, "_hidden", "a $5 and $6 \\frac{", "word " * 400]
    labels = np.eye(4, dtype=np.uint8)[np.arange(20) % 4]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = tsne_figure(*rng.standard_normal((2, 20, 4)), labels, names)
        picture(figure)
    entries = [text.get_text() for text in figure.legends[0].get_texts()][2:]
    assert entries[1:3] == names[1:3]
    assert all(cell_len(entry) <= 30 for entry in entries)
    assert entries[0].endswith("…") and entries[3].endswith("…")
    # The points keep most of the figure.
    assert figure.axes[0].get_window_extent().width > 0.5 * figure.get_window_extent().width


@given(
    st.text(st.characters(codec="utf-8", categories=["L", "M", "N", "P", "S", "Zs"])),
    st.integers(4, 30),
    st.integers(1, 8),
)
def test_text_fits_and_keeps_its_begin(text, columns, lines):
    shown = fitted(text, columns, lines)
    rows = shown.split("\n")
    assert len(rows) <= lines and all(cell_len(row) <= columns for row in rows)
    kept = "".join(shown.removesuffix(" …").split())
    assert "".join(text.split()).startswith(kept)
    if not shown.endswith("…"):
        assert kept == "".join(text.split())


def test_wide_letters_take_two_columns():
    assert fitted(CHINESE * 2, 10, 8).split("\n")[0] == CHINESE[:5]
    assert fitted("two dogs run", 8, 8) == "two dogs\nrun"
    assert unicodedata.east_asian_width("两") == "W"
