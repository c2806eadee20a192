"""Whether two methods differ, from what each query of the same test split says of both.

The unit is a pair of the split: its image and its texts, as queries, are not independent of each
other. Values are a pair's share of a mean over queries (`PerQuery.by_pair`), so that their sum is
the mean. Several seeds of a method are averaged for the test, and drawn anew for the interval.

- Paired randomisation test (Fisher; for retrieval: Smucker, Allan and Carterette, CIKM 2007): if
  two methods were the same, each pair's difference could as well have the other sign. p is the
  share of all sign patterns whose sum is as far from 0 as the one observed. All pairs of methods
  are tested on the same patterns: the sum of a difference is the difference of two signed sums.
- Bootstrap interval (percentiles): pairs are drawn with replacement, and of each method its seeds,
  of n seeds n - 1, so that their mean varies as much as it truly does (McCarthy and Snowden, 1985).
- Holm (1979): the smallest p of m is multiplied by m, the next by m - 1, and so on, and none
  becomes smaller than one before it. The chance that any of them is wrongly called significant is
  then below the level, whatever their dependence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

SAMPLES, SAMPLES_PER_PAIR = (20_000, 200_000), (100, 1_000)
"""Sign patterns: at least 20,000; 1,000 for each pair of methods while these are at most 200,000,
and never less than 100. The draw then moves a corrected p of .05 by .007 (standard deviation), of
more than 20 methods by up to .022; the smallest that it can tell is below .01 of any number."""

BLOCK = 500
"""Samples worked on at a time."""

ROUNDING = 1e-12
"""Values are shares of means in 0..1: sums that differ by less are equal."""


def randomisation_test(values: np.ndarray, samples: int | None = None, seed: int = 0) -> np.ndarray:
    """The p values of paired two-sided tests of any two methods, all on the same sign patterns.

    Args:
        values: `[..., methods, n]`: each pair's share of a method's mean.
        samples: Sign patterns drawn at random, beside the one observed; all there are where they
            are no more. By default `samples_for` the methods.
        seed: Of the draw.

    Returns:
        `[..., comparisons]`: the first method with each later one, then the second, and so on.
    """
    *outer, methods, n = values.shape
    pairs = np.triu_indices(methods, 1)
    samples = samples_for(methods) if samples is None else samples
    exact = 2**n <= samples
    # Sums that are equal but for their last bits are as far from 0.
    limit = np.zeros([*outer, methods, methods])
    for (at, observed), (_, size) in zip(
        _distances(values.sum(axis=-1, keepdims=True)), _distances(values), strict=True
    ):
        limit[at] = observed[..., 0] - 1e-9 * size.sum(axis=-1) - ROUNDING
    as_far, drawn = np.zeros_like(limit), 0
    for signs in _all_signs(n) if exact else _random_signs(n, samples, seed):
        sums = (values.reshape(-1, n) @ signs.T).reshape(*outer, methods, len(signs))
        for at, distances in _distances(sums):
            as_far[at] += np.count_nonzero(distances >= limit[at][..., None], axis=-1)
        drawn += len(signs)
    p = as_far / drawn if exact else (as_far + 1) / (drawn + 1)
    return p[..., *pairs]


def samples_for(methods: int) -> int:
    """How many sign patterns are drawn for so many methods; 1 / (1 + these) is the smallest p."""
    pairs = methods * (methods - 1) // 2
    (least, most), (few, many) = SAMPLES, SAMPLES_PER_PAIR
    return max(least, few * pairs, min(most, many * pairs))


def bootstrap_means(values: Sequence[np.ndarray], samples: int = 2000, seed: int = 0) -> np.ndarray:
    """Means over drawn pairs and seeds, of several methods on the same pairs.

    Args:
        values: Of each method `[seeds, n]`: each pair's share of its mean.
        samples: How many are drawn.
        seed: Of the draw.

    Returns:
        `[samples, methods]`; percentiles of the difference of two columns are an interval.
    """
    random, n = np.random.default_rng(seed), values[0].shape[1]
    parts = []
    for start in range(0, samples, BLOCK):
        count = min(BLOCK, samples - start)
        times = random.multinomial(n, np.full(n, 1 / n), count).astype(float)
        means = []
        for of_seeds in values:
            seeds = len(of_seeds)
            drawn = max(1, seeds - 1)
            share = random.multinomial(drawn, np.full(seeds, 1 / seeds), count) / drawn
            means.append((share * (times @ of_seeds.T)).sum(axis=1))
        parts.append(np.transpose(means))
    return np.concatenate(parts)


def holm(p: np.ndarray) -> np.ndarray:
    """The p values `[m]`, corrected for their number."""
    order = np.argsort(p, kind="stable")
    corrected = np.empty(len(p))
    factors = np.arange(len(p), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1)
    return corrected


def _distances(values: np.ndarray) -> Iterator[tuple[tuple, np.ndarray]]:
    """Of values `[..., methods, k]` how far each method is from all later ones, method by method.

    Yields:
        Where they are in `[..., methods, methods]`, and the distances `[..., later, k]`.
    """
    for one in range(values.shape[-2] - 1):
        later = slice(one + 1, None)
        yield (..., one, later), np.abs(values[..., one, None, :] - values[..., later, :])


def _all_signs(n: int) -> Iterator[np.ndarray]:
    """All patterns of n signs, in blocks `[rows, n]`."""
    for start in range(0, 2**n, BLOCK):
        numbers = np.arange(start, min(start + BLOCK, 2**n))
        yield 1.0 - 2 * (numbers[:, None] >> np.arange(n) & 1)


def _random_signs(n: int, samples: int, seed: int) -> Iterator[np.ndarray]:
    random = np.random.default_rng(seed)
    for start in range(0, samples, BLOCK):
        yield 1.0 - 2 * random.integers(0, 2, (min(BLOCK, samples - start), n), np.int8)
