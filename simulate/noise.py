"""Smooth noise: where agglomerates are, and which way their particles lie."""

import math

import numpy as np


def gradient_noise(
    rng: np.random.Generator, height: int, width: int, frequency: float
) -> np.ndarray:
    """Return 2-D gradient noise, rescaled so that it runs from -1 to 1.

    The noise is zero on the points of a lattice with ``frequency`` cells along each axis and
    has a random slope there; in between the four slopes around are blended smoothly.

    Parameters
    ----------
    rng : source of the random directions.
    height, width : size in pixels.
    frequency : lattice cells along each axis, greater than 0, at most half the shorter side.

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
    cells = math.ceil(frequency)
    angle = rng.uniform(0, 2 * np.pi, (cells + 1, cells + 1)).astype(np.float32)
    row_blend, row_offset = _blend_and_offset(height, frequency, cells)
    column_blend, column_offset = _blend_and_offset(width, frequency, cells)
    # The blending weight of a lattice point is a product of one factor per axis, and so is its
    # product with the distance along one axis: two matrix products give the sum over all points.
    noise = row_blend @ np.cos(angle) @ column_offset.T
    noise += row_offset @ np.sin(angle) @ column_blend.T
    noise -= noise.min()
    noise *= 2 / noise.max()
    noise -= 1
    return np.clip(noise, -1, 1, out=noise)


def _blend_and_offset(size: int, frequency: float, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Return, along one axis, each lattice point's weight at each pixel, and weight x distance.

    Both are float32 (size, cells + 1); distances are in cells, from the point to the pixel.
    """
    place = (np.arange(size, dtype=np.float32) + 0.5) * (frequency / size)
    distance = place[:, None] - np.arange(cells + 1, dtype=np.float32)
    nearness = np.clip(1 - np.abs(distance), 0, 1)
    blend = nearness**3 * (nearness * (6 * nearness - 15) + 10)
    return blend, blend * distance
