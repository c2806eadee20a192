import json
import re

import numpy as np
import pytest
from PIL import Image

from tfxmodal.data import load_dataset
from tfxmodal.data.datasets import emoji_drawing, emoji_scenes
from tfxmodal.data.datasets.emoji_captions import KINDS, PLACES, plural
from tfxmodal.data.datasets.emoji_drawing import _BACKGROUNDS, _emoji
from tfxmodal.errors import InputError


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return load_dataset("emoji_scenes", tmp_path_factory.mktemp("scenes"), size=60)


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_splits_are_80_10_10_and_disjoint(scenes):
    assert scenes.name == "emoji_scenes"
    assert [len(pairs) for _, pairs in scenes.splits()] == [48, 6, 6]
    assert len({name for _, pairs in scenes.splits() for name in pairs.ids}) == 60


def test_pictures_and_captions_are_of_the_announced_form(scenes):
    for _, pairs in scenes.splits():
        assert all(len(texts) == 5 and all(texts) for texts in pairs.texts)
        for path in pairs.images:
            with Image.open(path) as picture:
                assert (picture.size, picture.mode) == ((224, 224), "RGB")


def test_captions_name_exactly_the_labelled_objects(scenes):
    assert scenes.class_names == tuple(name for name, *_ in KINDS.values())
    owner = {}
    for name, *synonyms in KINDS.values():
        for noun in (name, *synonyms):
            assert owner.setdefault(noun, name) == name, f"{noun} means two kinds"
            owner[plural(noun)] = name
    # Longest first, so that "ice cream cone" or "alarm clock" is not read as a shorter noun.
    nouns = re.compile(r"\b(" + "|".join(sorted(owner, key=len, reverse=True)) + r")\b")
    for _, pairs in scenes.splits():
        for texts, labels in zip(pairs.texts, pairs.labels, strict=True):
            told = [{owner[noun] for noun in nouns.findall(text.lower())} for text in texts]
            labelled = {scenes.class_names[column] for column in np.flatnonzero(labels)}
            assert told[0] == labelled
            assert all(some and some <= labelled for some in told)


def test_one_to_three_kinds_about_equally_often():
    counts = dict.fromkeys(KINDS, 0)
    per_scene = []
    for index in range(2000):
        _, things = emoji_scenes.compose(emoji_scenes.Random(index))
        kinds = {thing.kind for thing in things}
        per_scene.append(len(kinds))
        for kind in kinds:
            counts[kind] += 1
    assert set(per_scene) == {1, 2, 3}
    expected = sum(per_scene) / len(KINDS)
    assert len(KINDS) == 60
    assert 0.6 * expected < min(counts.values()) and max(counts.values()) < 1.4 * expected


def test_things_lie_inside_the_picture_and_are_large_enough():
    for index in range(200):
        for thing in emoji_scenes.compose(emoji_scenes.Random(index))[1]:
            assert 40 <= thing.size <= 124
            assert thing.size / 2 <= min(thing.x, thing.y)
            assert max(thing.x, thing.y) <= 224 - thing.size / 2


def test_every_kind_has_a_picture_and_every_place_a_background():
    assert all(_emoji(kind).getbbox() for kind in KINDS)
    assert _BACKGROUNDS.keys() == PLACES.keys()


def test_a_scene_depends_on_seed_and_index_alone(scenes, tmp_path):
    fewer = emoji_scenes.load(tmp_path, size=20)
    other = emoji_scenes.load(tmp_path, size=20, seed=1)
    assert fewer.train.texts == scenes.train.texts[:16]
    assert other.train.texts != fewer.train.texts
    for mine, theirs in zip(fewer.train.images, scenes.train.images[:16], strict=True):
        assert open(mine, "rb").read() == open(theirs, "rb").read()


def test_drawing_goes_on_where_it_was_killed(tmp_path, monkeypatch):
    emoji_scenes.load(tmp_path / "whole", size=20)
    drawn = []

    def draw_at_most_ten(place, things, rng, draw=emoji_drawing.draw):
        if len(drawn) == 10:
            raise KeyboardInterrupt
        drawn.append(place)
        return draw(place, things, rng)

    with monkeypatch.context() as patch:
        patch.setattr(emoji_drawing, "draw", draw_at_most_ten)
        with pytest.raises(KeyboardInterrupt):
            emoji_scenes.load(tmp_path / "killed", size=20)
        assert not list(tmp_path.glob("killed/*/pairs.jsonl"))
        drawn[:] = []  # Ten more are left to draw, and no eleventh.
        emoji_scenes.load(tmp_path / "killed", size=20)
    assert len(drawn) == 10
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_drawn_scenes_are_not_drawn_again(tmp_path, monkeypatch):
    first = emoji_scenes.load(tmp_path, size=10)
    monkeypatch.delattr(emoji_drawing, "draw")
    again = emoji_scenes.load(tmp_path, size=10)
    assert json.dumps(again.train.texts) == json.dumps(first.train.texts)


def test_progress_is_told(tmp_path):
    told = []

    def progress(iterable, total, desc):
        told.append((total, desc))
        return iterable

    emoji_scenes.load(tmp_path, size=10, progress=progress)
    assert told == [(10, "drawing scenes")]


def test_too_few_scenes_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"`size` must be 10 or more.*received 9"):
        emoji_scenes.load(tmp_path, size=9)


@pytest.mark.parametrize(
    ("noun", "expected"),
    [
        ("sheep", "sheep"),
        ("tropical fish", "tropical fish"),
        ("cherry", "cherries"),
        ("key", "keys"),
        ("bus", "buses"),
        ("coach", "coaches"),
        ("slice of pizza", "slices of pizza"),
    ],
)
def test_plurals(noun, expected):
    assert plural(noun) == expected
