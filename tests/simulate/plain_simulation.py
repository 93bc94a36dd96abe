"""The simulator once more, slow and readable: one candidate and one pixel after the other.

The tests hold the fast simulator against it, and the benchmark measures how much faster it is.
"""

import math

import numpy as np
from scipy import ndimage

from simulate.noise import gradient_noise

CROSS = ndimage.generate_binary_structure(2, 1)


def plain_gradient_noise(rng, height, width, frequency):
    """Return gradient noise in [-1, 1], computed pixel by pixel from its definition."""
    cell = math.sqrt(height * width) / frequency
    top, left = rng.random(), rng.random()
    last_row = int(top + (height - 0.5) / cell) + 1
    last_column = int(left + (width - 0.5) / cell) + 1
    angle = rng.uniform(0, 2 * np.pi, (last_row + 1, last_column + 1))
    noise = np.zeros((height, width))
    for row in range(height):
        for column in range(width):
            y = top + (row + 0.5) / cell
            x = left + (column + 0.5) / cell
            for i in (int(y), int(y) + 1):
                for j in (int(x), int(x) + 1):
                    slope = math.cos(angle[i, j]) * (x - j) + math.sin(angle[i, j]) * (y - i)
                    noise[row, column] += _fade(1 - abs(y - i)) * _fade(1 - abs(x - j)) * slope
    return (noise - noise.min()) / (noise.max() - noise.min()) * 2 - 1


def _fade(t):
    return 6 * t**5 - 15 * t**4 + 10 * t**3


def plain_carve_core(grey, smoothing="SQUARE"):
    """Return (core, footprint), bool, of a grey outline with a rim of background."""
    filled = ndimage.binary_fill_holes(grey > 127)
    element = np.ones((9, 9)) if smoothing == "SQUARE" else np.hypot(*np.ogrid[-4:5, -4:5]) <= 4.5
    footprint = ndimage.binary_opening(filled, element)
    return ndimage.binary_erosion(footprint, CROSS, iterations=2), footprint


def plain_transform(outline, scale, angle):
    """Return an outline (float) scaled and rotated about the centre of a larger square window."""
    side = 2 * math.ceil(scale * math.hypot(*outline.shape) / 2) + 12
    radians = math.radians(angle)
    rotation = np.array(
        [[math.cos(radians), -math.sin(radians)], [math.sin(radians), math.cos(radians)]]
    )
    # From a pixel of the window back to the outline.
    matrix = rotation.T / scale
    centre = (np.array(outline.shape) - 1) / 2
    offset = centre - matrix @ np.full(2, (side - 1) / 2)
    return ndimage.affine_transform(
        outline.astype(float), matrix, offset, output_shape=(side, side), order=1
    )


def plain_place(canvas, number, row, column, core, footprint, max_overlap):
    """Lay one particle on the canvas, centred at row and column; return whether it was placed."""
    window = canvas[
        row - core.shape[0] // 2 : row - core.shape[0] // 2 + core.shape[0],
        column - core.shape[1] // 2 : column - core.shape[1] // 2 + core.shape[1],
    ]
    if not core.any():
        return False
    if np.sum(window[core] > 0) / np.sum(core) > max_overlap:
        return False
    window[footprint] = 0
    window[core] = number
    return True


def plain_label_map(
    rng,
    outlines,
    image_shape,
    *,
    scale_limits,
    scaling_mu,
    scaling_sigma,
    grid_spacing_factor,
    grid_noise_factor,
    perlin_noise_threshold,
    perlin_noise_frequency,
    random_rotation,
    max_overlap,
):
    """Return a label map on a hexagonal grid, drawing an outline for every candidate."""
    height, width = image_shape
    outline_height, outline_width = outlines.shape[1:]
    extent = math.ceil(scale_limits[1] * math.hypot(outline_height, outline_width)) + 2
    # Windows of particles have a rim of background that may reach beyond the canvas.
    rim = extent
    canvas = np.zeros((height + 3 * extent + 2 * rim, width + 3 * extent + 2 * rim), int)
    noise = gradient_noise(rng, height + 3 * extent, width + 3 * extent, perlin_noise_frequency)
    row_step = int(grid_spacing_factor * outline_height)
    column_step = int(grid_spacing_factor * outline_width)
    number = 0
    top, left = rng.integers(row_step), rng.integers(column_step)
    for i, grid_row in enumerate(range(top, height + 2 * extent, row_step)):
        shift = i % 2 * (column_step // 2)
        for grid_column in range((left + shift) % column_step, width + 2 * extent, column_step):
            row = grid_row + rng.uniform(-1, 1) * grid_noise_factor * outline_height
            column = grid_column + rng.uniform(-1, 1) * grid_noise_factor * outline_width
            row = min(max(round(row), 0), height + 2 * extent - 1) + extent // 2
            column = min(max(round(column), 0), width + 2 * extent - 1) + extent // 2
            if noise[row, column] <= 2 * perlin_noise_threshold - 1:
                continue
            outline = outlines[rng.integers(len(outlines))]
            scale = np.clip(rng.normal(scaling_mu, scaling_sigma), *scale_limits)
            angle = rng.integers(360) if random_rotation else 0
            core, footprint = plain_carve_core(plain_transform(outline, scale, angle))
            number += plain_place(
                canvas, number + 1, row + rim, column + rim, core, footprint, max_overlap
            )
    top = left = rim + extent + extent // 2
    labels = canvas[top : top + height, left : left + width]
    for new, old in enumerate(np.unique(labels[labels > 0]), start=1):
        labels[labels == old] = new
    return labels
