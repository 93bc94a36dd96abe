"""Where particles may lie: a hexagonal or cubic grid, or anywhere, thinned by noise."""

import numpy as np

GRID_TYPES = ("HEXAGONAL", "CUBIC", "DISABLE")


def find_positions(
    rng: np.random.Generator,
    noise: np.ndarray,
    outline_shape: tuple[int, int],
    *,
    grid_type: str,
    grid_spacing_factor: float,
    grid_noise_factor: float,
    min_no_of_particles: int,
    max_no_of_particles: int,
    use_perlin_noise: bool,
    perlin_noise_threshold: float,
) -> np.ndarray:
    """Return the candidate positions of particles in the order in which they are placed.

    Parameters
    ----------
    rng : source of the jitter, or of the random positions and their number.
    noise : float (height, width) in [-1, 1]; its shape is the field the positions cover.
    outline_shape : (height, width) of an outline in pixels; spacing and jitter are fractions of it.

    The other parameters are the options of the same name.

    Returns
    -------
    int64 (n, 2): row and column within the field, grids row by row. Where a grid begins is random.

    Raises
    ------
    ValueError
        If there is no such grid type.
    """
    if grid_type not in GRID_TYPES:
        raise ValueError(f"grid_type is {grid_type!r}; it must be one of {GRID_TYPES}.")
    # All of the noise lies above -2.
    level = 2 * perlin_noise_threshold - 1 if use_perlin_noise else -2.0
    if grid_type == "DISABLE":
        number = rng.integers(min_no_of_particles, max_no_of_particles, endpoint=True)
        return _random_positions(rng, noise > level, number)
    shift_odd_rows = grid_type == "HEXAGONAL"
    # A grid finer than pixels would only repeat positions.
    steps = grid_steps(grid_spacing_factor, outline_shape)
    positions = _grid_positions(noise.shape, steps, rng.integers(steps), shift_odd_rows)
    reach = grid_noise_factor * np.array(outline_shape)
    jittered = np.rint(positions + rng.uniform(-reach, reach, positions.shape)).astype(np.int64)
    positions = np.clip(jittered, 0, np.array(noise.shape) - 1)
    return positions[noise[tuple(positions.T)] > level]


def grid_steps(grid_spacing_factor: float, outline_shape: tuple[int, int]) -> list[int]:
    """Return how many rows and columns lie between neighbouring places of the grid, at least 1."""
    return [max(1, int(grid_spacing_factor * size)) for size in outline_shape]


def _random_positions(rng: np.random.Generator, allowed: np.ndarray, number: int) -> np.ndarray:
    """Return ``number`` positions, uniform over where ``allowed``, bool (height, width)."""
    places = np.flatnonzero(allowed)
    if places.size == 0:
        return np.empty((0, 2), np.int64)
    return np.stack(np.unravel_index(rng.choice(places, number), allowed.shape), axis=1)


def _grid_positions(
    shape: tuple[int, int], steps: list[int], start: np.ndarray, shift_odd_rows: bool
) -> np.ndarray:
    """Return the points of a cubic grid over the field, or a hexagonal one (odd rows shifted).

    ``start`` is the first row and column of the grid, each less than its step.
    """
    rows = np.arange(start[0], shape[0], steps[0])
    columns = np.arange(start[1] - steps[1], shape[1], steps[1])
    grid = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1)
    if shift_odd_rows:
        grid[1::2, :, 1] += steps[1] // 2
    grid = grid.reshape(-1, 2)
    return grid[(grid[:, 1] >= 0) & (grid[:, 1] < shape[1])]
