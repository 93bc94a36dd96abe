"""Which particles the image's edge cuts, and the correction for leaving them out."""

import numpy as np

NO_FRAME = (0, 0, 0, 0)
# The pixels of an outermost line that may be particle, as a share of those of the line inside, for
# it to be a frame's: a correction by hand may have reached it.
NEARLY_EMPTY = 0.1


def empty_frame(labels: np.ndarray) -> tuple[int, int, int, int]:
    """Return the width, 1 or 0 pixels, of the frame that a program left empty at each side.

    Such a frame would hide all particles that are cut. It is one if the outermost lines of at least
    three sides are empty, or nearly so (the fourth may have been cropped, as an info bar is), and
    two or more particles end at the lines inside them, at two or more sides: in an image of few
    particles outermost lines are empty too.

    Parameters
    ----------
    labels : (height, width), 0 the background.

    Returns
    -------
    top, bottom, left, right
    """
    frame, ending = [], []
    for turned in _turned(labels):
        outermost, inside = turned[:1], turned[1:2]
        few = NEARLY_EMPTY * np.count_nonzero(inside)
        frame.append(int(np.count_nonzero(outermost) <= few))
        ending.append(set(inside[inside > 0].tolist()) if frame[-1] else set())
    several_end = sum(map(bool, ending)) >= 2 and len(set().union(*ending)) >= 2
    return tuple(frame) if sum(frame) >= 3 and several_end else NO_FRAME


def labels_at_edge(labels: np.ndarray) -> np.ndarray:
    """Return the labels in the outermost rows and columns of a label map (height, width).

    Where a frame of one pixel was left empty (`empty_frame`), the next ones count.
    """
    sides = zip(_turned(labels), empty_frame(labels), strict=True)
    lines = [turned[: width + 1].ravel() for turned, width in sides]
    return np.setdiff1d(np.concatenate(lines), 0)


def _turned(labels: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return a label map so that its top, bottom, left and right side is the first row."""
    return labels, labels[::-1], labels.T, labels.T[::-1]


def inclusion_weights(
    columns: dict[str, np.ndarray],
    shape: tuple[int, int],
    frame: tuple[int, int, int, int] = NO_FRAME,
) -> np.ndarray:
    """Return for how many particles of its size each one stands that does not touch the edge.

    A bounding box of w x h pixels lies inside an image of W x H, and does not touch its outermost
    rows and columns, in (W - w - 1)(H - h - 1) of W H positions. So leaving out what touches them
    favours small particles, unless each counts W H / ((W - w - 1)(H - h - 1)).

    ``columns``: ``bounding_box_height`` and ``bounding_box_width`` (n,), in pixels; ``shape``
    (H, W); ``frame``: as many outermost lines at each side hold nothing (`empty_frame`), so that
    H and W in the number of positions are the less. What has no such position, as it fills the
    image in one direction, counts as if it had one.

    Source: ISO 13322-1 (the correction of Miles and Lantuéjoul), counted in pixels.
    """
    height, width = shape
    top, bottom, left, right = frame
    rows = np.maximum(height - top - bottom - columns["bounding_box_height"] - 1, 1)
    across = np.maximum(width - left - right - columns["bounding_box_width"] - 1, 1)
    return height * width / (rows * across)
