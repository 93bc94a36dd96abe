"""Where a micrograph shows particles, before any network has learned: a repeated Li's threshold.

It decides which tiles step 0 cuts, what of a fake step 5 takes for a particle, and what simulated
masks are matched to.
"""

from collections import namedtuple

import cv2
import numpy as np
from skimage.filters import threshold_li

from pipeline.intensities import stretch_to_uint8, with_bright_particles
from pipeline.tiles import tile_positions
from simulate.mask_image import close_and_fill
from simulate.outlines import CROSS

SMOOTHING = 1.0  # sigma, pixels, of a micrograph before its threshold
# How far particles are brighter than the background, in the median, in standard deviations of the
# darker side itself: then there are two for sure. Mere noise, or an uneven background, cut at its
# middle has 2.3; but so has a darker side that is particles too, where these leave hardly any
# background. There it is in standard deviations of the noise from pixel to pixel (mere noise: 1.3).
LEAST_OVER_SPREAD, LEAST_OVER_NOISE = 3.5, 4
# How much greys change from pixel to pixel where both sides meet, in those of the noise too: where
# particles leave hardly any background 1.1 to 2.5, in an uneven background 0.8 to 1.6.
LEAST_STEEP = 1.3
NORMAL_DEVIATION = 0.6745  # median distance from the middle, in standard deviations
FAINT = 1 / 2  # share of the contrast that others have, below which a part shows no particle


def foreground_of_micrograph(micrograph: np.ndarray, dark_background: bool) -> np.ndarray:
    """Return where a micrograph shows particles: bool (h, w), by Li's threshold, without specks.

    ``micrograph`` is uint8 (h, w). Nothing is foreground where no threshold tells more than the
    noise.
    """
    smooth = _smoothed(micrograph, dark_background)
    return _foreground(smooth, _threshold(smooth).level)


def foreground_by_parts(
    micrograph: np.ndarray, dark_background: bool, height: int, width: int
) -> np.ndarray:
    """Return where a micrograph shows particles: bool (h, w), each part by a threshold of its own.

    ``micrograph`` is (h, w), of any type of number; parts are of ``height`` x ``width`` pixels. A
    few particles are lost in the histogram of a large micrograph, and light is more even in a part
    of it. Where a part shows nothing but background, or nothing but particles, the nearest part
    that shows both, as far apart as in others, tells which.
    """
    places = np.array(tile_positions(*micrograph.shape, height, width, min_overlap=0))

    def part(row, column):
        """Return a part in greys from 0 to 255, smoothed, and its darkest grey and scale."""
        values = micrograph[row : row + height, column : column + width]
        darkest, brightest = float(values.min()), float(values.max())
        if not dark_background:
            darkest, brightest = -brightest, -darkest
        smooth = _smoothed(stretch_to_uint8(values), dark_background)
        return smooth, darkest, (brightest - darkest) / 255

    found = []  # in the micrograph's own unit, so that parts can be compared
    for place in places:
        smooth, darkest, scale = part(*place)
        level, halfway, apart = _threshold(smooth)
        found.append((darkest + level * scale, darkest + halfway * scale, apart * scale))
    levels, halfway, apart = np.transpose(found)
    sure = apart > 0
    if sure.any():  # stains of the background may stand apart from it, too
        sure &= apart >= FAINT * np.median(apart[sure])
    covered = np.zeros(micrograph.shape, bool)
    # Parts are made anew: all of them, in float32, are four times as large as the micrograph.
    for number, place in enumerate(places):
        level = levels[number]
        if sure.any() and not sure[number]:
            level = halfway[sure][np.square(places[sure] - place).sum(axis=1).argmin()]
        smooth, darkest, scale = part(*place)
        row, column = place
        own_level = (level - darkest) / scale if scale else np.inf
        covered[row : row + height, column : column + width] |= _foreground(smooth, own_level)
    return covered


def _smoothed(micrograph, dark_background):
    """Return greys, uint8 (h, w), smoothed, particles bright: float32, as noise may be less."""
    bright = with_bright_particles(micrograph, dark_background)
    return cv2.GaussianBlur(bright.astype(np.float32), (0, 0), SMOOTHING)


def _foreground(smooth, level):
    """Return what is brighter than a level, bool (h, w), without specks.

    Edges shine and interiors may be as dark as the background, so gaps are closed and holes filled,
    as `simulate.mask_image.foreground_of_labels` does.
    """
    bright = (np.rint(smooth) > level).astype(np.uint8)
    return close_and_fill(cv2.morphologyEx(bright, cv2.MORPH_OPEN, CROSS))


# level: the grey that divides particles and background, infinity where nothing does; where it is
# sure that it does: halfway between both sides' medians, and how far these are apart, else 0.
Threshold = namedtuple("Threshold", "level halfway apart")


def _threshold(smooth: np.ndarray) -> Threshold:
    """Return the Threshold of particles and background in a micrograph, smoothed.

    Li's threshold divides whatever it is given: where particles are few, or none, it ends in the
    middle of the background. So it is looked for anew, from higher greys on, where few bright
    pixels decide, until its sides stand apart, or meet along edges; else it is the first that is
    likely.
    Source: Li and Tam, Pattern Recognition Letters 19 (1998).
    """
    greys = np.rint(smooth).astype(np.uint8)
    darkest = int(greys.min())
    greys -= np.uint8(darkest)
    start, earlier, noise, likely = greys.mean(), None, _noise(smooth), np.inf
    while start < greys.max():
        threshold = threshold_li(greys, initial_guess=lambda _, start=start: start)
        if threshold != earlier:
            level = darkest + threshold
            middle, apart, spread = _sides(smooth, greys > threshold)
            if apart >= max(LEAST_OVER_SPREAD * spread, 1):  # less than a grey is rounding
                return Threshold(level, middle + apart / 2, apart)
            if apart >= max(LEAST_OVER_NOISE * noise, 1):
                if _steepness(smooth, level) >= LEAST_STEEP * noise:
                    return Threshold(level, 0.0, 0.0)
                likely = min(likely, level)
        start, earlier = greys[greys > start].mean(), threshold
    return Threshold(likely, 0.0, 0.0)


def _noise(greys: np.ndarray) -> float:
    """Return the standard deviation that noise has in an image smoothed by `SMOOTHING`.

    It is that of the differences of neighbouring pixels, by their median size: edges are few, and
    neither particles nor shading, which go over many pixels, count.
    """
    size = np.mean([np.median(np.abs(np.diff(greys, axis=axis))) for axis in (0, 1)])
    correlation = np.exp(-1 / (4 * SMOOTHING**2))  # of neighbours in white noise, smoothed
    return float(size / NORMAL_DEVIATION / np.sqrt(2 * (1 - correlation)))


def _sides(smooth, bright):
    """Return the darker side's median, how far the brighter one's is above it, and the darker one's
    standard deviation."""
    darker = smooth[~bright]
    middle = np.median(darker)
    spread = np.median(np.abs(darker - middle)) / NORMAL_DEVIATION
    return float(middle), float(np.median(smooth[bright]) - middle), float(spread)


def _steepness(smooth, level):
    """Return the median change from pixel to pixel where what is brighter than a level ends."""
    bright = _foreground(smooth, level).astype(np.uint8)
    edge = cv2.morphologyEx(bright, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    slopes = [cv2.Sobel(smooth, cv2.CV_32F, *axis, scale=1 / 8)[edge] for axis in ((1, 0), (0, 1))]
    return float(np.median(np.hypot(*slopes))) if edge.any() else 0.0
