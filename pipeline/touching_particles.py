"""Split touching particles by a watershed on the distance to the background. Arrays in and out."""

import cv2
import numpy as np
from skimage.segmentation import watershed


def split_touching_particles(mask: np.ndarray, min_distance: int) -> np.ndarray:
    """Split a mask at its narrow places: a watershed on the distance to the background.

    A centre is where the Euclidean distance map, smoothed with a Gaussian of sigma 1, is largest
    within ``min_distance`` rows and columns. From the centres water rises over the negative
    distance, to all eight neighbours. What it does not reach is dropped: specks whose distance
    is outdone by that of a particle close by.

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
    distance = cv2.distanceTransform(particle, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # float64: in float32, rounding would choose between places that are equally far.
    distance = distance.astype(np.float64)
    distance = cv2.GaussianBlur(distance, (9, 9), 1.0, borderType=cv2.BORDER_REPLICATE)
    rows, columns = _find_centres(distance * particle, int(min_distance))
    numbers = np.arange(1, len(rows) + 1, dtype=np.int32)

    # Only components with several centres need a watershed; they are few where particles are far
    # apart. One centre: the component is that particle. None: nothing.
    components = cv2.connectedComponents(particle, connectivity=8)[1]
    component = components[rows, columns]
    is_shared = np.bincount(component, minlength=components.max() + 1) > 1
    number = np.zeros(len(is_shared), np.int32)
    number[component] = numbers
    labels = number[components]
    shared = is_shared[components]
    if shared.any():
        markers = np.zeros(labels.shape, np.int32)
        markers[rows, columns] = numbers
        elevation = -distance
        flooded = watershed(elevation, markers * shared, mask=shared, connectivity=2)
        elevation[rows, columns] = -np.inf  # a centre is where the water comes from, never line
        labels = _draw_lines(np.where(shared, flooded, labels), elevation)
    return labels


def _find_centres(distance: np.ndarray, min_distance: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and columns where the distance is largest within ``min_distance``.

    Of equal ones closer to each other than that, the first in reading order is taken.
    """
    # Dilation is several times as fast in float32; what only rounding made equal goes below.
    rounded = distance.astype(np.float32)
    window = np.ones((2 * min_distance + 1, 2 * min_distance + 1), np.uint8)
    candidates = np.argwhere((rounded > 0) & (rounded == cv2.dilate(rounded, window)))
    too_close = np.zeros(distance.shape, bool)
    centres = []
    for row, column in candidates.tolist():
        is_largest = distance[row, column] == distance[_window(row, column, min_distance)].max()
        if is_largest and not too_close[row, column]:
            centres.append((row, column))
            too_close[_window(row, column, min_distance - 1)] = True
    rows, columns = np.array(centres, int).reshape(-1, 2).T
    return rows, columns


def _window(row: int, column: int, reach: int) -> tuple[slice, slice]:
    return np.s_[max(row - reach, 0) : row + reach + 1, max(column - reach, 0) : column + reach + 1]


def _draw_lines(labels: np.ndarray, elevation: np.ndarray) -> np.ndarray:
    """Return labels with one pixel cleared between different ones, across corners too.

    Of two touching pixels of different labels the water reaches the lower one first; the other
    becomes line, unless the first is line itself. `skimage.segmentation.watershed` gives the
    same lines, but at 8-connectivity it queues what lies behind a line again and again, which
    takes up to a thousand times as long.
    """
    # A column of background keeps the end of a row from touching the start of the next.
    labels = np.pad(labels, ((0, 0), (0, 1)))
    flat_labels = labels.ravel()
    flat_elevation = np.pad(elevation, ((0, 0), (0, 1))).ravel()
    width = labels.shape[1]
    pairs = []
    for step in (1, width - 1, width, width + 1):  # right, lower left, below, lower right
        one, other = flat_labels[:-step], flat_labels[step:]
        first = np.flatnonzero((one != other) & (one > 0) & (other > 0))
        pairs.append(np.stack([first, first + step]))
    one, other = np.concatenate(pairs, axis=1)
    swapped = flat_elevation[one] > flat_elevation[other]
    earlier, later = np.where(swapped, other, one), np.where(swapped, one, other)
    # In this order a pixel's fate is decided before it decides another's.
    order = np.lexsort((later, flat_elevation[later]))
    is_line = bytearray(flat_labels.size)
    for before, after in zip(earlier[order].tolist(), later[order].tolist(), strict=True):
        if not is_line[before]:
            is_line[after] = 1
    flat_labels[np.frombuffer(is_line, bool)] = 0
    return labels[:, :-1]
