"""The components of a mask, one by one, each in its box; and the distance to the background."""

from collections.abc import Iterator

import cv2
import numpy as np

from pipeline.progress import progress

MANY_COMPONENTS = 10_000  # from which on an image has a progress of its own


def separate_components(mask: np.ndarray) -> tuple[np.ndarray, list]:
    """Return the components of a mask, 8-connected, to be worked on one by one.

    Most of an image is background, so that is several times as fast, and needs less memory.

    Returns
    -------
    components : int32 (height, width), 1, 2, ...; 0 the background.
    boxes : of each component, in this order, slices of the image around it, with one pixel more
        where the image goes on, so that the background around it is seen.
    """
    _, components, boxes, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    boxes = [
        np.s_[max(top - 1, 0) : top + height + 1, max(left - 1, 0) : left + width + 1]
        for left, top, width, height, _ in boxes[1:].tolist()
    ]
    return components, boxes


def widened(box: tuple[slice, slice], by: int) -> tuple[slice, slice]:
    """Return slices of an image ``by`` pixels wider on all sides, as far as the image goes."""
    return tuple(slice(max(side.start - by, 0), side.stop + by) for side in box)


def numbered(boxes: list, what: str) -> Iterator[tuple[int, tuple[slice, slice]]]:
    """Yield the number and box of each component, and say how many are done where they are many.

    ``what`` as in `progress`.
    """
    pairs = enumerate(boxes, start=1)
    return progress(pairs, what, len(boxes)) if len(boxes) >= MANY_COMPONENTS else pairs


def distance_to_background(mask: np.ndarray) -> np.ndarray:
    """Return the Euclidean distance of every pixel to the background, exact, float64."""
    distance = cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # Squares are whole numbers. Rounding errors, which OpenCV 5 makes differently each time, would
    # choose between places equally far.
    return np.sqrt(np.rint(np.square(distance, dtype=np.float64)))
