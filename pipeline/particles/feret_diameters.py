"""Feret diameters and enclosing rectangles of a particle, by rotating calipers on its hull.

Points are (y, x) throughout. The hull is that of the pixels' corners, so a 10 x 10 square has a
minimum Feret diameter of 10 and a maximum one of its diagonal.
"""

import cv2
import numpy as np


def convex_hull(corners: np.ndarray) -> np.ndarray:
    """Return the hull's vertices (n, 2), float64, of integer points (m, 2) in walking order."""
    hull = cv2.convexHull(np.ascontiguousarray(corners, np.int32))
    return hull.reshape(-1, 2).astype(np.float64)


def max_feret(hull: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the largest distance of two vertices, and these (2, 2)."""
    distance = np.hypot(*(hull[:, None] - hull[None]).T)
    first, second = np.unravel_index(np.argmax(distance), distance.shape)
    return float(distance[first, second]), hull[[first, second]]


def angle_of(upward: np.ndarray, rightward: np.ndarray, period: float = 180) -> np.ndarray:
    """Return the angle of a line in degrees, anticlockwise from the image's x axis, [0, period)."""
    return np.round(np.degrees(np.arctan2(upward, rightward)), 9) % period


def rectangles(hull: np.ndarray) -> tuple[dict[str, float], dict[str, float], np.ndarray]:
    """Return the minimum-Feret rectangle, the minimum-area rectangle, and the Feret's end points.

    Of all pairs of parallel lines round a convex polygon, the closest has one line along an edge,
    and so has the smallest rectangle; so the edges are the only directions to look at.

    Returns
    -------
    min_feret_rectangle : ``width`` (the minimum Feret diameter), ``length`` across it, ``angle``
        of the length in degrees (anticlockwise from the image's x axis, [0, 180)),
        ``centre_y``, ``centre_x``.
    min_area_rectangle : the same; width <= length.
    ends : (2, 2), of the minimum Feret diameter: a vertex and the foot of its perpendicular on
        the edge it is furthest from; of two edges that face each other, the middle of where they
        do.
    """
    edge = np.roll(hull, -1, axis=0) - hull
    along = edge / np.hypot(*edge.T)[:, None]  # (edges, 2)
    across = np.stack([along[:, 1], -along[:, 0]], axis=1)
    place_along = along @ hull.T  # (edges, vertices)
    place_across = across @ hull.T
    width, length = np.ptp(place_across, axis=1), np.ptp(place_along, axis=1)

    def rectangle(index: int) -> dict[str, float]:
        middle = [
            (place[index].max() + place[index].min()) / 2 for place in (place_along, place_across)
        ]
        centre = middle[0] * along[index] + middle[1] * across[index]
        long_side = along[index] if length[index] >= width[index] else across[index]
        return {
            "width": float(min(width[index], length[index])),
            "length": float(max(width[index], length[index])),
            "angle": float(angle_of(-long_side[0], long_side[1])),
            "centre_y": float(centre[0]),
            "centre_x": float(centre[1]),
        }

    # Rounded, so that equal sizes do not differ by the last bit and the first edge is taken.
    narrowest = int(np.argmin(np.round(width, 9)))
    heights = place_across[narrowest] - place_across[narrowest, narrowest]
    height = heights[np.argmax(np.abs(heights))]
    is_opposite = np.isclose(heights, height, rtol=0, atol=1e-9)
    of_edge = place_along[narrowest, [narrowest, (narrowest + 1) % len(hull)]]
    facing = place_along[narrowest, is_opposite]
    # The closest lines touch the polygon at places opposite each other.
    middle = (max(of_edge.min(), facing.min()) + min(of_edge.max(), facing.max())) / 2
    foot = middle * along[narrowest] + place_across[narrowest, narrowest] * across[narrowest]
    ends = np.array([foot + height * across[narrowest], foot])
    smallest = int(np.argmin(np.round(width * length, 9)))
    return rectangle(narrowest), rectangle(smallest), ends
