import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.training.tiny import make_pairs
from tfxmodal.errors import InputError
from tfxmodal.inputs.spec import MethodInputs
from tfxmodal.methods import METHODS
from tfxmodal.training.checkpoints import Checkpoints, TrainState


def parts(units=3):
    """A network whose weights tell when it was saved, its optimizer and its state."""
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [keras.Input([2]), keras.layers.Dense(units), keras.layers.Dropout(0.5)]
    )
    optimizer = keras.optimizers.Adam()
    optimizer.build(network.trainable_variables)
    return {"network": network}, optimizer, TrainState()


def saved(folder, epochs=3):
    """A run folder in which the kernel is full of the epoch's number; `best` is epoch 2."""
    networks, optimizer, state = parts()
    checkpoints = Checkpoints(folder, networks, optimizer, state)
    for state.epoch in range(1, epochs + 1):
        kernel = networks["network"].layers[0].kernel
        kernel.assign(tf.fill(kernel.shape, float(state.epoch)))
        if state.epoch == 2:
            checkpoints.save_best(state.epoch)
        checkpoints.save_last()


def restored(folder, what, **options):
    """The kernel's number and the state after restoring into new networks."""
    networks, optimizer, state = parts(**options)
    getattr(Checkpoints(folder, networks, optimizer, state), what)()
    (number,) = set(networks["network"].layers[0].kernel.numpy().ravel())
    return number, state.epoch


def cut(file):
    """Leaves the first half of a file."""
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def test_last_and_best_are_restored(tmp_path):
    saved(tmp_path)
    assert restored(tmp_path, "restore_last") == (3, 3)
    assert restored(tmp_path, "restore_best") == (2, 0)
    networks, _, _ = parts()
    Checkpoints(tmp_path, networks).restore_best()  # As evaluation does, without an optimizer.
    assert set(networks["network"].layers[0].kernel.numpy().ravel()) == {2}


def test_everything_of_the_state_comes_back(tmp_path):
    networks, optimizer, state = parts()
    state.epoch, state.step, state.loss_sums = 3, 7, [0.1, 1e-300]
    state.best_score, state.best_epoch, state.waited = 1 / 3, 2, 1
    optimizer.iterations.assign(5)
    network = networks["network"]
    network(tf.ones([1, 2]), training=True)  # Draws dropout's numbers.
    seed = [v.numpy() for v in network.variables if "seed" in v.name]
    Checkpoints(tmp_path, networks, optimizer, state).save_last()

    networks, optimizer, again = parts()
    assert Checkpoints(tmp_path, networks, optimizer, again).restore_last()
    assert again == state
    assert optimizer.iterations == 5
    found = [v.numpy() for v in networks["network"].variables if "seed" in v.name]
    assert len(seed) == 1
    np.testing.assert_array_equal(found, seed)


def test_a_new_run_has_nothing_to_restore(tmp_path):
    networks, optimizer, state = parts()
    checkpoints = Checkpoints(tmp_path, networks, optimizer, state)
    assert not checkpoints.restore_last()
    checkpoints.save_last()
    with pytest.raises(InputError, match="holds no trained model: .*continue it with --resume"):
        checkpoints.restore_best()


def test_few_checkpoints_are_kept(tmp_path):
    saved(tmp_path, epochs=6)
    kept = sorted(file.name for file in tmp_path.glob("*/*.index"))
    assert kept == ["ckpt-2.index", "ckpt-5.index", "ckpt-6.index"]


@pytest.mark.parametrize("part", ["data-00000-of-00001", "index"])
def test_a_last_checkpoint_cut_short_has_a_remedy_that_works(tmp_path, part):
    saved(tmp_path)
    cut(tmp_path / "last" / f"ckpt-3.{part}")
    with pytest.raises(InputError, match="ckpt-3 is damaged") as raised:
        restored(tmp_path, "restore_last")
    message = str(raised.value)
    assert message.count("\n") == 0
    name, file = re.search(r"name (\S+) in (\S+)\.$", message).groups()

    text = (tmp_path / "last" / "checkpoint").read_text()
    assert str(tmp_path / "last" / "checkpoint") == file
    changed = re.sub('^model_checkpoint_path: ".*"', f'model_checkpoint_path: "{name}"', text)
    (tmp_path / "last" / "checkpoint").write_text(changed)
    assert restored(tmp_path, "restore_last") == (2, 2)

    networks, optimizer, state = parts()
    checkpoints = Checkpoints(tmp_path, networks, optimizer, state)
    checkpoints.restore_last()
    state.epoch = 9
    checkpoints.save_last()  # In place of the damaged one.
    assert restored(tmp_path, "restore_last") == (2, 9)


def test_a_best_checkpoint_cut_short(tmp_path):
    saved(tmp_path)
    cut(tmp_path / "best" / "ckpt-2.data-00000-of-00001")
    with pytest.raises(InputError, match="best/ckpt-2 is damaged .*train again in another"):
        restored(tmp_path, "restore_best")


@pytest.mark.parametrize("what", ["restore_last", "restore_best"])
def test_another_architecture_is_told(tmp_path, what):
    saved(tmp_path)
    with pytest.raises(InputError, match="or of another model .*shape.*: .*[.]$"):
        restored(tmp_path, what, units=4)


def test_another_set_of_networks_is_told(tmp_path):
    saved(tmp_path)
    networks, optimizer, state = parts()
    networks["second"] = parts()[0]["network"]
    checkpoints = Checkpoints(tmp_path, networks, optimizer, state)
    for restore in (checkpoints.restore_last, checkpoints.restore_best):
        with pytest.raises(InputError, match="or of another model"):
            restore()


class ListOfLayers(keras.Model):
    """What Keras knows as weights and TensorFlow's checkpoints overlook."""

    def __init__(self):
        super().__init__()
        self.hidden = [keras.layers.Dense(1)]
        self.hidden[0].build((None, 2))
        self.built = True


def test_a_network_that_a_checkpoint_would_not_hold_whole_is_refused(tmp_path):
    with pytest.raises(AssertionError, match="of net would lack .*kernel.*keep the layers in a tu"):
        Checkpoints(tmp_path, {"net": ListOfLayers()})


@pytest.mark.parametrize("name", [name for name, spec in METHODS.items() if spec.learner])
def test_every_weight_of_a_method_comes_back(name, tmp_path):
    spec, inputs = METHODS[name], MethodInputs.of(make_pairs())
    methods = [spec.learner(inputs, spec.config()) for _ in range(2)]
    Checkpoints(tmp_path, methods[0].networks).save_best(1)
    Checkpoints(tmp_path, methods[1].networks).restore_best()
    for kind, network in methods[0].networks.items():
        restored = methods[1].networks[kind].get_weights()
        assert restored
        for ours, theirs in zip(network.get_weights(), restored, strict=True):
            np.testing.assert_array_equal(ours, theirs)
