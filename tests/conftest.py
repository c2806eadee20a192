import gc
import os
import random
import resource
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
# The suite's processes take all cores: threads of their own would only wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

import hypothesis  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
import tensorflow as tf  # noqa: E402

from tests.training.norms import measured, not_measured  # noqa: E402
from tfxmodal.commands import cli  # noqa: E402
from tfxmodal.evaluation import results  # noqa: E402
from tfxmodal.training import encoder_training, experiment  # noqa: E402
from tfxmodal.training.replicas import make_strategy  # noqa: E402

pytest_plugins = ["tests.runs", "tests.presets"]

keras.utils.set_random_seed(0)

# A worker holds millions of objects of graphs: by Python's own thresholds a tenth of the time goes
# into looking for cycles among them.
gc.set_threshold(100_000, 50, 100)

# A busy machine makes an example late, not wrong.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)

# Rewriting graphs takes a tenth of the suite's time, for trainings of a second. They are rewritten
# in the processes that tests start, and in servers' sessions.
tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})

LONG = (
    *("packaging/test_wheel", "serving/test_export_savedmodel", "training/test_loop"),
    *("training/test_experiment", "training/test_workers", "serving/test_keras_hub"),
    *("commands/test_train_scl_process", "commands/test_end_to_end", "docs/test_python_api"),
    *("commands/test_build_index", "commands/test_datasets", "training/test_updates"),
    *("methods/gradient/test_cosine_method", "training/test_candidates"),
    *("commands/test_train_towers", "methods/test_binary", "benchmark/test_runner"),
)
"""Files that take the most time. They are begun first, so that all processes end together."""

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_collection_modifyitems(items):
    place = {Path(__file__).parent / f"{name}.py": number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path, len(LONG)))


@pytest.fixture(autouse=True)
def seed():
    """The same initial weights in every run of the tests.

    Keras draws their seeds from Python's random numbers. TensorFlow's own seed is set once: setting
    it drops all compiled kernels, which would be compiled again in each test.
    """
    random.seed(0)
    np.random.seed(0)


@pytest.fixture(scope="session", autouse=True)
def without_figures():
    """Trainings in this process draw no figures: they would take more time than the training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "draw", lambda *_, **__: {})
        yield


@pytest.fixture
def figures(monkeypatch):
    """A test that asks for it has runs whose figures are drawn."""
    monkeypatch.setattr(experiment, "draw", results.draw)


@pytest.fixture(scope="session", autouse=True)
def one_device():
    """Runs take one of the two devices: see `two_replicas`."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (experiment, encoder_training):
            patch.setattr(module, "make_strategy", lambda: make_strategy("CPU:0"))
        yield


@pytest.fixture(scope="session", autouse=True)
def without_gradient_norms():
    """See `tests.training.norms`."""
    with not_measured():
        yield


@pytest.fixture
def gradient_norms():
    """A test that asks for it has trainings that measure the gradient norm of each loss term."""
    with measured():
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the checkout; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the real data at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def two_devices() -> list[str]:
    """Two logical CPU devices, which stand for two replicas (made before TensorFlow starts)."""
    return [device.name for device in tf.config.list_logical_devices("CPU")]


@pytest.fixture(scope="session")
def two_replicas(two_devices) -> tf.distribute.MirroredStrategy:
    """The one strategy over `two_devices`."""
    return make_strategy(*two_devices)


@pytest.fixture
def file_limit():
    """`file_limit(size)`: no file grows beyond it, as on a full disk; None ends that."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size: int | None):
        now = before if size is None else (size, before[1])
        resource.setrlimit(resource.RLIMIT_FSIZE, now)

    yield limit
    limit(None)


@pytest.fixture
def complaint(capsys):
    """`complaint(main, *flags)`: the one sentence with which a command ends."""

    def of(main, *flags: str) -> str:
        with pytest.raises(SystemExit) as exit:
            cli.run(lambda: main(list(flags)))
        assert exit.value.code == 2
        return capsys.readouterr().err.splitlines()[-1]

    return of
