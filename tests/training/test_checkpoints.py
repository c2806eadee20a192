import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.training.tiny import checkpoint_tensors, make_pairs
from tfxmodal.errors import InputError
from tfxmodal.inputs.config import DataConfig
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
    return {"network": network}, {"all": optimizer}, TrainState()


def saved(folder, epochs=3):
    """A run folder in which the kernel is full of the epoch's number; `best` is epoch 2."""
    networks, optimizers, state = parts()
    checkpoints = Checkpoints(folder, networks, state)
    for state.epoch in range(1, epochs + 1):
        kernel = networks["network"].layers[0].kernel
        kernel.assign(tf.fill(kernel.shape, float(state.epoch)))
        if state.epoch == 2:
            checkpoints.save_best(state.epoch)
        checkpoints.save_last(optimizers)


def restored(folder, what, **options):
    """The kernel's number and the state after restoring into new networks."""
    networks, optimizers, state = parts(**options)
    checkpoints = Checkpoints(folder, networks, state)
    checkpoints.restore_best() if what == "best" else checkpoints.restore_last(optimizers)
    (number,) = set(networks["network"].layers[0].kernel.numpy().ravel())
    return number, state.epoch


def cut(file):
    """Leaves the first half of a file."""
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def test_last_and_best_are_restored(tmp_path):
    saved(tmp_path)
    assert restored(tmp_path, "last") == (3, 3)
    assert restored(tmp_path, "best") == (2, 0)
    networks, _, _ = parts()
    Checkpoints(tmp_path, networks).restore_best()  # As evaluation does, without a state.
    assert set(networks["network"].layers[0].kernel.numpy().ravel()) == {2}


def test_everything_of_the_state_comes_back(tmp_path):
    networks, optimizers, state = parts()
    state.epoch, state.step, state.loss_sums = 3, 7, [0.1, 1e-300]
    state.stage, state.stage_epoch, state.finished = 1, 2, True
    state.best_score, state.best_epoch, state.waited = 1 / 3, 2, 1
    optimizers["all"].iterations.assign(5)
    network = networks["network"]
    network(tf.ones([1, 2]), training=True)  # Draws dropout's numbers.
    seed = [v.numpy() for v in network.variables if "seed" in v.name]
    Checkpoints(tmp_path, networks, state).save_last(optimizers)

    networks, optimizers, again = parts()
    checkpoints = Checkpoints(tmp_path, networks, again)
    assert checkpoints.last_state() == state
    checkpoints.restore_last(optimizers)
    assert again == state
    assert optimizers["all"].iterations == 5
    found = [v.numpy() for v in networks["network"].variables if "seed" in v.name]
    assert len(seed) == 1
    np.testing.assert_array_equal(found, seed)


def test_a_new_run_has_nothing_to_restore(tmp_path):
    networks, optimizers, state = parts()
    checkpoints = Checkpoints(tmp_path, networks, state)
    assert checkpoints.last_state() is None
    checkpoints.save_last(optimizers)
    with pytest.raises(InputError, match="holds no trained model: .*continue it with `resume`"):
        checkpoints.restore_best()


def test_one_checkpoint_of_each_kind_is_kept(tmp_path):
    saved(tmp_path, epochs=6)
    kept = sorted(file.name for file in tmp_path.glob("*/*.index"))
    assert kept == ["ckpt-2.index", "ckpt-6.index"]


def test_a_save_that_fails_leaves_the_checkpoint_before_it_and_nothing_else(tmp_path, file_limit):
    saved(tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    networks, optimizers, state = parts()
    checkpoints = Checkpoints(tmp_path, networks, state)
    checkpoints.restore_last(optimizers)
    file_limit(100)
    for save in (lambda: checkpoints.save_last(optimizers), lambda: checkpoints.save_best(4)):
        with pytest.raises(tf.errors.OpError, match="File too large"):
            save()
    file_limit(None)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before
    assert sorted(path.name for path in tmp_path.glob("*/*") if path.is_dir()) == []
    checkpoints.save_last(optimizers)
    assert restored(tmp_path, "last") == (3, 3)


def test_the_last_checkpoint_may_have_other_optimizers_than_the_one_before(tmp_path):
    networks, optimizers, state = parts()
    checkpoints = Checkpoints(tmp_path, networks, state)
    checkpoints.save_last(optimizers)
    for names in (("networks", "adversary"), ()):
        checkpoints.save_last({name: parts()[1]["all"] for name in names})
        others, optimizers, state = parts()
        Checkpoints(tmp_path, others, state).restore_last(dict.fromkeys(names, optimizers["all"]))
        held = {
            name.split("/")[1] for name in checkpoint_tensors(tmp_path / "last") if "rate" in name
        }
        assert held == set(names)
    assert len(list(tmp_path.glob("last/*.index"))) == 1


def test_the_last_checkpoint_of_an_earlier_version_is_refused(tmp_path):
    networks, optimizers, state = parts()
    old = tf.train.Checkpoint(**networks, optimizer=optimizers["all"], state=state, random=[])
    tf.train.CheckpointManager(old, tmp_path / "last", max_to_keep=2).save()
    with pytest.raises(InputError, match="by an earlier version .*train again in ano"):
        Checkpoints(tmp_path, networks, state).last_state()


@pytest.mark.parametrize("part", ["data-00000-of-00001", "index"])
def test_a_last_checkpoint_cut_short(tmp_path, part):
    saved(tmp_path)
    cut(tmp_path / "last" / f"ckpt-3.{part}")
    networks, optimizers, state = parts()
    checkpoints = Checkpoints(tmp_path, networks, state)
    with pytest.raises(
        InputError, match="ckpt-3 is damaged .*train again in another `run_d"
    ) as told:
        checkpoints.last_state()
        checkpoints.restore_last(optimizers)
    assert str(told.value).count("\n") == 0
    assert restored(tmp_path, "best") == (2, 0)


def test_a_best_checkpoint_cut_short(tmp_path):
    saved(tmp_path)
    cut(tmp_path / "best" / "ckpt-2.data-00000-of-00001")
    with pytest.raises(InputError, match="best/ckpt-2 is damaged .*train again in another"):
        restored(tmp_path, "best")


@pytest.mark.parametrize("what", ["last", "best"])
def test_another_architecture_is_told(tmp_path, what):
    saved(tmp_path)
    with pytest.raises(InputError, match="or of another model .*shape.*: .*[.]$"):
        restored(tmp_path, what, units=4)


def test_another_set_of_networks_is_told(tmp_path):
    saved(tmp_path)
    networks, optimizers, state = parts()
    networks["second"] = parts()[0]["network"]
    checkpoints = Checkpoints(tmp_path, networks, state)
    for restore in (lambda: checkpoints.restore_last(optimizers), checkpoints.restore_best):
        with pytest.raises(InputError, match="or of another model"):
            restore()


def test_an_error_without_a_message_is_told_by_its_kind(tmp_path, monkeypatch):
    saved(tmp_path)
    networks, _, _ = parts()
    checkpoints = Checkpoints(tmp_path, networks)

    def restore(self, path):
        raise AssertionError

    monkeypatch.setattr(tf.train.Checkpoint, "restore", restore)
    with pytest.raises(InputError, match="of another model .AssertionError.: train again"):
        checkpoints.restore_best()


class ListOfLayers(keras.Model):
    """What Keras knows as weights and TensorFlow's checkpoints overlook."""

    def __init__(self):
        super().__init__()
        self.hidden = [keras.layers.Dense(1)]
        self.hidden[0].build((None, 2))
        self.built = True


def test_a_network_that_a_checkpoint_would_not_hold_whole_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'net' would lack .*kernel.*keep its layers in a tuple"):
        Checkpoints(tmp_path, {"net": ListOfLayers()})


@pytest.mark.parametrize("name", [name for name, spec in METHODS.items() if spec.learner])
def test_every_weight_of_a_method_comes_back(name, tmp_path):
    spec, train = METHODS[name], make_pairs()
    of_a_run = {"teacher": tmp_path} if hasattr(spec.config, "teacher") else {}
    config, _ = spec.decide(spec.config(**of_a_run), train, DataConfig())
    methods = [spec.learner(MethodInputs.of(train), config) for _ in range(2)]
    Checkpoints(tmp_path, methods[0].networks).save_best(1)
    Checkpoints(tmp_path, methods[1].networks).restore_best()
    for kind, network in methods[0].networks.items():
        restored = methods[1].networks[kind].get_weights()
        assert restored
        for ours, theirs in zip(network.get_weights(), restored, strict=True):
            np.testing.assert_array_equal(ours, theirs)
