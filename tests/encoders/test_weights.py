import keras
import pytest

from tfxmodal.encoders.weights import save_weights


def test_weights_on_a_full_disk_are_an_error_and_leave_the_old_file(tmp_path, file_limit):
    """HDF5 itself would end the process there."""
    network = keras.Sequential([keras.Input([90]), keras.layers.Dense(90)])
    path = tmp_path / "a.weights.h5"
    save_weights(network, path)
    before = path.read_bytes()
    file_limit(10_000)
    with pytest.raises(OSError, match="File too large"):
        save_weights(network, path)
    file_limit(None)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
