import keras
import numpy as np
import pytest
import tensorflow as tf

from tfxmodal.errors import InputError
from tfxmodal.heads.scaling import feature_scaling

FEATURES = np.random.default_rng(0).normal(3, [1, 10, 0.01, 5], size=(50, 4)).astype("float32")


def expected(features, how, rows):
    """The scaling in NumPy float64."""
    features, rows = features.astype(np.float64), rows.astype(np.float64)
    if how == "none":
        return rows
    if how == "unit":
        return rows / np.sqrt(np.mean(features**2))
    centred = rows - features.mean(axis=0)
    return centred / features.std(axis=0) if how == "standard" else centred


@pytest.mark.parametrize("how", ["none", "unit", "center", "standard"])
@pytest.mark.parametrize("chunk", [1, 7, 4096])
def test_equals_numpy(how, chunk):
    layer = feature_scaling(FEATURES, how, chunk)
    other = FEATURES[::-2] + 1
    np.testing.assert_allclose(layer(other), expected(FEATURES, how, other), rtol=1e-4, atol=1e-4)


def test_reads_features_on_disk_in_chunks(tmp_path):
    np.save(tmp_path / "features.npy", FEATURES)

    class OnDisk:
        """Features that count what is read at once."""

        rows, shape, most = np.load(tmp_path / "features.npy", mmap_mode="r"), FEATURES.shape, 0

        def __len__(self):
            return len(self.rows)

        def __getitem__(self, rows):
            found = np.asarray(self.rows[rows])
            self.most = max(self.most, len(found))
            return found

    features = OnDisk()
    layer = feature_scaling(features, "standard", chunk=8)
    assert features.most == 8
    whole = feature_scaling(FEATURES, "standard")
    np.testing.assert_allclose(layer(FEATURES), whole(FEATURES), rtol=1e-5, atol=1e-6)


def test_constant_columns_become_zero_however_large():
    features = FEATURES.copy()
    features[:, 0], features[:, 2] = 1e4 / 3, 0
    scaled = feature_scaling(features, "standard")(features + np.float32(0.1)).numpy()
    np.testing.assert_array_equal(scaled[:, [0, 2]], 0)
    assert (scaled[:, 1] != 0).all()


def test_small_features_are_not_constant():
    layer = feature_scaling(FEATURES * np.float32(1e-9), "standard")
    scaled = layer(FEATURES * np.float32(1e-9)).numpy()
    np.testing.assert_allclose(scaled.std(axis=0), 1, rtol=1e-3)


def test_large_means_do_not_drown_small_deviations():
    features = FEATURES.astype(np.float64)
    features[:, 0] += 5e5
    layer = feature_scaling(features, "standard")
    np.testing.assert_allclose(1 / layer.scale, features.std(axis=0), rtol=1e-6)


def test_a_single_row_can_be_centred():
    np.testing.assert_array_equal(feature_scaling(FEATURES[:1], "standard")(FEATURES[:1]), 0)


def test_keeps_full_precision_under_mixed_bfloat16():
    features = FEATURES + np.float32([100, 0, 0, 0])
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        layer = feature_scaling(features, "standard")
        scaled = layer(features)
    finally:
        keras.config.set_dtype_policy("float32")
    assert scaled.dtype == tf.float32
    np.testing.assert_allclose(scaled, expected(features, "standard", features), atol=1e-4)


def model(features):
    inputs = keras.Input([4])
    return keras.Model(inputs, feature_scaling(features, "standard")(inputs))


def test_is_saved_with_the_model_and_not_trained(tmp_path):
    fitted, blank = model(FEATURES), model(np.zeros((1, 4), "float32"))
    assert fitted.trainable_variables == []
    path = tf.train.Checkpoint(model=fitted).write(tmp_path / "checkpoint")
    tf.train.Checkpoint(model=blank).read(path).assert_existing_objects_matched()
    fitted.save(tmp_path / "model.keras")
    for loaded in (blank, keras.saving.load_model(tmp_path / "model.keras")):
        np.testing.assert_array_equal(loaded(FEATURES), fitted(FEATURES))


def test_unknown_scaling_lists_the_known():
    with pytest.raises(InputError, match="Unknown scaling 'rms'; use one of: center, none"):
        feature_scaling(FEATURES, "rms")
