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

from pipeline.particle_masks import fill_holes
from pipeline.touching_particles import distance_to_background, flood, separate_components

# Of a centre, in 255ths of the centrality of the innermost pixel:
LEAST_RISE = 45  # from the valley to a neighbour up to it
LEAST_HEIGHT = 90


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

    A centre is a maximum of the map, smoothed with a Gaussian of sigma 1, of at least
    `LEAST_HEIGHT`, that rises by `LEAST_RISE` above the valley to any higher one: its dynamics.
    What rises less is shading within a particle, what is lower no particle: residues have rims
    but nothing that the network takes for an inside.
    Source: Grimaud, "A new measure of contrast: the dynamics", Proc. SPIE 1769 (1992).

    Parameters
    ----------
    central : float (h, w) in [0, 1], how central the network holds each pixel to be.
    mask : bool (h, w), where there are particles at all.
    """
    heights = np.rint(np.clip(_smooth(central), 0, 1) * 255).astype(np.uint8)
    markers = np.zeros(mask.shape, np.int32)
    following = 1
    for box, inside in separate_components(mask)[1]:
        height = heights[box] * inside
        # Cut down by the rise and grown back under the map: what stays missing are the domes.
        cut = cv2.subtract(height, LEAST_RISE)
        dome = height - reconstruction(cut, height).astype(np.uint8)
        count, domes = cv2.connectedComponents((dome > 0).astype(np.uint8))
        is_centre = np.zeros(count, np.int32)
        is_centre[domes[(dome == LEAST_RISE) & (height >= LEAST_HEIGHT)]] = 1
        numbers = is_centre * (np.cumsum(is_centre, dtype=np.int32) + following - 1)
        markers[box] += numbers[domes]
        following += is_centre.sum()
    return markers


def _smooth(central):
    return cv2.GaussianBlur(np.asarray(central, np.float64), (0, 0), 1.0)


def grow_particles(probability: np.ndarray, central: np.ndarray, threshold: float) -> np.ndarray:
    """Return a label map: particles grown from their centres over the mask.

    Mask and centrality are smoothed with a Gaussian of sigma 1 first: what is a pixel wide is
    noise.

    Parameters
    ----------
    probability : (h, w), that a pixel is particle; above ``threshold`` it is.
    central : float (h, w) in [0, 1]; see ``find_centres``.

    Returns
    -------
    int32 (h, w): 1, 2, ... the particles, without holes; 0 the background, parts of the mask
    without a centre, and lines of one pixel between particles.
    """
    # Smoothed after the threshold, which must not move the outline.
    mask = _smooth(probability > threshold) > 0.5
    labels = flood(-_smooth(central), find_centres(central, mask), mask)
    return fill_holes(labels, connectivity=4)
