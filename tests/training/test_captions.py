"""What a run tells of captions: the share of words that it knows, and texts that say nothing."""

import json

import numpy as np
import pytest

from tests.training.test_experiment import dataset, settings
from tfxmodal.data.pairs import Dataset
from tfxmodal.encoders.text import open_text_encoder
from tfxmodal.errors import InputError
from tfxmodal.io.reporter import Reporter
from tfxmodal.search.run_index import RunIndex
from tfxmodal.training.experiment import run_experiment
from tfxmodal.training.run_evaluation import evaluate_run
from tfxmodal.training.trained_run import load_run

WORDS = np.array(["red", "green", "blue"])


class Heard(Reporter):
    """Keeps what is said."""

    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)


def captioned() -> Dataset:
    """Images' features with captions that name the classes; one test text says nothing."""

    def of(name, pairs):
        texts = [(f"Wall {' '.join(WORDS[row == 1])}",) for row in pairs.labels]
        if name == "test":
            texts[2], texts[3] = ("墙",), ("a quux wall",)
        return pairs.with_features(texts=texts)

    source = dataset()
    return Dataset(
        "features",
        **{name: of(name, pairs) for name, pairs in source.splits()},
        class_names=source.class_names,
    )


def trained(folder, method="pls", **options):
    chosen = settings(method, cache_dir=folder / "cache")
    return run_experiment(chosen, folder / "run", dataset=captioned(), **options)


def test_known_words_are_told_and_kept(tmp_path):
    heard = Heard()
    folder = trained(tmp_path, reporter=heard).folder
    source = captioned()
    count = sum(len(text.split()) for (text,) in source.test.texts)
    unsaid = "1 of 24 texts hold no known word and are scored all the same: pair 2"
    share = f"{(count - 3) / count:.1%} of {count} words are known"
    assert f"test: {share}; {unsaid}" in heard.said
    assert [line for line in heard.said if line.startswith("train: 100.0% of ")]
    known = {"words": count, "known": count - 3, "texts_without": ["pair 2"]}
    assert json.loads((folder / "model.json").read_text())["known_words"]["test"] == known
    heard.said.clear()
    evaluate_run(load_run(folder), source, reporter=heard)
    assert f"test: {share}; {unsaid}" in heard.said
    metrics = json.loads((folder / "evaluation/features-test/metrics.json").read_text())
    assert metrics["known_words"] == known


def test_a_search_names_the_words_that_the_run_does_not_know(tmp_path):
    run, heard = load_run(trained(tmp_path).folder), Heard()
    assert run.unknown_words(["RED quux, blue", "red"]) == [["quux"], []]
    index = RunIndex.new(run, reporter=heard)
    index.index.add(["a"], run.scorer().embed_images(np.ones([1, 6], np.float32)))
    index.search(["RED quux, blue", "red"])
    assert heard.said == ["Unknown words of 'RED quux, blue': quux"]
    with pytest.raises(InputError, match="`text` 'quux' holds no word that .* knows: write other"):
        index.search(["red", "quux"])


def test_a_run_goes_on_with_the_vocabulary_that_an_earlier_version_made(tmp_path):
    asked = iter([False, True])
    trained(tmp_path, "scl", stop_asked=lambda: next(asked))
    path = tmp_path / "run" / "vocabulary.json"
    earlier = {"idf": json.loads(path.read_text())["idf"] | {"墙上": 1.0}}
    earlier["idf"].pop("blue")
    path.write_text(json.dumps(earlier))
    assert trained(tmp_path, "scl", resume=True).finished
    encoder = open_text_encoder(tmp_path / "run")
    assert encoder.version == 1 and encoder.words == tuple(earlier["idf"])
