from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.inputs.test_prepare import ready
from tfxmodal.errors import InputError
from tfxmodal.inputs.config import DataConfig
from tfxmodal.inputs.unread import check_given
from tfxmodal.methods.spec import GLOBAL

WORDS = GLOBAL | {"text": "words"}
FILES = ready(np.array(list("abcd")), [("a dog",)] * 4)
GIVEN = {
    "image_encoder": "efficientnet_lite0",
    "image_weights": "random",
    "on_bad_image": "skip",
    "text_encoder": "minilm:folder",
    "captions": "averaged",
    "vocabulary_size": 77,
    "word_vectors": "vectors.bin",
    "text_mode": "static",
}


@pytest.mark.parametrize("name", GIVEN)
def test_what_ready_features_leave_unread_is_told(name):
    config = DataConfig("features", **{name: GIVEN[name]})
    told = (
        rf"^`{name}` {GIVEN[name]} would have no effect, since the dataset mine has ready features"
    )
    with pytest.raises(InputError, match=told):
        check_given(ready(), config, GLOBAL, alone=False)
    moved = replace(
        DataConfig("features"), data_dir=Path("d"), cache_dir=Path("c"), engine="openvino"
    )
    check_given(ready(), moved, GLOBAL)


def test_all_that_is_unread_of_a_modality_is_told_at_once_with_the_remedy():
    config = DataConfig("wikipedia", text_encoder="minilm:m", vocabulary_size=77)
    message = (
        "`text_encoder` minilm:m, `vocabulary_size` 77 .* leave them out, or read them raw by "
        "`dataset_options` text_features=raw"
    )
    with pytest.raises(InputError, match=message):
        check_given(ready(), config, GLOBAL)
    for defaults in (DataConfig("wikipedia"), DataConfig.for_dataset("wikipedia")):
        check_given(ready(), defaults, GLOBAL)


@pytest.mark.parametrize("name", ["word_vectors", "text_mode"])
def test_what_is_of_a_text_cnn_that_is_trained_is_read_by_methods_on_words(name):
    config = DataConfig("mine", **{name: GIVEN[name]})
    with pytest.raises(InputError, match=f"`{name}` .* no TextCNN is trained: .* end to end"):
        check_given(FILES, config, GLOBAL)
    check_given(FILES, config, GLOBAL, alone=False)  # Another method may read it.
    check_given(FILES, config, WORDS)


def test_a_vocabulary_is_of_an_encoder_that_is_made_here():
    config = DataConfig("mine", vocabulary_size=77)
    for name in ("tf_idf", "tf_idf+minilm:m"):
        check_given(FILES, replace(config, text_encoder=name), GLOBAL)
    with pytest.raises(InputError, match="`vocabulary_size` 77 .* minilm:m is trained already"):
        check_given(FILES, replace(config, text_encoder="minilm:m"), GLOBAL)


def test_encoders_of_a_folder_are_read_where_either_modality_is_raw():
    config = DataConfig(
        "mine", encoders=Path("e"), image_encoder="trained", text_encoder="text_cnn:e"
    )
    check_given(ready(texts=[("a dog",)] * 4), config, GLOBAL)
    with pytest.raises(InputError, match="^`encoders` e would have no effect"):
        check_given(ready(), config, GLOBAL)
