"""Outlines of labelled particles along the edges of their pixels, so that no pixel is lost.

Coordinates here are those of pixel corners: the pixel in row 0, column 0 covers 0 to 1 in both
directions (as in ImageJ). A particle's pixels belong together where they share an edge.
"""

import numpy as np

# Walking round a particle clockwise, its pixels to the right: along the top edge of a pixel the
# step is to the right, along its right edge down, and so on.
STEPS = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])  # (y, x) by direction
OUTWARD = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])  # the neighbour across the edge
CORNERS = np.array([(0, 0), (0, 1), (1, 1), (1, 0)])  # where the edge starts, from the pixel

STRAIGHT, CONVEX, CONCAVE = 0, 1, -1

Outlines = dict[int, list[np.ndarray]]  # of each label, see `outline_polygons`


def walk_edges(labels: np.ndarray) -> dict[str, np.ndarray]:
    """Return the edges between every particle and its surroundings, in the order of a walk.

    Parameters
    ----------
    labels : (height, width), integers; 0 is background.

    Returns
    -------
    Columns, one row an edge, all int64:
    ``y, x`` the pixel that owns the edge; ``direction`` of the walk along it (see `STEPS`);
    ``turn`` at its end (`STRAIGHT`, `CONVEX`, `CONCAVE`); ``loop`` the number of the closed
    walk it is on; ``label``. Outer outlines run clockwise, those of holes anticlockwise.
    """
    padded = np.pad(labels, 1)
    height, width = labels.shape
    inside = padded[1:-1, 1:-1]

    def same_as_neighbour(offset: np.ndarray) -> np.ndarray:
        y, x = 1 + offset
        return padded[y : y + height, x : x + width] == inside

    edge_ids, next_ids, turns = [], [], []
    for direction in range(4):
        step, outward = STEPS[direction], OUTWARD[direction]
        y, x = np.nonzero((inside != 0) & ~same_as_neighbour(outward))
        ahead = same_as_neighbour(step)[y, x]
        diagonal = ahead & same_as_neighbour(step + outward)[y, x]
        # Turning convex wherever nothing lies ahead keeps pixels that share only a corner apart.
        turn = np.where(diagonal, CONCAVE, np.where(ahead, STRAIGHT, CONVEX))
        pixel = y * width + x
        to_next = (step[0] * width + step[1]) * ahead
        to_next = to_next + (outward[0] * width + outward[1]) * diagonal
        edge_ids.append(4 * pixel + direction)
        next_ids.append(4 * (pixel + to_next) + (direction + turn) % 4)
        turns.append(turn)
    edge_ids, next_ids = np.concatenate(edge_ids), np.concatenate(next_ids)
    by_id = np.argsort(edge_ids)
    edge_ids = edge_ids[by_id]
    order, loop = _order_of_walk(np.searchsorted(edge_ids, next_ids[by_id]))
    pixel, direction = np.divmod(edge_ids[order], 4)
    y, x = np.divmod(pixel, max(width, 1))
    turn = np.concatenate(turns)[by_id][order]
    return {
        "y": y,
        "x": x,
        "direction": direction,
        "turn": turn,
        "loop": loop,
        "label": labels[y, x].astype(np.int64),
    }


def _order_of_walk(successors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the edges in walking order and the number of the loop of each."""
    following = successors.tolist()
    seen = bytearray(len(following))
    order, loop_starts = [], []
    for start in range(len(following)):
        if seen[start]:
            continue
        loop_starts.append(len(order))
        edge = start
        while not seen[edge]:
            seen[edge] = 1
            order.append(edge)
            edge = following[edge]
    lengths = np.diff([*loop_starts, len(order)])
    return np.array(order, np.int64), np.repeat(np.arange(len(loop_starts)), lengths)


def outline_polygons(edges: dict[str, np.ndarray]) -> Outlines:
    """Return the outlines of each label as polygons of pixel corners.

    ``edges``: from `walk_edges`.

    Returns
    -------
    label -> polygons (vertices, 2), int64, as (y, x); the largest outer outline first, holes last.
    Filling them by the even-odd or the winding rule gives back exactly the label's pixels.
    """
    corner = np.stack([edges["y"], edges["x"]], axis=1) + CORNERS[edges["direction"]]
    arrived_by_turn = _previous_in_loop(edges["turn"], edges["loop"]) != STRAIGHT
    corner, loop = corner[arrived_by_turn], edges["loop"][arrived_by_turn]
    label_of_loop = edges["label"][_first_of_runs(edges["loop"])]
    polygons: Outlines = {}
    for label, polygon in zip(
        label_of_loop.tolist(), np.split(corner, _first_of_runs(loop))[1:], strict=True
    ):
        polygons.setdefault(label, []).append(polygon)
    for parts in polygons.values():
        parts.sort(key=signed_area, reverse=True)
    return dict(sorted(polygons.items()))


def signed_area(polygon: np.ndarray) -> float:
    """Return the area inside a polygon of (y, x); negative for a hole's outline."""
    y, x = polygon.T
    return float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)) / 2)


def perimeters(edges: dict[str, np.ndarray]) -> dict[int, float]:
    """Return the length in pixels of each label's outer outline; holes do not count.

    ``edges``: from `walk_edges`.

    The estimator of Vossepoel and Smeulders for the chain code through the border pixels'
    centres, 0.980 n_straight + 1.406 n_diagonal - 0.091 n_corner, plus pi for the half pixel
    from there to the particle's edge. On disks of a radius of 5 pixels and more it errs by less
    than 1 % in the mean (the number of pixel edges by 27 %, the length through the pixels'
    centres by 10 %), on squares by -0.5 % (turned, large) to -5 % (along
    the axes, small).

    Source: Vossepoel and Smeulders, Computer Graphics and Image Processing 20 (1982) 347.
    """
    # At a convex corner the walk stays on its pixel, at a concave one it goes to the diagonal one.
    moves = edges["turn"] != CONVEX
    diagonal = edges["turn"][moves] == CONCAVE
    loop = edges["loop"][moves]
    heading = (2 * edges["direction"][moves] - diagonal) % 8
    corner = _previous_in_loop(heading, loop) != heading
    number = int(edges["loop"][-1]) + 1 if len(edges["loop"]) else 0
    length = np.pi + np.bincount(
        loop, np.where(diagonal, 1.406, 0.980) - 0.091 * corner, minlength=number
    )
    # Four convex corners more than concave ones: an outer outline. The other way round: a hole.
    is_outer = np.bincount(edges["loop"], edges["turn"], minlength=number) > 0
    label_of_loop = edges["label"][_first_of_runs(edges["loop"])]
    total: dict[int, float] = {}
    for label, value in zip(label_of_loop[is_outer].tolist(), length[is_outer], strict=True):
        total[label] = total.get(label, 0.0) + float(value)
    return total


def _first_of_runs(values: np.ndarray) -> np.ndarray:
    """Return the indices where a run of equal values starts."""
    return np.flatnonzero(np.diff(values, prepend=-1))


def _previous_in_loop(values: np.ndarray, loop: np.ndarray) -> np.ndarray:
    """Return for each edge the value of the one before it on the same closed walk."""
    previous = np.roll(values, 1)
    starts = _first_of_runs(loop)
    if len(starts):
        previous[starts] = values[np.append(starts[1:], len(values)) - 1]
    return previous
