from dataclasses import replace

import numpy as np

from tests.training.tiny import make_pairs
from tfxmodal.data.pairs import Pairs
from tfxmodal.inputs.data_hash import data_hash


def photos(folder, *contents: str) -> Pairs:
    """Pairs of files and captions."""
    folder.mkdir()
    for number, content in enumerate(contents):
        (folder / f"{number}.jpg").write_text(content)
    paths = np.array([str(folder / f"{number}.jpg") for number in range(len(contents))])
    return Pairs(paths, paths, [(f"text {number}",) for number in range(len(contents))])


def test_files_are_known_by_their_contents_wherever_they_lie(tmp_path):
    first, moved = photos(tmp_path / "a", "x", "y"), photos(tmp_path / "b", "x", "y")
    assert data_hash(first, tmp_path) == data_hash(moved, tmp_path)
    others = [photos(tmp_path / "c", "x", "z"), photos(tmp_path / "d", "y", "x")]
    others += [replace(first, texts=[("text 0", "more"), ("text 1",)])]
    others += [replace(first, labels=np.eye(2, dtype="uint8"))]
    hashes = {data_hash(each, tmp_path) for each in (first, *others)}
    assert len(hashes) == 5


def test_features_are_known_by_their_values(tmp_path):
    pairs = make_pairs(8)
    others = [replace(pairs, images=pairs.images * 2), replace(pairs, texts=pairs.texts[::-1])]
    assert data_hash(pairs, tmp_path) == data_hash(make_pairs(8), tmp_path)
    assert len({data_hash(each, tmp_path) for each in (pairs, *others)}) == 3
