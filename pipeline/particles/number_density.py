"""How many particles there are on an area, over all images, with a confidence interval."""

import numpy as np

from pipeline.particles.size_distribution import (
    BOOTSTRAP_SAMPLES,
    FEWEST_IMAGES,
    percent_outside,
)


def number_density(
    counted: np.ndarray, weights: np.ndarray, areas: np.ndarray, seed: int
) -> tuple[float, float, float]:
    """Return the number of particles per area, and its lower and upper 95 % confidence limit.

    All images together, those without a particle too: the sum of the numbers over that of the
    areas. Bootstrap over images, as of the sizes (`bootstrap_interval`); of fewer images than
    `FEWEST_IMAGES` each one's number is drawn anew too, from Poisson's distribution, as of
    particles that lie anywhere. The limits are NaN for fewer than two particles.

    Parameters
    ----------
    counted : (images,), particles measured.
    weights : (images,), the sum of their inclusion weights.
    areas : (images,), above 0.
    seed : the same one gives the same limits.
    """
    random = np.random.default_rng(seed)
    number = len(counted)
    drawn = random.integers(number, size=(BOOTSTRAP_SAMPLES, number))
    each_stands_for = weights / np.maximum(counted, 1)
    times = counted[drawn]
    if number < FEWEST_IMAGES:
        times = random.poisson(times)
    densities = (times * each_stands_for[drawn]).sum(axis=1) / areas[drawn].sum(axis=1)
    if counted.sum() < 2:
        return weights.sum() / areas.sum(), np.nan, np.nan
    outside = percent_outside(number)
    low, high = np.percentile(densities, [outside, 100 - outside])
    return weights.sum() / areas.sum(), low, high
