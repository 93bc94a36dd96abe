"""Split touching particles by a watershed on the distance to the background."""

import cv2
import numpy as np
from skimage.feature import peak_local_max
from skimage.segmentation import watershed

from pipeline.particles.components import (
    distance_to_background,
    numbered,
    separate_components,
)

ROUNDED_TO = 9  # decimals of a distance in pixels
EVERY_PEAK = {"threshold_abs": 0, "exclude_border": False}  # of however small a particle


def split_touching_particles(mask: np.ndarray, min_distance: int) -> np.ndarray:
    """Split a mask at its narrow places: a watershed on the distance to the background.

    A centre is where the Euclidean distance map, smoothed with a Gaussian of sigma 1, is largest
    within ``min_distance`` rows and columns. From the centres water rises over the negative
    distance, to all eight neighbours. What it does not reach is dropped, as published: specks, and
    particles up to about ``min_distance`` pixels wide beside a larger one, even apart from it.

    Parameters
    ----------
    mask : bool (height, width), with background in it.
    min_distance : in pixels, at least 1.

    Returns
    -------
    int32 (height, width): 1, 2, ... the particles; 0 the background and the lines of one pixel
    between particles, which separate them across corners too.

    Raises
    ------
    ValueError
        If ``min_distance`` is below 1.
    """
    if min_distance < 1:
        raise ValueError(f"min_distance is {min_distance}; expected at least 1 pixel.")
    particle = np.asarray(mask).astype(np.uint8)
    components, boxes = separate_components(particle)
    distance = np.zeros(particle.shape)
    for component, box in numbered(boxes, "agglomerates measured"):
        distance[box] += distance_to_background(components[box] == component)
    distance = cv2.GaussianBlur(distance, (9, 9), 1.0, borderType=cv2.BORDER_REPLICATE)
    distance *= particle
    # Places that are alike, such as in mirrored shapes, differ by what the filter rounds.
    np.round(distance, ROUNDED_TO, out=distance)

    rows, columns = peak_local_max(distance, min_distance=int(min_distance), **EVERY_PEAK).T
    markers = np.zeros(particle.shape, np.int32)
    markers[rows, columns] = np.arange(1, len(rows) + 1)
    centres_inside = np.bincount(components[rows, columns], minlength=len(boxes) + 1)
    labels = np.zeros_like(markers)
    for component, box in numbered(boxes, "agglomerates split"):
        inside, centres = components[box] == component, centres_inside[component]
        if centres == 1:
            labels[box][inside] = markers[box][inside].max()
        elif centres > 1:
            flooded = flood(-distance[box], markers[box] * inside, inside)
            labels[box][inside] = flooded[inside]
    return labels


def flood(elevation: np.ndarray, markers: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the watershed's labels, with one pixel cleared between them, across corners too.

    Of two touching pixels of different labels the water reaches the lower one first; the other
    becomes line, unless the first is line itself. `skimage.segmentation.watershed` gives the
    same lines, but at 8-connectivity it queues what lies behind a line again and again, which
    takes up to a thousand times as long.
    """
    # A column of background keeps the end of a row from touching the start of the next.
    edge = ((0, 0), (0, 1))
    labels = np.pad(watershed(elevation, markers, mask=mask, connectivity=2), edge)
    # A centre is where the water comes from, and never line.
    height = np.pad(np.where(markers > 0, -np.inf, elevation), edge).ravel()
    flat = labels.ravel()
    width = labels.shape[1]
    pairs = []
    for step in (1, width - 1, width, width + 1):  # right, lower left, below, lower right
        one, other = flat[:-step], flat[step:]
        first = np.flatnonzero((one != other) & (one > 0) & (other > 0))
        pairs.append(np.stack([first, first + step]))
    one, other = np.concatenate(pairs, axis=1)
    swapped = height[one] > height[other]
    earlier, later = np.where(swapped, other, one), np.where(swapped, one, other)
    # In this order a pixel's fate is decided before it decides another's.
    order = np.lexsort((later, height[later]))
    is_line = bytearray(flat.size)
    for before, after in zip(earlier[order].tolist(), later[order].tolist(), strict=True):
        if not is_line[before]:
            is_line[after] = 1
    flat[np.frombuffer(is_line, bool)] = 0
    return labels[:, :-1]
