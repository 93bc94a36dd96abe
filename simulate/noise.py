"""Smooth noise: where agglomerates are, and which way their particles lie."""

import math

import numpy as np


def gradient_noise(
    rng: np.random.Generator, height: int, width: int, frequency: float
) -> np.ndarray:
    """Return 2-D gradient noise, rescaled so that it runs from -1 to 1.

    The noise is zero on the points of a square lattice and has a random slope there; in between the
    four slopes around are blended smoothly. Where the lattice begins is random, or in no image
    would a particle ever lie on its points.

    Parameters
    ----------
    rng : source of the random directions.
    height, width : size in pixels.
    frequency : lattice cells along a side, of a square; of a rectangle, cells as large as in the
        square of equal area. Greater than 0, at most half the shorter side.

    Returns
    -------
    float32 (height, width), minimum -1, maximum 1.

    Raises
    ------
    ValueError
        If there are more lattice cells than the pixels can show.

    Source: Perlin, "Improving noise", SIGGRAPH 2002 (quintic blending).
    """
    if not 0 < frequency <= min(height, width) / 2:
        raise ValueError(
            f"perlin_noise_frequency is {frequency}; for a canvas of {height} x {width} pixels it "
            f"must be greater than 0 and at most {min(height, width) // 2}."
        )
    cell = math.sqrt(height * width) / frequency
    row_blend, row_offset = _blend_and_offset(height, cell, rng.random())
    column_blend, column_offset = _blend_and_offset(width, cell, rng.random())
    lattice = row_blend.shape[1], column_blend.shape[1]
    angle = rng.uniform(0, 2 * np.pi, lattice).astype(np.float32)
    # The blending weight of a lattice point is a product of one factor per axis, and so is its
    # product with the distance along one axis: two matrix products give the sum over all points.
    noise = row_blend @ np.cos(angle) @ column_offset.T
    noise += row_offset @ np.sin(angle) @ column_blend.T
    noise -= noise.min()
    noise *= 2 / noise.max()
    noise -= 1
    return np.clip(noise, -1, 1, out=noise)


def _blend_and_offset(size: int, cell: float, start: float) -> tuple[np.ndarray, np.ndarray]:
    """Return, along one axis, each lattice point's weight at each pixel, and weight x distance.

    ``cell`` is the pixels from point to point; the axis begins ``start``, 0 to 1, cells after the
    first of them. Both are float32 (size, points); distances are in cells, from point to pixel.
    """
    place = ((np.arange(size) + 0.5) / cell + start).astype(np.float32)
    points = math.floor(place[-1]) + 2
    distance = place[:, None] - np.arange(points, dtype=np.float32)
    nearness = np.clip(1 - np.abs(distance), 0, 1)
    blend = nearness**3 * (nearness * (6 * nearness - 15) + 10)
    return blend, blend * distance
