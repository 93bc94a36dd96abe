"""Particles that stand alone: what tells how large particles are before any network has learned.

Those of micrographs are told by their shape, those of simulated masks by their labels, for
simulated agglomerates look like single particles more often than real ones. So that two that lie
close in a micrograph do not count as one, only what is as convex as most of the simulated ones is
compared (see benchmarks/notebook/masks_of_tio2.md). Each weighs as many as it stands for: of large
ones more are cut by the image's edge, and left out (`inclusion_weights`, as in step 7).
"""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from pipeline.files.csv_tables import read_table, write_table
from pipeline.particles.border_correction import Field, inclusion_weights
from pipeline.particles.size_distribution import weighted_median

SMALLEST_SINGLE = 30  # pixels; below that it may be noise
# Share of its convex hull that a single particle fills at least; or of what stands alone, where
# labels say which particle is which.
SINGLE = 0.9
# Percent, by convexity: of the simulated ones, and at most of the real ones, see `comparable`.
SIMULATED_LEFT_OUT, REAL_LEFT_OUT = 25, 50
LARGEST_PART = 4096  # pixels along a side of what is looked at at once
COLUMNS = ("diameter", "weight", "convexity")


class Singles(NamedTuple):
    """Single particles, float (n,) each.

    diameters: of the equivalent circles, pixels; weights: how many each stands for; convexities:
    the share of its convex hull that each fills.
    """

    diameters: np.ndarray
    weights: np.ndarray
    convexities: np.ndarray

    @property
    def number(self) -> int:
        """Return how many there are."""
        return len(self.diameters)

    @property
    def median(self) -> float:
        """Return the median diameter by number; NaN where there are none."""
        return weighted_median(self.diameters, self.weights)

    def resized(self, scale: float) -> "Singles":
        """Return them as they are in images resized by a scale."""
        return self._replace(diameters=self.diameters * scale)

    def as_convex(self, least: float) -> "Singles":
        """Return those of at least this convexity."""
        return Singles(*(values[self.convexities >= least] for values in self))


def joined(some: list[Singles]) -> Singles:
    """Return all in one."""
    none = Singles(*np.zeros((3, 0)))
    return Singles(*map(np.concatenate, zip(none, *some, strict=True)))


def find_singles(foreground: np.ndarray, labels: np.ndarray | None = None) -> Singles:
    """Return the single particles of a foreground, bool (h, w), that its edge does not cut.

    A single particle is a part of the foreground that stands alone and is convex; where ``labels``
    (h, w) are known, one that holds next to nothing but one label.
    """
    mask = np.ascontiguousarray(foreground, np.uint8)
    height, width = mask.shape
    _, parts, statistics, _ = cv2.connectedComponentsWithStats(mask)
    found = []
    for number, (left, top, columns, rows, area) in enumerate(statistics[1:].tolist(), start=1):
        at_edge = not (left and top and left + columns < width and top + rows < height)
        if at_edge or area < SMALLEST_SINGLE:
            continue
        window = np.s_[top : top + rows, left : left + columns]
        part = parts[window] == number
        convexity = _convexity(part, area)
        if convexity >= SINGLE if labels is None else _has_one_label(labels[window][part]):
            found.append((rows, columns, area, convexity))
    rows, columns, areas, convexities = np.reshape(found, (-1, 4)).T
    weights = inclusion_weights(rows, columns, [Field(height, width)])
    return Singles(2 * np.sqrt(areas / np.pi), weights, convexities)


def find_singles_in_parts(foreground: np.ndarray) -> Singles:
    """Return the single particles of a foreground, bool (h, w), that may be large, part by part."""
    rows, columns = (-(-side // LARGEST_PART) for side in foreground.shape)
    strips = np.array_split(foreground, rows)
    parts = [part for strip in strips for part in np.array_split(strip, columns, axis=1)]
    return joined(list(map(find_singles, parts)))


def _convexity(part, area):
    contours, _ = cv2.findContours(part.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.convexHull(contours[0])
    # The contour runs through the centres of pixels: half a pixel is missing all round.
    return area / (cv2.contourArea(hull) + cv2.arcLength(hull, True) / 2 + 1)


def _has_one_label(labels):
    areas = np.bincount(labels)[1:]
    return areas.max() >= SINGLE * areas.sum()


def comparable(real: Singles, simulated: Singles) -> tuple[Singles, Singles]:
    """Return those of both that are as convex as three quarters of the simulated ones are.

    Or as half of the real ones, if that is less: their outlines may be rougher. At least as convex
    as all of the real ones have to be, to be told as single.
    """
    if not (real.number and simulated.number):
        return real, simulated
    least = min(
        np.percentile(simulated.convexities, SIMULATED_LEFT_OUT),
        np.percentile(real.convexities, REAL_LEFT_OUT),
    )
    least = max(least, SINGLE)
    return real.as_convex(least), simulated.as_convex(least)


def write_singles(path: Path, by_image: dict[str, Singles]) -> None:
    """Write the single particles of images, by their names, as a CSV file."""
    rows = [(name, *row) for name, some in by_image.items() for row in zip(*some, strict=True)]
    write_table(path, ("image", *COLUMNS), rows)


def read_singles(path: Path) -> Singles:
    """Return what `write_singles` wrote, of all images."""
    rows = [[float(row[column]) for column in COLUMNS] for row in read_table(path)]
    return Singles(*np.reshape(rows, (-1, 3)).T)
