"""Which particles the image's edge cuts, and the correction for leaving them out."""

from collections import Counter
from typing import NamedTuple

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


class Field(NamedTuple):
    """What an image shows: ``height`` x ``width`` pixels of a side of ``pixel_size``.

    As many outermost lines at each side as ``frame`` says hold nothing (`empty_frame`).
    """

    height: int
    width: int
    frame: tuple[int, int, int, int] = NO_FRAME
    pixel_size: float = 1.0


def field_of(labels: np.ndarray, pixel_size: float = 1.0) -> Field:
    """Return the Field of a label map (height, width)."""
    return Field(*labels.shape, empty_frame(labels), pixel_size)


def inclusion_weights(heights: np.ndarray, widths: np.ndarray, fields: list[Field]) -> np.ndarray:
    """Return for how many particles of its size each one stands that does not touch the edge.

    A bounding box of w x h pixels lies inside an image of W x H, and does not touch its outermost
    rows and columns, in (W - w - 1)(H - h - 1) of W H positions (of fewer, where outermost lines
    hold nothing). So leaving out what touches them favours small particles, unless each counts W H
    / ((W - w - 1)(H - h - 1)); of several images the sum of the former over that of the latter. An
    image that a particle does not fit into has no position for it; what fits into none counts as if
    it had a row, or a column, of them.

    ``heights`` and ``widths`` (n,) are of bounding boxes, in the unit of the fields' pixel sizes.

    Source: ISO 13322-1 (the correction of Miles and Lantuéjoul), counted in pixels; Horvitz and
    Thompson, Journal of the American Statistical Association 47 (1952), of images that differ.
    """
    area, positions, at_least = 0.0, np.zeros(len(heights)), np.zeros(len(heights))
    for field, number in Counter(fields).items():
        top, bottom, left, right = field.frame
        of_pixel = field.pixel_size**2
        rows = field.height - top - bottom - heights / field.pixel_size - 1
        across = field.width - left - right - widths / field.pixel_size - 1
        area += number * field.height * field.width * of_pixel
        positions += number * np.maximum(rows, 0) * np.maximum(across, 0) * of_pixel
        some = np.maximum(rows, 1) * np.maximum(across, 1) * of_pixel
        at_least = np.maximum(at_least, number * some)
    return area / np.where(positions > 0, positions, at_least)
