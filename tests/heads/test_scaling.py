import keras
import numpy as np
import pytest
import tensorflow as tf

from tfxmodal.errors import InputError
from tfxmodal.heads import scaling
from tfxmodal.heads.scaling import adapt, feature_scaling

FEATURES = np.random.default_rng(0).normal(3, [1, 10, 0.01, 5], size=(50, 4)).astype("float32")


def fitted(features, how="standard") -> keras.layers.Layer:
    layer = feature_scaling(features.shape[1], how)
    if how != "none":
        layer.adapt(features)
    return layer


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
def test_equals_numpy(how, chunk, monkeypatch):
    monkeypatch.setattr(scaling, "VECTORS", chunk)
    layer = fitted(FEATURES, how)
    other = FEATURES[::-2] + 1
    np.testing.assert_allclose(layer(other), expected(FEATURES, how, other), rtol=1e-4, atol=1e-4)


def test_reads_features_on_disk_in_chunks(tmp_path, monkeypatch):
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

    features, whole = OnDisk(), fitted(FEATURES)
    monkeypatch.setattr(scaling, "VECTORS", 8)
    layer = fitted(features)
    assert features.most == 8
    np.testing.assert_allclose(layer(FEATURES), whole(FEATURES), rtol=1e-5, atol=1e-6)


def test_constant_columns_become_zero_however_large():
    features = FEATURES.copy()
    features[:, 0], features[:, 2] = 1e4 / 3, 0
    scaled = fitted(features)(features + np.float32(0.1)).numpy()
    np.testing.assert_array_equal(scaled[:, [0, 2]], 0)
    assert (scaled[:, 1] != 0).all()


def test_small_features_are_not_constant():
    layer = fitted(FEATURES * np.float32(1e-9))
    scaled = layer(FEATURES * np.float32(1e-9)).numpy()
    np.testing.assert_allclose(scaled.std(axis=0), 1, rtol=1e-3)


def test_large_means_do_not_drown_small_deviations():
    features = FEATURES.astype(np.float64)
    features[:, 0] += 5e5
    layer = fitted(features)
    np.testing.assert_allclose(1 / layer.scale, features.std(axis=0), rtol=1e-6)


def test_a_single_row_can_be_centred():
    np.testing.assert_array_equal(fitted(FEATURES[:1])(FEATURES[:1]), 0)


def test_keeps_full_precision_under_mixed_bfloat16():
    features = FEATURES + np.float32([100, 0, 0, 0])
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        layer = fitted(features)
        scaled = layer(features)
    finally:
        keras.config.set_dtype_policy("float32")
    assert scaled.dtype == tf.float32
    np.testing.assert_allclose(scaled, expected(features, "standard", features), atol=1e-4)


def model(features):
    inputs = keras.Input([4])
    made = keras.Model(inputs, feature_scaling(4, "standard")(inputs))
    adapt(made, features)
    return made


def test_is_saved_with_the_model_and_not_trained(tmp_path):
    whole, blank = model(FEATURES), model(np.zeros((1, 4), "float32"))
    assert whole.trainable_variables == []
    path = tf.train.Checkpoint(model=whole).write(tmp_path / "checkpoint")
    tf.train.Checkpoint(model=blank).read(path).assert_existing_objects_matched()
    whole.save(tmp_path / "model.keras")
    for loaded in (blank, keras.saving.load_model(tmp_path / "model.keras")):
        np.testing.assert_array_equal(loaded(FEATURES), whole(FEATURES))


def test_unknown_scaling_lists_the_known():
    with pytest.raises(InputError, match="Unknown scaling 'rms'; use one of: center, none"):
        feature_scaling(4, "rms")


def test_maps_are_scaled_by_their_locations():
    maps = FEATURES.reshape(10, 5, 4)
    network_rows = keras.Input([5, 4])
    network = keras.Model(network_rows, feature_scaling(4, "standard")(network_rows))
    adapt(network, maps)
    expected = fitted(FEATURES)(FEATURES).numpy().reshape(10, 5, 4)
    np.testing.assert_allclose(network(maps), expected, rtol=1e-4, atol=1e-4)


def scaled_double() -> keras.Model:
    """A network that scales what a layer makes of its rows."""
    rows = keras.Input([4])
    return keras.Model(rows, feature_scaling(4, "standard")(keras.layers.Rescaling(2.0)(rows)))


def test_above_other_layers_scaling_is_fitted_to_what_they_make_of_the_rows():
    network = scaled_double()
    adapt(network, FEATURES)
    every = 2 * FEATURES
    np.testing.assert_allclose(network(FEATURES), fitted(every)(every), rtol=1e-4, atol=1e-4)


def test_above_other_layers_scaling_fits_rows_in_order_of_class():
    """The first half is of one class, and one picture in 2,000 alone has the last column."""
    rows = np.random.default_rng(0).normal(size=(4000, 4)).astype("float32")
    rows[2000:, :2] += 8
    rows[:, 2:] = 0
    rows[3000:3700, 2] = rows[[3, 5], 3] = 1
    network = scaled_double()
    adapt(network, rows)
    scaling = network.layers[-1]
    deviations = 2 * rows.std(axis=0)
    np.testing.assert_allclose(scaling.mean, 2 * rows.mean(axis=0), atol=0.2)
    np.testing.assert_allclose(1 / scaling.scale[:3], deviations[:3], rtol=0.1)
    np.testing.assert_allclose(1 / scaling.scale[3], deviations[:3].mean(), rtol=0.1)


def test_above_other_layers_columns_that_are_all_constant_keep_their_scale():
    network = scaled_double()
    adapt(network, FEATURES[:1])
    np.testing.assert_array_equal(network.layers[-1].scale, 1)
