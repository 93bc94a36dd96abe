"""From a probability image to separate particles: threshold, split, separate, fill, filter.

Arrays in, arrays out. A particle is a 4-connected region of a mask, or one number of a label map.
"""

from itertools import pairwise

import cv2
import numpy as np
from scipy.ndimage import find_objects
from skimage.filters import threshold_li, threshold_otsu

from pipeline.intensities import with_bright_particles
from pipeline.particles.components import numbered, widened
from pipeline.particles.touching_particles import split_touching_particles

SLIT_RADIUS = 2  # pixels; slits of up to four are closed


def segment_particles(
    probability: np.ndarray, threshold: float, watershed_lines: bool, min_distance: int
) -> np.ndarray:
    """Turn a probability image into a mask of separate particles.

    Parameters
    ----------
    probability : (height, width), uint8 0..255 or float; higher: more likely a particle.
    threshold : in the image's own unit, a particle is above it; negative: Otsu's threshold.
    watershed_lines : True splits touching particles, see `split_touching_particles`.
    min_distance : between the centres of two particles, in pixels, at least 1.

    Returns
    -------
    uint8 (height, width), 0 or 255, 4-connected (`to_four_connected`). A mask that is all
    particle or all background is returned as it is.

    Raises
    ------
    ValueError
        If the image is not two-dimensional or ``min_distance`` is below 1.
    """
    probability = np.asarray(probability)
    if probability.ndim != 2 or probability.size == 0:
        raise ValueError(
            f"The probability image has shape {probability.shape}; expected (height, width)."
        )
    if probability.dtype == bool:
        probability = probability.astype(np.uint8)
    mask = probability > (threshold_otsu(probability) if threshold < 0 else threshold)
    if mask.any() and not mask.all():
        if watershed_lines:
            mask = split_touching_particles(mask, min_distance) > 0
        mask = to_four_connected(mask)
    return as_mask(mask)


def to_four_connected(mask: np.ndarray) -> np.ndarray:
    """Separate what touches by a corner only.

    In each 2 x 2 window, row after row, with particle on one diagonal and background on the
    other, the particle's pixel in the left column is cleared. The next window of the row does not
    hold it, so that a row is one vector operation. As published, rows are gone through once: what
    is cleared can leave two pixels above it that touch by a corner.

    Parameters
    ----------
    mask : (height, width), any type; particles are what is not 0.

    Returns
    -------
    A new array of the same shape and dtype.
    """
    mask = np.asarray(mask)
    particle = mask != 0
    for above, below in pairwise(particle):
        differs = above != below
        diagonal = differs[:-1] & differs[1:] & (above[:-1] != above[1:])
        above[:-1] &= ~diagonal
        below[:-1] &= ~diagonal
    return np.where(particle, mask, mask.dtype.type(0))


def set_apart(labels: np.ndarray) -> None:
    """Make room, in place, between touching particles of a label map: a pixel whose right or lower
    neighbour is of another particle becomes background."""
    for one, other in ((labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])):
        one[(one != other) & (one > 0) & (other > 0)] = 0


def without_specks(mask: np.ndarray, smallest: int) -> np.ndarray:
    """Return a mask, uint8 0 or 255, without its particles of less than ``smallest`` pixels."""
    particles = label_particles(mask)
    is_particle = np.bincount(particles.ravel()) >= smallest
    is_particle[0] = False
    return as_mask(is_particle[particles])


def label_particles(mask: np.ndarray) -> np.ndarray:
    """Number the 4-connected particles of a mask: int32 (height, width), 0 the background."""
    return cv2.connectedComponents((np.asarray(mask) != 0).astype(np.uint8), connectivity=4)[1]


def number_of_particles(labels: np.ndarray) -> int:
    """Return how many numbers above 0 a label map, integers of any shape, has."""
    return np.count_nonzero(np.bincount(labels.ravel())[1:])


def as_mask(labels: np.ndarray) -> np.ndarray:
    """Return the mask of a label map: uint8 of its shape, 0 or 255."""
    return (labels > 0).astype(np.uint8) * 255


def fill_holes(labels: np.ndarray, connectivity: int = 8) -> np.ndarray:
    """Fill the holes of each particle; what several particles enclose together stays open.

    Parameters
    ----------
    labels : (height, width), integers, 0 the background.
    connectivity : of the background: 8, or 4 where a line of background that is closed diagonally
        is to close a hole.

    Returns
    -------
    A new array of the same shape and dtype, in which background that touches one particle and
    not the image's edge has that particle's number.
    """
    gaps = cv2.connectedComponents((labels == 0).astype(np.uint8), connectivity=connectivity)[1]
    smallest = np.full(gaps.max() + 1, labels.max(), labels.dtype)
    largest = np.zeros_like(smallest)
    for one, other in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        beside = (labels[one] == 0) != (labels[other] == 0)
        # A pixel is in a gap or in a particle, and 0 in the other map: the sum is the pair's.
        gap = gaps[one][beside] + gaps[other][beside]
        label = labels[one][beside] + labels[other][beside]
        np.minimum.at(smallest, gap, label)
        np.maximum.at(largest, gap, label)
    is_hole = smallest == largest
    is_hole[0] = False  # the particles
    for edge in (gaps[0], gaps[-1], gaps[:, 0], gaps[:, -1]):
        is_hole[edge] = False
    filled, holes = labels.copy(), is_hole[gaps]
    filled[holes] = largest[gaps[holes]]
    return filled


def close_slits(labels: np.ndarray) -> np.ndarray:
    """Close slits that run into a particle from outside: each is closed by a disk on its own.

    The disk has a radius of `SLIT_RADIUS`; pixels beside another particle, diagonally too, stay
    open, so that what was separate stays so.

    Parameters
    ----------
    labels : int32 (height, width), 0 the background.

    Returns
    -------
    A new array of the same shape and dtype.
    """
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * SLIT_RADIUS + 1,) * 2)
    closed = labels.copy()
    for number, box in numbered(find_objects(labels), "particles made solid"):
        if box is None:
            continue
        box = widened(box, 1)
        own = labels[box] == number
        # With a margin, or what lies near the image's edge would be closed against it.
        wide = np.pad(own, SLIT_RADIUS).astype(np.uint8)
        solid = cv2.morphologyEx(wide, cv2.MORPH_CLOSE, disk)
        solid = solid[SLIT_RADIUS:-SLIT_RADIUS, SLIT_RADIUS:-SLIT_RADIUS]
        part = closed[box]
        others = ((part > 0) & (part != number)).astype(np.uint8)
        solid[cv2.dilate(others, np.ones((3, 3), np.uint8)) > 0] = 0
        # Of a slit that is closed in part, what does not hang together with the particle is left.
        _, pieces = cv2.connectedComponents(solid | own, connectivity=4)
        part[np.isin(pieces, pieces[own])] = number
    return closed


def mean_intensities(labels: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Return the mean intensity of an image under each label, float64 (largest label + 1,).

    Entry 0 is the background's; a number that no pixel has gives NaN.
    """
    flat_labels = labels.ravel()
    areas = np.bincount(flat_labels)
    sums = np.bincount(flat_labels, weights=image.ravel())
    return np.divide(sums, areas, out=np.full(len(sums), np.nan), where=areas > 0)


def filter_particles(
    labels: np.ndarray, micrograph: np.ndarray, dark_background: bool
) -> np.ndarray:
    """Keep the particles that the micrograph shows.

    Parameters
    ----------
    labels : (height, width), integers, 0 the background.
    micrograph : (height, width), any unit.
    dark_background : True keeps a particle if its mean intensity is at least Li's threshold of
        the micrograph; False does the same with the negated micrograph.

    Returns
    -------
    The labels with the other particles cleared; the numbers stay. A constant micrograph shows none.

    Source: threshold of Li and Tam, Pattern Recognition Letters 19 (1998) 771.
    """
    if micrograph.min() == micrograph.max():
        return np.zeros_like(labels)
    micrograph = with_bright_particles(micrograph, dark_background)
    keep = mean_intensities(labels, micrograph) >= threshold_li(micrograph)
    keep[0] = False
    return np.where(keep[labels], labels, labels.dtype.type(0))


def contrast_correlation(mask: np.ndarray, micrograph: np.ndarray) -> float:
    """Return the correlation of a mask with a micrograph, -1..1.

    Above 0 the particles are brighter than the background, below 0 darker. NaN for a mask without
    particles or without background; 0 for a constant micrograph, which does not show them.
    """
    inside = np.asarray(mask) != 0
    share, spread = inside.mean(), micrograph.std(dtype=np.float64)
    if share in (0, 1):
        return float("nan")
    if spread == 0:
        return 0.0
    background, particles = mean_intensities(inside.astype(np.uint8), micrograph)
    return float((particles - background) * np.sqrt(share * (1 - share)) / spread)
