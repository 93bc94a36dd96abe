"""What a scene looks like, whether photographed or simulated: how much particles cover, in how
large agglomerates, and how large single ones are.

The same measures are taken of micrographs and of simulated masks, so that what biases them
(agglomerates cut by the tile's edge) biases both alike. But for single particles: those of
micrographs are told by their shape, those of simulated masks by their labels, for simulated
agglomerates look like single particles more often than real ones (see
benchmarks/notebook/masks_of_tio2.md).
"""

from collections import namedtuple

import cv2
import numpy as np
from skimage.filters import threshold_li

from pipeline.intensities import with_bright_particles
from simulate.mask_image import close_and_fill
from simulate.outlines import CROSS

SMOOTHING = 1.0  # sigma, pixels, of a micrograph before its threshold
# How far particles are brighter than the background, in the median: in standard deviations of the
# noise from pixel to pixel, or, as noise that is strong widens both, of the darker side itself.
# Mere noise cut at its middle has 1.3 and 2.3.
LEAST_OVER_NOISE, LEAST_OVER_SPREAD = 4, 3.5
NORMAL_DEVIATION = 0.6745  # median distance from the middle, in standard deviations
SMALLEST_PARTICLE = 30  # pixels; below that it may be noise
# Share of its convex hull that a single particle fills at least; or of what stands alone, where
# labels say which particle is which.
SINGLE = 0.9

# coverage: share of the pixels; chord: mean length of the runs of foreground along rows and
# columns, pixels, NaN where there are none; diameters: of the equivalent circles of whole single
# particles, pixels.
Scene = namedtuple("Scene", "coverage chord diameters")


def foreground_of_micrograph(micrograph: np.ndarray, dark_background: bool) -> np.ndarray:
    """Return where a micrograph shows particles: bool (h, w), by Li's threshold, without specks.

    ``micrograph`` is uint8 (h, w). Edges shine and interiors may be as dark as the background, so
    gaps are closed and holes filled, as `simulate.mask_image.foreground_of_labels` does. Nothing
    is foreground where no threshold tells more than the noise.
    Source: Li and Tam, Pattern Recognition Letters 19 (1998).
    """
    bright = _brighter_part(with_bright_particles(micrograph, dark_background))
    return close_and_fill(cv2.morphologyEx(bright.astype(np.uint8), cv2.MORPH_OPEN, CROSS))


def _brighter_part(image: np.ndarray) -> np.ndarray:
    """Return what is brighter than the background of an image, uint8 (h, w): bool.

    Li's threshold divides whatever it is given: where particles are few, or none, it ends in the
    middle of the background's noise. A threshold whose sides do not stand apart is therefore looked
    for anew, from higher greys on, where few bright pixels decide.
    """
    smooth = cv2.GaussianBlur(image, (0, 0), SMOOTHING)
    smooth -= smooth.min()
    # Not rounded, as the noise may be less than a grey.
    greys = cv2.GaussianBlur(image.astype(np.float32), (0, 0), SMOOTHING)
    start, earlier, noise = smooth.mean(), None, _noise(greys)
    while start < smooth.max():
        threshold = threshold_li(smooth, initial_guess=lambda _, start=start: start)
        bright = smooth > threshold
        if threshold != earlier and _stand_apart(greys[bright], greys[~bright], noise):
            return bright
        start, earlier = smooth[smooth > start].mean(), threshold
    return np.zeros(smooth.shape, bool)


def _noise(greys: np.ndarray) -> float:
    """Return the standard deviation that noise has in an image smoothed by `SMOOTHING`.

    It is that of the differences of neighbouring pixels, by their median size: edges are few, and
    neither particles nor shading, which go over many pixels, count.
    """
    size = np.mean([np.median(np.abs(np.diff(greys, axis=axis))) for axis in (0, 1)])
    correlation = np.exp(-1 / (4 * SMOOTHING**2))  # of neighbours in white noise, smoothed
    return float(size / NORMAL_DEVIATION / np.sqrt(2 * (1 - correlation)))


def _stand_apart(brighter: np.ndarray, darker: np.ndarray, noise: float) -> bool:
    middle = np.median(darker)
    spread = np.median(np.abs(darker - middle)) / NORMAL_DEVIATION
    least = min(LEAST_OVER_NOISE * noise, LEAST_OVER_SPREAD * spread)
    return bool(np.median(brighter) - middle >= max(least, 1))  # less than a grey is rounding


def measure_scene(foreground: np.ndarray, labels: np.ndarray | None = None) -> Scene:
    """Return the Scene of a foreground, bool (h, w).

    A single particle is a part of the foreground that stands alone and is convex; where ``labels``
    (h, w) are known, one that holds next to nothing but one label.
    """
    coverage = float(foreground.mean())
    # A run of foreground begins wherever the pixel before is background.
    runs = sum(
        np.count_nonzero(np.diff(foreground.astype(np.int8), axis=axis, prepend=0) == 1)
        for axis in (0, 1)
    )
    chord = 2 * np.count_nonzero(foreground) / runs if runs else float("nan")
    return Scene(coverage, chord, _diameters_of_single_particles(foreground, labels))


def _diameters_of_single_particles(foreground, labels):
    mask = np.ascontiguousarray(foreground, np.uint8)
    height, width = mask.shape
    _, parts, statistics, _ = cv2.connectedComponentsWithStats(mask)
    diameters = []
    for number, (left, top, columns, rows, area) in enumerate(statistics[1:].tolist(), start=1):
        at_edge = not (left and top and left + columns < width and top + rows < height)
        if at_edge or area < SMALLEST_PARTICLE:
            continue
        window = np.s_[top : top + rows, left : left + columns]
        part = parts[window] == number
        if _is_convex(part, area) if labels is None else _has_one_label(labels[window][part]):
            diameters.append(2 * np.sqrt(area / np.pi))
    return np.array(diameters)


def _is_convex(part, area):
    contours, _ = cv2.findContours(part.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.convexHull(contours[0])
    # The contour runs through the centres of pixels: half a pixel is missing all round.
    return area >= SINGLE * (cv2.contourArea(hull) + cv2.arcLength(hull, True) / 2 + 1)


def _has_one_label(labels):
    areas = np.bincount(labels)[1:]
    return areas.max() >= SINGLE * areas.sum()


def ks_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Return the Kolmogorov-Smirnov distance of two samples, 0 (same) to 1."""
    values = np.sort(np.concatenate([first, second]))
    shares = [np.searchsorted(np.sort(x), values, "right") / len(x) for x in (first, second)]
    return float(np.max(np.abs(shares[0] - shares[1])))
