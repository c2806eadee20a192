import numpy as np
import pytest
import tensorflow as tf

from tfxmodal.losses.quadruplet import quadruplet

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(14, 3))
SINGLE = np.eye(4)[np.arange(14) % 4]
SEVERAL = np.maximum(SINGLE, RNG.random((14, 4)) < 0.2)


def oracle(points, labels, draws, margins=(1.0, 0.5), one_hinge=False) -> float:
    """The mean over the quadruplets that add something, one after the other."""
    n, losses = len(points), []
    order = tf.random.stateless_uniform([n, n], seed=[0, 0]).numpy()
    share = labels @ labels.T > 0

    def first(allowed, of):
        return sorted((row for row in range(n) if allowed(row)), key=lambda row: -order[of, row])

    def distance(a, b):
        return np.linalg.norm(points[a] - points[b])

    for i in range(n):
        near = first(lambda j, i=i: share[i, j] and j != i, i)
        far = first(lambda k, i=i: not share[i, k], i)
        for j, k in list(zip(near, far, strict=False))[:draws]:
            if thirds := first(lambda m, i=i, k=k: not share[i, m] and not share[k, m], k):
                a = distance(i, j) - distance(i, k) + margins[0]
                b = distance(i, j) - distance(k, thirds[0]) + margins[1]
                losses.append(max(a + b, 0) if one_hinge else max(a, 0) + max(b, 0))
    added = [loss for loss in losses if loss > 0]
    return sum(added) / max(len(added), 1)


@pytest.mark.parametrize("labels", [SINGLE, SEVERAL], ids=["single", "several"])
@pytest.mark.parametrize("draws", [2, 99])
@pytest.mark.parametrize("one_hinge", [False, True])
def test_equals_the_loop_over_quadruplets(labels, draws, one_hinge):
    given = tf.constant(POINTS), tf.constant(labels)
    found = quadruplet(*given, draws, (0.6, 0.2), one_hinge)
    expected = oracle(POINTS, labels, draws, (0.6, 0.2), one_hinge)
    assert expected > 0.1 and float(found) == pytest.approx(expected, rel=1e-6)


def test_where_the_margins_hold_it_is_zero():
    centres = 10 * np.eye(4)
    points = tf.constant(SINGLE @ centres + 0.01 * np.pad(POINTS, [(0, 0), (0, 1)]))
    assert float(quadruplet(points, tf.constant(SINGLE), 99)) == 0
    assert float(quadruplet(points, tf.constant(SINGLE), 99, (20.0, 0.5))) > 0


def test_one_hinge_lets_one_comparison_make_up_for_the_other():
    """Of each quadruplet the first comparison is right by 1, and the second wrong by .8."""
    r = np.sqrt(9 - 0.25)  # 3 from both points of the pair, .7 from each other
    turn = 2 * np.arcsin(0.35 / r)
    others = [r * np.array([np.cos(t), 0, np.sin(t)]) for t in (0, turn)]
    points = tf.constant(np.array([[0, 0.5, 0], [0, -0.5, 0], *others]))
    labels = tf.constant(np.eye(3)[[0, 0, 1, 2]])
    assert float(quadruplet(points, labels, 9)) == pytest.approx(0.8, abs=1e-6)
    assert float(quadruplet(points, labels, 9, one_hinge=True)) == 0


def test_points_that_coincide_have_finite_gradients():
    points = tf.zeros([6, 3], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(points)
        loss = quadruplet(points, tf.constant(SINGLE[:6]), 3)
    assert float(loss) == pytest.approx(1.5)
    assert np.isfinite(tape.gradient(loss, points)).all()


@pytest.mark.parametrize("classes", [[0, 0, 0], [0, 0, 1, 1], [0, 1, 2]])
def test_without_a_quadruplet_it_is_zero(classes):
    labels = tf.constant(np.eye(3)[classes])
    assert float(quadruplet(tf.constant(POINTS[: len(classes)]), labels, 3)) == 0
