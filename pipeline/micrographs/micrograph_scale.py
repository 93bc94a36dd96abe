"""The scale at which the networks see micrographs: small particles enlarged, large ones reduced.

What is counted in pixels (the gap between simulated particles, the smoothing of their outlines,
the kernels of the networks, the tiles) is made for particles of 15 to 40 pixels. Smaller ones are
merged with their neighbours; of larger ones a tile shows only a few, and all takes longer. So
micrographs and outlines are resized for whatever is simulated, trained or translated, and masks
are brought back to the pixels of the micrograph.
"""

import math
from contextlib import suppress
from pathlib import Path

import numpy as np

from pipeline.image_files import list_images, read_mask
from pipeline.particles.components import distance_to_background
from pipeline.progress import progress
from simulate.outlines import share_kept

AUTO = "auto"
# Of a compact particle's, its width over the diameter of the circle of equal area. (It is 0.78 of
# a triangle, 0.63 of a rectangle twice as long as wide.)
COMPACT = 0.7
# Pixels, of the equivalent circle: of particles of 12, in agglomerates, a third were found, of
# those of 18, side by side, nearly all.
SMALL_DIAMETER = 15
WANTED_DIAMETER = 20  # of small ones, enlarged; at least, of nine in ten large ones, reduced
LARGEST_SCALE = 4  # of "auto": no detail appears by enlarging a micrograph further
MOST_REDUCED = 10  # times, by "auto"
# Of the area of nine in ten outlines that are reduced, what step 2's smoothing leaves: a star, as
# wide as a disk, may lose its arms.
LEAST_KEPT = 0.85
DECIMALS = 2  # of a scale below 1, so that it can be written down: a third is 0.33
ALLOWED_SCALES = (0.1, 10)  # from, to


def reduced(times: int) -> float:
    """Return the scale that reduces so many times, as it can be written down."""
    return round(1 / times, DECIMALS)


def scale_for_outlines(masks_dir: Path, invert: bool = False) -> float | None:
    """Return the scale that particles as large as the outlines in a folder want.

    It is 2, 3 or 4 if half of the outlines are below `SMALL_DIAMETER`, and a half, a third ... a
    tenth if so reduced no more than one in ten is below `WANTED_DIAMETER`, or loses thin parts;
    else 1. Elongated ones count as the compact ones that are as wide. None where none can be read.
    ``invert`` is for outlines that are black on white.
    """
    try:
        files = list_images(masks_dir)
    except OSError:
        return None
    sizes = [_size_of(outline) for outline in _outlines_in(files, invert)]
    if not sizes:
        return None
    small_one, median = np.percentile(sizes, [10, 50])
    if median < SMALL_DIAMETER:
        return float(min(math.ceil(WANTED_DIAMETER / median), LARGEST_SCALE))
    times = min(max(1, int(small_one / WANTED_DIAMETER)), MOST_REDUCED)
    while times > 1 and not _stay_whole(files, invert, reduced(times)):
        times -= 1
    return reduced(times)


def _outlines_in(files, invert):
    """Yield the outlines, bool (h, w), of files one at a time: they may be whole micrographs', put
    there by mistake."""
    for file in progress(files, "outlines looked at", only_if_long=True):
        with suppress(OSError, ValueError):  # of which the checks tell
            outline = read_mask(file, invert)
            if outline.any():
                yield outline


def _stay_whole(files, invert, scale):
    """Return whether nine in ten outlines keep their thin parts at a scale."""
    outlines = (np.where(one, 255, 0).astype(np.uint8) for one in _outlines_in(files, invert))
    return np.percentile([share_kept(one, scale) for one in outlines], 10) >= LEAST_KEPT


def _size_of(outline):
    """Return the diameter of the circle of equal area, of an elongated particle that of a compact
    one as wide: what is too thin is smoothed away, and merged, however long it is."""
    area = np.count_nonzero(outline)
    width = 2 * distance_to_background(np.pad(outline, 1)).max()
    return min(2 * math.sqrt(area / math.pi), width / COMPACT)


def words_of(scale: float) -> str:
    """Return what to say after a size in pixels of resized images; nothing at 1."""
    return "" if scale == 1 else f", at MICROGRAPH_SCALE = {scale:g}"


def in_own_pixels(distance: int, scale: float) -> int:
    """Return a distance in pixels of resized micrographs in the micrographs' own, at least 1."""
    return max(1, round(distance / scale))
