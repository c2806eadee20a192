from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from tests.training.tiny import make_pairs
from tfxmodal.data import Dataset
from tfxmodal.errors import InputError
from tfxmodal.inputs.config import DataConfig
from tfxmodal.inputs.shared_space import check_shared_space
from tfxmodal.methods import METHODS
from tfxmodal.methods.closed_form import zero_shot
from tfxmodal.methods.gradient.drsl import DRSLConfig
from tfxmodal.methods.gradient.scl_config import SCLConfig
from tfxmodal.training.candidates import suited
from tfxmodal.training.config import FitConfig
from tfxmodal.training.experiment import run_experiment
from tfxmodal.training.settings import Settings, training_config


def same_width(pairs):
    """Pairs whose images and texts have features of one width."""
    width = min(pairs.images.shape[1], pairs.texts.shape[1])
    return pairs.with_features(pairs.images[:, :width], pairs.texts[:, :width])


def test_the_score_is_the_cosine_of_the_features():
    pairs = same_width(make_pairs())
    scorer = zero_shot.fit(pairs, pairs, zero_shot.ZeroShotConfig()).scorer()
    found = scorer.score(scorer.embed_images(pairs.images), scorer.embed_texts(pairs.texts))
    x, y = np.float64(pairs.images), np.float64(pairs.texts)
    lengths = np.linalg.norm(x, axis=1)[:, None] * np.linalg.norm(y, axis=1)
    np.testing.assert_allclose(found, x @ y.T / lengths, atol=1e-5)


def encoder(space, name="images"):
    return SimpleNamespace(space=space, name=name)


@pytest.mark.parametrize(
    "images, texts, told",
    [
        (encoder("a"), encoder("b"), "share no space: give one SigLIP or CLIP"),
        (encoder(None), encoder(None), "encoders of images .images. and of texts share no space"),
        (None, encoder("a"), "one modality came ready, and an encoder makes those of the other"),
        (None, None, "images are 9 wide and those of texts 4, so that they share no space"),
    ],
)
def test_features_of_two_spaces_are_refused(images, texts, told):
    pairs = make_pairs().with_features(np.zeros([64, 9]), np.zeros([64, 4]))
    with pytest.raises(InputError, match=told):
        check_shared_space(pairs, images, texts)


def test_features_of_one_space_pass():
    check_shared_space(make_pairs(), encoder("a"), encoder("a"))


@pytest.mark.parametrize("method", ["zero_shot", "scl", "drsl"])
def test_a_bag_of_words_is_refused_before_any_work(method, tmp_path):
    config = {
        "zero_shot": zero_shot.ZeroShotConfig(),
        "scl": SCLConfig(start="zero_shot", output_activation="linear"),
        "drsl": DRSLConfig(start="zero_shot"),
    }[method]
    pairs = replace(make_pairs(4), texts=[("a dog",), ("a cat",)] * 2)
    settings = Settings(method, DataConfig("features"), config, training_config(METHODS[method])())
    with pytest.raises(InputError, match="came ready, and an encoder makes those of the other"):
        run_experiment(settings, tmp_path / "run", dataset=Dataset("mine", pairs, pairs, pairs))
    assert not (tmp_path / "run/config.json").exists()


def test_auto_tries_it_where_one_encoder_makes_both():
    pairs = make_pairs()
    dataset = Dataset("mine", pairs, pairs, pairs)
    other = DataConfig("pairs")
    shared = replace(other, image_encoder="keras_hub:x", text_encoder="keras_hub:x")
    assert "zero_shot" not in suited(dataset, other, FitConfig())
    assert "zero_shot" in suited(dataset, shared, FitConfig())
