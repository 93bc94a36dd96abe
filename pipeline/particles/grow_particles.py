"""Particles as instances: what the UNet learns of each one's centre, and growing them from it.

A binary mask cut by a distance map cannot tell a small particle on a large one, or two that
overlap widely. The simulated masks know which pixel belongs to which particle, so the network can
learn how central a pixel is in its own particle: 1 where the particle is innermost, 0 at its rim,
whatever its size. Valleys of that map are where one particle ends and the next begins.
Source: the distance normalised per object of Naylor et al., IEEE Trans. Med. Imaging 38 (2019),
and Schmidt et al. (StarDist), MICCAI 2018.
"""

import cv2
import numpy as np
from skimage.morphology import reconstruction

from pipeline.particle_masks import close_slits, fill_holes
from pipeline.particles.components import (
    distance_to_background,
    numbered,
    separate_components,
    widened,
)
from pipeline.particles.touching_particles import flood

LEAST_CENTRALITY = 0.35  # of a centre
LEAST_RATIO = 1.5  # of a centre's to that of the valley before a higher one, `NOISE` on both
NOISE = 0.1  # of the centrality, as a network gives it
# As many levels as 8 bits hold, of equal ratios.
LEVELS = 255 / np.log1p(1 / NOISE)
LEAST_RISE = round(np.log(LEAST_RATIO) * LEVELS)
ROWS_AT_A_TIME = 512


def centrality(labels: np.ndarray) -> np.ndarray:
    """Return how central each pixel is in its particle: float32 (h, w) in [0, 1].

    The distance to the next pixel that is not the particle's, over the largest of the particle.
    ``labels`` is a label map, integers (h, w), 0 the background; a particle that the edge cuts
    goes on beyond it.
    """
    labels = np.asarray(labels).astype(np.int32)
    mirrored = np.pad(labels, 1, mode="edge")
    # Pixels beside another label are rim, even where no background lies between.
    kernel = np.ones((3, 3), np.uint8)
    as_float = mirrored.astype(np.float32)
    alike = cv2.dilate(as_float, kernel) == cv2.erode(as_float, kernel)
    distance = distance_to_background((mirrored > 0) & alike)[1:-1, 1:-1]
    # The rim pixels themselves are particle too: one step further out.
    distance = np.where(labels > 0, distance + 1, 0)
    largest = np.zeros(labels.max() + 1, np.float32)
    np.maximum.at(largest, labels.ravel(), distance.ravel().astype(np.float32))
    return np.where(labels > 0, distance / np.maximum(largest, 1)[labels], 0).astype(np.float32)


def find_centres(central: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return markers of the particles: int32 (h, w), 1, 2, ... at their centres, else 0.

    A centre is a maximum of the map of at least `LEAST_CENTRALITY` that is `LEAST_RATIO` times as
    central as the valley to any higher one: its dynamics, of the logarithm, as the higher a
    maximum, the deeper is the shading within a particle. What rises less is shading, what is lower
    no particle: residues have rims but nothing that the network takes for an inside.
    Source: Grimaud, "A new measure of contrast: the dynamics", Proc. SPIE 1769 (1992).

    Parameters
    ----------
    central : float (h, w), 0 to 1 how central the network holds each pixel to be, smoothed.
    mask : bool (h, w), where there are particles at all.
    """
    height = to_levels(np.clip(central, 0, 1)) * mask
    # Cut down by the rise and grown back under the map: what stays missing are the domes.
    cut = cv2.subtract(height, LEAST_RISE)
    dome = height - reconstruction(cut, height).astype(np.uint8)
    count, domes = cv2.connectedComponents((dome > 0).astype(np.uint8))
    is_centre = np.zeros(count, np.int32)
    is_centre[domes[(dome == LEAST_RISE) & (height >= to_levels(LEAST_CENTRALITY))]] = 1
    return (is_centre * np.cumsum(is_centre, dtype=np.int32))[domes]


def to_levels(central):
    """Return centralities, 0 to 1, as uint8 levels, each the same ratio above the one before."""
    return np.rint(np.log1p(np.asarray(central) / NOISE) * LEVELS).astype(np.uint8)


def grow_particles(probability: np.ndarray, central: np.ndarray, threshold: float) -> np.ndarray:
    """Return a label map: particles grown from their centres over the mask.

    Mask and centrality are smoothed with a Gaussian of sigma 1 first: what is a pixel wide is
    noise.

    Parameters
    ----------
    probability : (h, w), that a pixel is particle; above ``threshold`` it is.
    central : float (h, w), 0 to 1; see ``find_centres``.

    Returns
    -------
    int32 (h, w): 1, 2, ... the particles, without holes and slits; 0 the background, parts of the
    mask without a centre, and lines of one pixel between particles.
    """
    labels = _flood_components(central, _smooth_mask(probability > threshold))
    return fill_holes(close_slits(labels), connectivity=4)


def _smooth_mask(mask):
    """Smooth the outline of a mask, band by band: as float64 a large one would fill the memory."""
    # Smoothed after the threshold, which must not move the outline.
    height, width = mask.shape
    bands = [np.s_[top : top + ROWS_AT_A_TIME, 0:width] for top in range(0, height, ROWS_AT_A_TIME)]
    return np.concatenate([smooth_part(mask, band) > 0.5 for band in bands])


def _flood_components(central, mask):
    """Return the label map of the particles of each component of the mask, one by one."""
    labels = np.zeros(mask.shape, np.int32)
    number = 0
    components, boxes = separate_components(mask)
    for component, box in numbered(boxes, "agglomerates cut into particles"):
        inside = components[box] == component
        height = smooth_part(central, box)
        grown = find_centres(height, inside)
        centres = grown.max()
        if centres > 1:
            grown = flood(-height, grown, inside)
        elif centres == 1:
            grown = inside.astype(np.int32)
        labels[box] += np.where(grown > 0, grown + number, 0)
        number += centres
    return labels


def smooth_part(image: np.ndarray, box: tuple[slice, slice]) -> np.ndarray:
    """Return a box of an image, smoothed with a Gaussian of sigma 1 as all of it: float64."""
    reach = 4  # pixels, four sigma
    wider = widened(box, reach)
    smooth = cv2.GaussianBlur(image[wider].astype(np.float64), (2 * reach + 1,) * 2, 1.0)
    top, left = (side.start - more.start for side, more in zip(box, wider, strict=True))
    height, width = (side.stop - side.start for side in box)
    return smooth[top : top + height, left : left + width]
