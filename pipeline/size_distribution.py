"""Size distributions: percentiles by number and by volume, with confidence intervals."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import ndtr, stdtrit

STATISTICS = ("mean", "sd", "D10", "D50", "D90")
PERCENTILES = (10, 50, 90)
BOOTSTRAP_SAMPLES = 2000
CONFIDENCE_PERCENT = 95
# From so many images on, their differences alone give the confidence intervals.
FEWEST_IMAGES = 8
# A particle's weight is its diameter to this power.
WEIGHTING_POWERS = {"number": 0.0, "volume": 3.0}

COLOURS = {"number": "#1f5f99", "volume": "#c8641b"}
INK = "#333f48"
SMALL = {"fontsize": 9, "color": INK, "bbox": {"fc": "white", "ec": "none", "alpha": 0.7, "pad": 1}}
MIN_BARS, MAX_BARS = 8, 60


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


def size_statistics(sizes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return mean, standard deviation, D10, D50 and D90, as `STATISTICS`.

    ``sizes`` (n,) sorted, n > 0; ``weights`` (n,). The standard deviation is that of the sample
    (n - 1) where the weights are equal, and NaN for a single particle.
    """
    share = weights / weights.sum()
    mean = share @ sizes
    # Reliability weights: the same as n - 1 for equal ones.
    freedom = 1 - share @ share
    variance = share @ (sizes - mean) ** 2 / freedom if freedom > 1e-12 else np.nan
    return np.array([mean, np.sqrt(variance), *weighted_percentiles(sizes, weights, PERCENTILES)])


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
    drawn anew too, and the limits are plain percentiles: with one image, the bootstrap of its
    particles; with a few, too long where the images are alike, too short where they differ much.

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
    outside = _percent_outside(len(names))
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


def _percent_outside(number_of_images: int) -> float:
    """Return which percentile of the bootstrap's samples is the lower confidence limit.

    They spread by sqrt((a - 1) / a) too little with a images, and Student's t allows for the
    spread being estimated from them.
    """
    outside = (100 - CONFIDENCE_PERCENT) / 2
    if number_of_images < FEWEST_IMAGES:
        return outside
    freedom = number_of_images - 1
    return 100 * ndtr(np.sqrt(1 + 1 / freedom) * stdtrit(freedom, outside / 100))


def summarise(
    quantities: dict[str, np.ndarray],
    equivalent_diameter: np.ndarray,
    images: np.ndarray,
    seed: int,
) -> list[dict[str, object]]:
    """Return a row for each quantity, by number and by volume.

    Parameters
    ----------
    quantities : name -> sizes (n,), all of the same particles.
    equivalent_diameter : (n,). By volume, a particle counts with the volume of the sphere of
        this diameter, whatever the quantity.
    images : (n,), which image each particle is from.
    seed : of the bootstrap.

    Returns
    -------
    Rows with ``quantity, weighting, n`` and for every statistic its value, ``<name>_ci_low`` and
    ``<name>_ci_high``; NaN where there are too few particles.
    """
    rows = []
    for name, sizes in quantities.items():
        order = np.argsort(sizes, kind="stable")
        for weighting, power in WEIGHTING_POWERS.items():
            weights = equivalent_diameter**power
            values = np.full(len(STATISTICS), np.nan)
            if len(sizes):
                values = size_statistics(sizes[order], weights[order])
            low, high = bootstrap_interval(sizes, weights, images, seed)
            row = {"quantity": name, "weighting": weighting, "n": len(sizes)}
            for index, statistic in enumerate(STATISTICS):
                row[statistic] = values[index]
                row[f"{statistic}_ci_low"] = low[index]
                row[f"{statistic}_ci_high"] = high[index]
            rows.append(row)
    return rows


def plot_size_distribution(
    equivalent_diameter: np.ndarray, weighting: str, summary: list[dict[str, object]], unit: str
) -> Figure:
    """Return a figure: histogram and cumulative share of the equivalent diameters (n,).

    ``weighting``: "number" or "volume"; ``summary``: from `summarise`, for D10, D50 and D90.
    """
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.subplots()
    colour = COLOURS[weighting]
    axes.set_title(f"By {weighting}", loc="left", fontweight="bold", color=INK)
    axes.set_xlabel(f"Equivalent circle diameter / {unit}")
    axes.set_ylabel(f"Share of the {weighting} / %")
    axes.spines[["top", "right"]].set_visible(False)
    if not len(equivalent_diameter):
        axes.text(0.5, 0.5, "No particles", ha="center", transform=axes.transAxes, color=INK)
        return figure
    sizes = np.sort(equivalent_diameter)
    _draw_shares(axes, sizes, sizes ** WEIGHTING_POWERS[weighting], colour)
    row = next(
        row
        for row in summary
        if (row["quantity"], row["weighting"]) == ("equivalent_diameter", weighting)
    )
    marks = [(name, row[name]) for name in ("D10", "D50", "D90")]
    for name, size in marks:
        axes.axvline(size, color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
        axes.annotate(
            name, (size, 1), (2, -2), ("data", "axes fraction"), "offset points", va="top", **SMALL
        )
    text = [f"n = {row['n']}", *(f"{name} = {size:.4g} {unit}" for name, size in marks)]
    axes.text(
        0.98, 0.5, "\n".join(text), transform=axes.transAxes, ha="right", va="center", **SMALL
    )
    return figure


def _draw_shares(axes: Axes, sizes: np.ndarray, weights: np.ndarray, colour: str) -> None:
    """Draw the histogram, and on an axis of its own on the right the cumulative share."""
    share = 100 * weights / weights.sum()
    # Freedman and Diaconis' width, within a number of bars that can be read.
    edges = np.histogram_bin_edges(sizes, "fd")
    if not MIN_BARS <= len(edges) - 1 <= MAX_BARS:
        edges = np.histogram_bin_edges(sizes, int(np.clip(len(edges) - 1, MIN_BARS, MAX_BARS)))
    axes.hist(sizes, edges, weights=share, color=colour, alpha=0.35, edgecolor="white")
    axes.margins(y=0.12)
    cumulative = axes.twinx()
    cumulative.plot(sizes, np.cumsum(share) - share / 2, color=colour, linewidth=1.8)
    cumulative.set_ylim(0, 112)
    cumulative.set_yticks(range(0, 101, 20))
    cumulative.set_ylabel("Cumulative share / %")
    cumulative.spines["top"].set_visible(False)
