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

from pipeline.touching_particles import flood

LEVELS = np.arange(0.1, 0.95, 0.1)  # of the map, at which it is looked at for separate centres
# Pixels; smaller parts, of the map or of the mask, are noise. The scores know no smaller particles.
SMALLEST_PARTICLE = 9


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
    inside = ((mirrored > 0) & alike).astype(np.uint8)
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    # The rim pixels themselves are particle too: one step further out.
    distance = np.where(labels > 0, distance + 1, 0)
    largest = np.zeros(labels.max() + 1, np.float32)
    np.maximum.at(largest, labels.ravel(), distance.ravel().astype(np.float32))
    return np.where(labels > 0, distance / np.maximum(largest, 1)[labels], 0).astype(np.float32)


def find_centres(central: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return markers of the particles: int32 (h, w), 1, 2, ... at their centres, else 0.

    The map is cut at rising levels. Where a part falls into several, each is a centre of its own;
    a part that stays one shrinks to its highest place. So a particle counts if it rises above
    the valley to its neighbour by a level at least, however low or small it is.

    Parameters
    ----------
    central : float (h, w) in [0, 1], how central the network holds each pixel to be.
    mask : bool (h, w), where there are particles at all.
    """
    smooth = cv2.GaussianBlur(np.asarray(central, np.float32), (0, 0), 1.0)
    smooth[~mask] = 0
    markers = np.zeros(mask.shape, np.int32)
    parts = np.zeros(mask.shape, np.int32)  # of the level before, numbered as the markers
    following = 1
    for level in LEVELS:
        count, labels, statistics, _ = cv2.connectedComponentsWithStats(
            (smooth > level).astype(np.uint8), connectivity=4
        )
        large = statistics[:, cv2.CC_STAT_AREA] >= SMALLEST_PARTICLE
        large[0] = False
        # Each part lies in one of the level before, or is new.
        parent = np.zeros(count, np.int32)
        parent[labels.ravel()] = parts.ravel()
        children = np.bincount(parent[large], minlength=following)
        children[0] = 0
        number = np.zeros(count, np.int32)
        stays = large & (children[parent] == 1)
        number[stays] = parent[stays]
        new = large & ~stays
        number[new] = following + np.arange(np.count_nonzero(new))
        following += np.count_nonzero(new)
        replaced = np.zeros(following, bool)
        replaced[: len(children)] = children > 0
        markers[replaced[markers]] = 0
        parts = number[labels]
        markers = np.where(parts > 0, parts, markers)
    return markers


def grow_particles(probability: np.ndarray, central: np.ndarray, threshold: float) -> np.ndarray:
    """Return a label map: particles grown from their centres over the mask.

    Parameters
    ----------
    probability : (h, w), that a pixel is particle; above ``threshold`` it is.
    central : float (h, w) in [0, 1]; see ``find_centres``.

    Returns
    -------
    int32 (h, w): 1, 2, ... the particles, 0 the background and lines of one pixel between
    particles. Parts of the mask without a centre are particles of their own, from 9 pixels on.
    """
    mask = probability > threshold
    markers = find_centres(central, mask)
    _, parts, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    has_centre = np.zeros(len(statistics), bool)
    has_centre[parts[markers > 0]] = True
    alone = ~has_centre & (statistics[:, cv2.CC_STAT_AREA] >= SMALLEST_PARTICLE)
    alone[0] = False
    markers = np.where(alone[parts], parts + markers.max(), markers)
    elevation = -cv2.GaussianBlur(np.asarray(central, np.float32), (0, 0), 1.0).astype(np.float64)
    return flood(elevation, markers, mask)
