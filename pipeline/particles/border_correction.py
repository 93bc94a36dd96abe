"""Which particles the image's edge cuts, and the correction for leaving them out."""

import numpy as np


def empty_frame(labels: np.ndarray) -> int:
    """Return the width of the frame that a program left empty all round a label map: 1 or 0 pixels.

    Such a frame would hide all particles that are cut. It is one if all four outermost lines are
    empty, and at two or more of the lines inside them end two or more particles: in an image of few
    particles outermost lines are empty too.

    ``labels``: (height, width), 0 the background.
    """
    if any(line.any() for line in _outermost_lines(labels)):
        return 0
    ending = [set(line[line > 0].tolist()) for line in _outermost_lines(labels[1:-1, 1:-1])]
    return int(sum(map(bool, ending)) >= 2 and len(set().union(*ending)) >= 2)


def labels_at_edge(labels: np.ndarray) -> np.ndarray:
    """Return the labels in the outermost rows and columns of a label map (height, width).

    Where a frame of one pixel was left empty (`empty_frame`), the next ones count.
    """
    frame = empty_frame(labels)
    height, width = labels.shape
    lines = _outermost_lines(labels[frame : height - frame, frame : width - frame])
    return np.setdiff1d(np.concatenate(lines), 0)


def _outermost_lines(labels: np.ndarray) -> list[np.ndarray]:
    """Return the first and the last row and column; empty ones of an empty array."""
    return [turned[:1].ravel() for turned in (labels, labels[::-1], labels.T, labels.T[::-1])]


def inclusion_weights(
    columns: dict[str, np.ndarray], shape: tuple[int, int], frame: int = 0
) -> np.ndarray:
    """Return for how many particles of its size each one stands that does not touch the edge.

    A bounding box of w x h pixels lies inside an image of W x H, and does not touch its outermost
    rows and columns, in (W - w - 1)(H - h - 1) of W H positions. So leaving out what touches them
    favours small particles, unless each counts W H / ((W - w - 1)(H - h - 1)).

    ``columns``: ``bounding_box_height`` and ``bounding_box_width`` (n,), in pixels; ``shape``
    (H, W); ``frame``: as many outermost lines on each side hold nothing (`empty_frame`). What
    has no such position, as it fills the image in one direction, counts as if it had one.

    Source: ISO 13322-1 (the correction of Miles and Lantuéjoul), counted in pixels.
    """
    height, width = shape
    rows = np.maximum(height - 2 * frame - columns["bounding_box_height"] - 1, 1)
    across = np.maximum(width - 2 * frame - columns["bounding_box_width"] - 1, 1)
    return height * width / (rows * across)
