"""Plots of the size distribution: histogram and cumulative share."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.particles.size_distribution import WEIGHTING_POWERS

COLOURS = {"number": "#1f5f99", "volume": "#c8641b"}
INK = "#333f48"
SMALL = {"fontsize": 9, "color": INK, "bbox": {"fc": "white", "ec": "none", "alpha": 0.7, "pad": 1}}
MIN_BARS, MAX_BARS = 8, 60


def plot_size_distribution(
    particles: dict[str, np.ndarray], weighting: str, summary: list[dict[str, object]], unit: str
) -> Figure:
    """Return a figure: histogram and cumulative share of the equivalent diameters.

    ``particles``: columns (n,) as for `summarise`; ``weighting``: "number" or "volume";
    ``summary``: from `summarise`, for D10, D50 and D90.
    """
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.subplots()
    colour = COLOURS[weighting]
    axes.set_title(f"By {weighting}", loc="left", fontweight="bold", color=INK)
    axes.set_xlabel(f"Equivalent circle diameter / {unit}")
    axes.set_ylabel(f"Share of the {weighting} / %")
    axes.spines[["top", "right"]].set_visible(False)
    diameter = particles["equivalent_diameter"]
    if not len(diameter):
        axes.text(0.5, 0.5, "No particles", ha="center", transform=axes.transAxes, color=INK)
        return figure
    weights = particles["inclusion_weight"] * diameter ** WEIGHTING_POWERS[weighting]
    order = np.argsort(diameter, kind="stable")
    cumulative = _draw_shares(axes, diameter[order], weights[order], colour)
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
    text = [f"n = {row['n']}", *(f"{name} = {_digits(size)} {unit}" for name, size in marks)]
    # On the axes drawn last, so that the curve does not cross it.
    where = {"transform": cumulative.transAxes, "ha": "right", "va": "center"}
    cumulative.text(0.98, 0.5, "\n".join(text), **where, **SMALL)
    return figure


def bar_edges(sizes: np.ndarray) -> np.ndarray:
    """Return where the bars of a histogram of ``sizes`` (n,), n > 0, begin and end, (bars + 1,).

    They have Freedman and Diaconis' width (1981), within a number of bars that can be read.
    """
    smallest, largest = sizes.min(), sizes.max()
    if largest - smallest < 1e-9 * largest:  # alike but for rounding
        return np.histogram_bin_edges(largest, MIN_BARS)
    first, third = np.percentile(sizes, (25, 75))
    width = 2 * (third - first) / np.cbrt(len(sizes))
    # Where most are alike, width is 0, or what rounding leaves of it: bars by the billion.
    bars = (largest - smallest) / width if width > 0 else MIN_BARS
    return np.histogram_bin_edges(sizes, math.ceil(np.clip(bars, MIN_BARS, MAX_BARS)))


def _digits(size: float) -> str:
    """Return a size with four digits, or all before the decimal point."""
    return f"{size:.0f}" if size >= 1000 else f"{size:.4g}"


def _draw_shares(axes: Axes, sizes: np.ndarray, weights: np.ndarray, colour: str) -> Axes:
    """Draw the histogram, and on axes of its own, which are returned, the cumulative share."""
    share = 100 * weights / weights.sum()
    axes.hist(sizes, bar_edges(sizes), weights=share, color=colour, alpha=0.35, edgecolor="white")
    axes.margins(y=0.12)
    cumulative = axes.twinx()
    cumulative.plot(sizes, np.cumsum(share) - share / 2, color=colour, linewidth=1.8)
    cumulative.set_ylim(0, 112)
    cumulative.set_yticks(range(0, 101, 20))
    cumulative.set_ylabel("Cumulative share / %")
    cumulative.spines["top"].set_visible(False)
    return cumulative
