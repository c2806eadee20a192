import pytest

from tests.data.test_manifest import three, write
from tfxmodal.data import load_dataset
from tfxmodal.data.dataset_card import DatasetCard, read_card
from tfxmodal.errors import InputError

NORWEGIAN = """
license: CC-BY-4.0
language: no      # which YAML takes for a "no"
version: 1.10
date_published: 2026-01-31
citation: |
  A. Example.
  Dogs.
source:
"""


def test_values_are_texts_as_they_are_written(tmp_path):
    (tmp_path / "card.yaml").write_text(NORWEGIAN)
    assert read_card(tmp_path) == DatasetCard(
        license="CC-BY-4.0",
        language=("no",),
        version="1.10",
        date_published="2026-01-31",
        citation="A. Example.\nDogs.",
    )


@pytest.mark.parametrize(
    "text, told",
    [
        ("licence: MIT", r"Unknown field of .*card.yaml 'licence'; use one of: .*license"),
        ("license: [MIT, BSD]", r"`license` in .*card.yaml must be a text; received \['MIT', 'BSD"),
        ("- MIT", r"holds no fields: write them as `license: CC-BY-4.0`"),
        ("", "holds no fields"),
        ("license: 'MIT", r"card.yaml cannot be read \(.*\): correct it"),
    ],
)
def test_a_malformed_card_is_told(tmp_path, text, told):
    (tmp_path / "card.yaml").write_text(text)
    with pytest.raises(InputError, match=told):
        read_card(tmp_path)


def test_a_dataset_has_the_card_beside_it(tmp_path):
    for name in "abc":
        (tmp_path / f"{name}.jpg").touch()
    write(tmp_path / "pairs.jsonl", three())
    assert load_dataset("pairs", tmp_path).card == DatasetCard()
    (tmp_path / "card.yaml").write_text("language: [en, de]")
    for place in (tmp_path, tmp_path / "pairs.jsonl"):
        dataset = load_dataset("pairs", place)
        assert dataset.replace_splits(train=dataset.test).card.language == ("en", "de")


def test_what_is_drawn_here_names_the_licence_of_its_pictures(tmp_path):
    assert load_dataset("emoji_scenes", tmp_path, size=10).card.license == "CC-BY-4.0"
