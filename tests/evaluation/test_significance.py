from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from tfxmodal.evaluation.significance import bootstrap_means, holm, randomisation_test


def scipys(differences: np.ndarray) -> float:
    """The exact p of SciPy, which swaps the two values of a pair."""
    data = differences, np.zeros_like(differences)
    found = stats.permutation_test(
        data, lambda a, b: np.sum(a - b), permutation_type="samples", n_resamples=np.inf
    )
    return found.pvalue


def p_of(differences: np.ndarray, **options) -> np.ndarray:
    """The p of each row of differences: of two methods, the second of which is always 0."""
    values = np.stack([differences, np.zeros_like(differences)], axis=1)
    return randomisation_test(values, **options)[:, 0]


@pytest.mark.parametrize("n", [2, 4, 9])
def test_small_cases_are_exact(n):
    rng = np.random.default_rng(n)
    differences = rng.normal(0.3, 1, (5, n)).round(1)  # Rounded: some sums are equal.
    found = p_of(differences)
    np.testing.assert_allclose(found, [scipys(row) for row in differences])


def test_random_patterns_come_near_the_exact_p_and_are_never_0():
    differences = np.random.default_rng(0).normal(0.4, 1, (3, 12))
    exact = p_of(differences)
    drawn = p_of(differences, samples=4000)
    np.testing.assert_allclose(drawn, exact, atol=0.03)
    clear = p_of(np.ones((1, 40)), samples=999)
    assert clear == pytest.approx(1 / 1000)


def test_the_same_method_twice_does_not_differ():
    assert p_of(np.zeros((1, 50)), samples=100) == 1


def test_any_two_methods_are_tested_in_order():
    values = np.random.default_rng(4).normal(size=(2, 4, 10))
    p = randomisation_test(values)
    for found, of_column in zip(p, values, strict=True):
        pairs = combinations(of_column, 2)
        np.testing.assert_allclose(found, [scipys(one - other) for one, other in pairs])


def test_differences_that_are_rounding_alone_are_none():
    """Such as those of the same numbers, added in another order."""
    values = np.random.default_rng(5).normal(0.5, 0.1, 60) / 60
    same = values + np.resize([1e-17, 2e-17], 60)
    assert randomisation_test(np.array([values, same]), samples=500) == 1


def test_however_many_methods_clear_differences_are_told():
    values = np.arange(60)[:, None] / 60 + np.random.default_rng(6).random([60, 40]) / 100
    assert holm(randomisation_test(values / 40)).max() < 0.05


def test_under_the_hypothesis_p_is_uniform():
    differences = np.random.default_rng(1).normal(size=(400, 30))
    p = p_of(differences, samples=2000)
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_holm_by_hand():
    p = np.array([0.01, 0.04, 0.03, 0.005, 0.9])
    # Sorted: .005 x 5, .01 x 4, .03 x 3, .04 x 2 (not below .09), .9.
    np.testing.assert_allclose(holm(p), [0.04, 0.09, 0.09, 0.025, 0.9])
    assert holm(np.array([0.6, 0.7])).max() == 1


def test_the_bootstrap_of_one_seed_is_that_of_the_mean():
    scores = np.random.default_rng(2).normal(0.5, 0.2, 200)
    means = bootstrap_means([scores[None] / 200], samples=4000)
    expected = stats.bootstrap((scores,), np.mean, n_resamples=4000, method="percentile", rng=0)
    found = np.percentile(means[:, 0], [2.5, 97.5])
    np.testing.assert_allclose(found, expected.confidence_interval, atol=0.003)


def test_the_bootstrap_draws_seeds_and_the_same_pairs_for_all_methods():
    pairs = np.random.default_rng(3).normal(0.5, 0.2, (1, 100)) / 100
    seeds = np.array([[0.0], [0.1], [0.4]]) / 100 + np.zeros((3, 100))
    means = bootstrap_means([pairs, 2 * pairs, seeds], samples=1800)
    np.testing.assert_allclose(means[:, 1], 2 * means[:, 0])
    # Of three seeds two, or one of them twice.
    values, counts = np.unique(means[:, 2].round(6), return_counts=True)
    np.testing.assert_allclose(values, [0, 0.05, 0.1, 0.2, 0.25, 0.4])
    np.testing.assert_allclose(counts / 1800 * 9, [1, 2, 1, 2, 2, 1], atol=0.3)


def test_the_interval_of_three_seeds_covers_about_as_often_as_it_says():
    """Of so few seeds 95 % are 88 % at best (Student's t); by all three drawn they were 79 %."""
    random, covered = np.random.default_rng(0), 0
    for _ in range(600):
        seeds = random.normal(0.5, 0.01, (2, 3, 1)) / 10 + np.zeros(10)
        drawn = bootstrap_means(seeds, samples=300)
        low, high = np.percentile(drawn[:, 0] - drawn[:, 1], [2.5, 97.5])
        covered += low <= 0 <= high
    assert covered / 600 > 0.82


def test_the_draw_moves_a_corrected_p_near_the_level_by_little():
    methods, n = 20, 60
    noise = np.random.default_rng(1).normal(size=n)
    values = np.zeros((methods, n))
    values[0] = (noise - noise.mean()) / noise.std() + 3.85 / np.sqrt(n)  # The others are alike.
    found = [holm(randomisation_test(values / n, seed=seed))[0] for seed in range(5)]
    assert np.std(found) < 0.01 and 0.03 < np.mean(found) < 0.07
