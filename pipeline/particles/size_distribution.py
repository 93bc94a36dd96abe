"""Size distributions: percentiles by number and by volume, with confidence intervals."""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import ndtr, stdtrit

from pipeline.progress import progress

STATISTICS = ("mean", "sd", "D10", "D50", "D90", "span", "geometric_mean", "geometric_sd")
PERCENTILES = (10, 50, 90)
BOOTSTRAP_SAMPLES = 2000
CONFIDENCE_PERCENT = 95
# From so many images on, their differences alone give the confidence intervals.
FEWEST_IMAGES = 8
# A particle's weight is its diameter to this power.
WEIGHTING_POWERS = {"number": 0.0, "surface": 2.0, "volume": 3.0}
# The mean diameters' names in ISO 9276-2; D[3,2] is the Sauter mean diameter.
MEAN_DIAMETERS = {"number": "D[1,0]", "surface": "D[3,2]", "volume": "D[4,3]"}


def weighted_percentiles(
    sizes: np.ndarray, weights: np.ndarray, percentiles: tuple[float, ...]
) -> np.ndarray:
    """Return the sizes below which given shares of the weight lie.

    Every particle stands at the middle of its own share; between two it is interpolated. With
    equal weights these are NumPy's percentiles by the method "hazen".

    Parameters
    ----------
    sizes : (n,), sorted, n > 0.
    weights : (n,), above 0.
    percentiles : in percent.
    """
    share = (np.cumsum(weights) - weights / 2) / weights.sum()
    return np.interp(np.asarray(percentiles) / 100, share, sizes)


def weighted_median(sizes: np.ndarray, weights: np.ndarray) -> float:
    """Return the size below which half of the weight lies, (n,) each; NaN where there are none."""
    if not len(sizes):
        return float("nan")
    order = np.argsort(sizes, kind="stable")
    return float(weighted_percentiles(sizes[order], weights[order], (50,))[0])


def size_statistics(sizes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the statistics of `STATISTICS`; the span is (D90 - D10) / D50.

    ``sizes`` (n,) above 0, sorted, n > 0; ``weights`` (n,). The standard deviation is that of the
    sample (n - 1) where the weights are equal. Without unit are the span and the geometric standard
    deviation, the factor from the geometric mean to one standard deviation of the logarithms above.
    """
    share = weights / weights.sum()
    d10, d50, d90 = weighted_percentiles(sizes, weights, PERCENTILES)
    logarithmic = np.exp(_mean_and_deviation(np.log(sizes), share))
    span = (d90 - d10) / d50
    return np.array([*_mean_and_deviation(sizes, share), d10, d50, d90, span, *logarithmic])


def _mean_and_deviation(values: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return mean and standard deviation, NaN for a single value; ``share`` (n,) sums to 1."""
    mean = share @ values
    # Reliability weights: the same as n - 1 for equal ones.
    freedom = 1 - share @ share
    variance = share @ (values - mean) ** 2 / freedom if freedom > 1e-12 else np.nan
    return np.array([mean, np.sqrt(variance)])


def bootstrap_interval(
    sizes: np.ndarray, weights: np.ndarray, images: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and upper 95 % confidence limit of every statistic in `STATISTICS`.

    Bootstrap over images, `BOOTSTRAP_SAMPLES` times: as many images as there are are drawn anew
    with replacement, each with all its particles. So particles of one image may resemble each
    other; drawing from all particles alike would take each for independent and give intervals
    that are too short. The limits are those of the expanded percentile interval, which makes up
    for the small number of images. NaN for fewer than two particles.

    Fewer images than `FEWEST_IMAGES` say too little of how images differ. Their particles are
    drawn anew too, so that the interval is rather too long, above all where images are alike. Of
    one image it is the bootstrap of its particles, with plain percentiles.

    By volume, and of standard deviations, the limits are too close where few images differ: of 8 or
    10 they hold the true value in 74 to 88 of 100 cases, that of the standard deviation by volume,
    which is itself too small, in 60 (docs/measuring.md).

    Parameters
    ----------
    sizes, weights : (n,).
    images : (n,), which image each particle is from; any values that can be sorted.
    seed : the same one gives the same limits.

    Source: Davison and Hinkley, Bootstrap Methods and their Application (1997), section 3.8;
    Hesterberg, The American Statistician 69 (2015), 371, for the expanded percentile interval.
    """
    if len(sizes) < 2:
        return np.full(len(STATISTICS), np.nan), np.full(len(STATISTICS), np.nan)
    order = np.argsort(sizes, kind="stable")
    sizes, weights = sizes[order], weights[order]
    names, image = np.unique(images[order], return_inverse=True)
    random = np.random.default_rng(seed)
    drawn = np.empty((BOOTSTRAP_SAMPLES, len(STATISTICS)))
    for row in drawn:
        # Repeated in their order, they stay sorted.
        times = _times_drawn(image, len(names), random)
        row[:] = size_statistics(np.repeat(sizes, times), np.repeat(weights, times))
    outside = percent_outside(len(names))
    low, high = np.nanpercentile(drawn, [outside, 100 - outside], axis=0)
    return low, high


def _times_drawn(image: np.ndarray, number: int, random: np.random.Generator) -> np.ndarray:
    """Return how often each particle is drawn (n,); ``image`` (n,) counts from 0 to number - 1."""
    images_drawn = np.bincount(random.integers(number, size=number), minlength=number)
    if number >= FEWEST_IMAGES:
        return images_drawn[image]
    times = np.empty_like(image)
    for one, drawn in enumerate(images_drawn):
        inside = np.flatnonzero(image == one)
        particles = random.integers(len(inside), size=drawn * len(inside))
        times[inside] = np.bincount(particles, minlength=len(inside))
    return times


def percent_outside(number_of_images: int) -> float:
    """Return which percentile of the bootstrap's samples is the lower confidence limit.

    They spread by sqrt((a - 1) / a) too little with a images, and Student's t allows for the
    spread being estimated from them. Of two to four images it is the least of the samples.
    """
    outside = (100 - CONFIDENCE_PERCENT) / 2
    if number_of_images == 1:
        return outside
    freedom = number_of_images - 1
    return 100 * ndtr(np.sqrt(1 + 1 / freedom) * stdtrit(freedom, outside / 100))


def summarise(
    quantities: Mapping[str, Sequence[str]], particles: dict[str, np.ndarray], seed: int
) -> list[dict[str, object]]:
    """Return a row for each quantity and weighting.

    Parameters
    ----------
    quantities : name of a column of ``particles`` -> its weightings, of `WEIGHTING_POWERS`. By
        volume, a particle counts with the volume of the sphere of its equivalent diameter,
        whatever the quantity; by surface likewise.
    particles : columns (n,), with ``equivalent_diameter``, ``image`` and ``inclusion_weight``, by
        which the weights are multiplied, as the border correction.
    seed : of the bootstrap.

    Returns
    -------
    Rows with ``quantity, weighting, mean_is`` (of diameters, the name of the mean), ``n``, and for
    every statistic its value, ``<name>_ci_low``, ``<name>_ci_high``, and ``<name>_uncorrected``,
    the value without the border correction; NaN where there are too few particles.
    """
    diameter = particles["equivalent_diameter"]
    _, images = np.unique(particles["image"], return_inverse=True)
    wanted = [(name, weighting) for name, ways in quantities.items() for weighting in ways]
    rows = []
    for name, weighting in progress(wanted, "rows of summary.csv"):
        sizes, weights = particles[name], diameter ** WEIGHTING_POWERS[weighting]
        corrected = weights * particles["inclusion_weight"]
        low, high = bootstrap_interval(sizes, corrected, images, seed)
        columns = {
            "": _statistics_of(sizes, corrected),
            "_ci_low": low,
            "_ci_high": high,
            "_uncorrected": _statistics_of(sizes, weights),
        }
        row = {"quantity": name, "weighting": weighting}
        row["mean_is"] = MEAN_DIAMETERS[weighting] if name == "equivalent_diameter" else ""
        row["n"] = len(sizes)
        for index, statistic in enumerate(STATISTICS):
            row |= {f"{statistic}{part}": values[index] for part, values in columns.items()}
        rows.append(row)
    return rows


def _statistics_of(sizes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the statistics of sizes in any order, NaN where there are none."""
    if not len(sizes):
        return np.full(len(STATISTICS), np.nan)
    order = np.argsort(sizes, kind="stable")
    return size_statistics(sizes[order], weights[order])
