import subprocess
import sys

import pytest

from tfxmodal import lazy


def run(code: str, **environment) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )


def test_tensorflow_starts_without_a_word_and_on_its_own_backend():
    code = "from tfxmodal.lazy import keras, tf; tf.constant(1); print(keras.config.backend())"
    done = run(code)
    assert (done.stdout, done.stderr) == ("tensorflow\n", "")


def test_another_backend_is_refused_with_what_to_do():
    """As where Keras was imported first, on a backend that its environment names."""
    other = "import sys, types; keras = sys.modules['keras'] = types.ModuleType('keras'); "
    other += "keras.config = types.SimpleNamespace(backend=lambda: 'jax'); "
    done = run(other + "from tfxmodal.lazy import keras; keras.layers")
    assert "Keras runs on 'jax': set KERAS_BACKEND=tensorflow" in done.stderr


@pytest.mark.parametrize(
    ("line", "routine"),
    [
        ("WARNING: All log messages before absl::InitializeLog() is called are written\n", True),
        ("I0000 00:00:1.5    1 cudart_stub.cc:31] Could not find cuda drivers\n", True),
        ("E0000 00:00:1.5    1 cuda_platform.cc:52] failed call to cuInit: INTERNAL\n", True),
        ("F0000 00:00:1.5    1 cpu_feature_guard.cc:90] this CPU lacks AVX\n", False),
        ("E0000 00:00:1.5    1 cuda_dnn.cc:52] out of memory\n", False),
        ("Traceback (most recent call last):\n", False),
    ],
)
def test_what_is_routine(line, routine, monkeypatch):
    monkeypatch.setattr(lazy, "GPU_FILES", ())
    assert lazy._is_routine(line) == routine


def test_a_gpu_that_cannot_be_used_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(lazy, "GPU_FILES", (str(tmp_path),))
    assert not lazy._is_routine("E0000 cuda_platform.cc:52] failed call to cuInit: INTERNAL\n")
