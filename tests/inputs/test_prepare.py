import numpy as np
import pytest

from tfxmodal.data import Dataset
from tfxmodal.data.pairs import Pairs
from tfxmodal.errors import InputError
from tfxmodal.inputs.config import DataConfig
from tfxmodal.inputs.prepare import prepare
from tfxmodal.inputs.raw import text_cnn_to_train
from tfxmodal.io.reporter import Reporter


def ready(images=None, texts=None) -> Dataset:
    """Four pairs of features, or of what is given in their place."""
    features = np.arange(12, dtype=np.float32).reshape(4, 3)
    given = [features if column is None else column for column in (images, texts)]
    return Dataset("mine", *[Pairs(np.array(list("abcd")), *given)] * 3)


def test_token_ids_beside_ready_features():
    captions = [("one dog",), ("two dogs run",), ("a cat",), ("the cat sleeps",)]
    kinds = {"image": "global", "text": "words"}
    prepared = prepare(ready(texts=captions), DataConfig("mine"), kinds)
    train = prepared.features.train
    np.testing.assert_array_equal(train.images, ready().train.images)
    assert len(train.texts) == 4 and np.asarray(train.texts[:]).dtype.kind == "i"
    assert prepared.inputs.image.kind == "global" and prepared.inputs.text.kind == "words"
    assert set(prepared.inputs.networks) == {"text"}


@pytest.mark.parametrize(
    "image, text, message",
    [
        ("map", "global", "maps of images, and the dataset mine has ready features"),
        ("pixels", "global", "needs the images themselves, and the dataset mine has ready"),
        ("global", "words", "needs the texts themselves, and the dataset mine has ready"),
    ],
)
def test_ready_features_are_not_read_as_another_kind(image, text, message):
    with pytest.raises(InputError, match=message):
        prepare(ready(), DataConfig("mine"), {"image": image, "text": text})


def test_what_word_vectors_know_is_told(tmp_path):
    (tmp_path / "v.txt").write_text("dog 1 2\ncat 3 4\n")
    told, reporter = [], Reporter()
    reporter.say = told.append
    config = DataConfig(word_vectors=str(tmp_path / "v.txt"))
    text_cnn_to_train(config, [("a dog",), ("a cat runs",)], reporter=reporter)
    assert told == [f"The word vectors {tmp_path}/v.txt know 2 of 4 words (50%), and not a, runs."]
    text_cnn_to_train(DataConfig(), [("a dog",)], reporter=reporter)
    assert len(told) == 1
