"""Where particles touch: the lines between them, and how much of an outline others touch."""

import numpy as np

from pipeline.particles.pixel_outlines import OUTWARD

# (y, x) to the neighbours of a pixel: those that share an edge with it, and across its corners.
# Turned round, each list has the opposite neighbours.
BESIDE = [(-1, 0), (0, -1), (0, 1), (1, 0)]
ACROSS_CORNERS = [(-1, -1), (-1, 1), (1, -1), (1, 1)]


def give_back_lines(labels: np.ndarray) -> np.ndarray:
    """Return a label map in which the lines between particles belong to one of both.

    In a mask a line of one pixel is all that separates particles that touch: it is part of them,
    and without it they are too small. It goes to one side alone (the upper, then the left), so
    that outlines stay smooth; what both have together is right.

    ``labels``: int32 (height, width), 0 the background; it is not changed.
    """
    rows, columns, around = _lines(labels)
    beside = around[: len(BESIDE)]
    first = (beside > 0).argmax(axis=0)
    whole = labels.copy()
    whole[rows, columns] = np.take_along_axis(beside, first[np.newaxis], axis=0)[0]
    return whole


def particles_and_lines(labels: np.ndarray) -> np.ndarray:
    """Return which pixels of a label map (h, w), int32, are particle or a line between two."""
    rows, columns, _ = _lines(labels)
    covered = labels > 0
    covered[rows, columns] = True
    return covered


def contact_shares(labels: np.ndarray, edges: dict[str, np.ndarray]) -> dict[int, float]:
    """Return the share of each particle's outline, 0 to 1, that touches others.

    Counted are the edges of pixels behind which another particle lies, or a line of one pixel. The
    image's edge counts as outline that touches nothing.

    ``labels``: int32 (height, width), 0 the background, with all particles; ``edges``: from
    `walk_edges`, of those wanted.
    """
    across = np.stack([edges["y"], edges["x"]], axis=1) + OUTWARD[edges["direction"]] + 1
    touches = np.pad(particles_and_lines(labels), 1)[tuple(across.T)]
    label, index = np.unique(edges["label"], return_inverse=True)
    share = np.bincount(index, touches) / np.bincount(index)
    return dict(zip(label.tolist(), share.tolist(), strict=True))


def _lines(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the background pixels between two particles, on opposite sides, or among three.

    Returns
    -------
    rows, columns : (n,), in reading order.
    around : (8, n), the labels of the neighbours, `BESIDE` and `ACROSS_CORNERS`.
    """
    padded = np.pad(labels, 1)
    particle = padded > 0
    height, width = labels.shape
    near = np.zeros(labels.shape, bool)
    for y, x in BESIDE + ACROSS_CORNERS:
        near |= particle[1 + y : 1 + y + height, 1 + x : 1 + x + width]
    rows, columns = np.nonzero(near & (labels == 0))
    around = np.stack([padded[rows + 1 + y, columns + 1 + x] for y, x in BESIDE + ACROSS_CORNERS])
    beside, corners = around[: len(BESIDE)], around[len(BESIDE) :]
    is_line = np.zeros(len(rows), bool)
    for one, opposite in ((beside, beside[::-1]), (corners, corners[::-1])):
        is_line |= ((one > 0) & (opposite > 0) & (one != opposite)).any(axis=0)
    number = (np.diff(np.sort(around, axis=0), axis=0, prepend=0) > 0).sum(axis=0)
    is_line |= number > 2
    return rows[is_line], columns[is_line], around[:, is_line]
