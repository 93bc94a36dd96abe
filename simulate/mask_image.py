"""One simulated mask image, as a label map that knows which pixel belongs to which particle."""

import math

import cv2
import numpy as np

from simulate.noise import gradient_noise
from simulate.outlines import GAP, PERLIN_DIRECTIONS, Particle, fill_from_corner
from simulate.positions import find_positions

LARGEST_LABEL = np.iinfo(np.uint16).max
COVERAGE_TOLERANCE = 0.005  # share of the image
MOST_TRIES = 10
# Closes the gap that separates touching particles in a simulated mask, and the shadow between those
# of a micrograph.
CLOSING = np.ones((2 * GAP + 1, 2 * GAP + 1), np.uint8)


def random_generator(seed: int, index: int) -> np.random.Generator:
    """Return the random numbers of image ``index``: its own, whoever makes it and when."""
    # Counters no other random numbers of the seed reach (see `pipeline.training.batches`).
    key = np.array([seed, index], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 1, 0, 0]))


def simulate_label_map(
    library: list[list[Particle]],
    seed: int,
    index: int,
    *,
    image_shape: tuple[int, int],
    outline_shape: tuple[int, int],
    largest_scale: float,
    perlin_noise_frequency: float,
    max_overlap: float,
    coverage: float | None = None,
    reach: int | None = None,
    **arrangement,
) -> np.ndarray:
    """Return the label map of simulated mask image ``index``.

    Parameters
    ----------
    library : particles to draw from, as ``prepare_library`` makes them.
    seed, index : decide every random number of the image.
    image_shape, outline_shape : (height, width) in pixels.
    largest_scale : of the particles in the library.
    coverage : share of the image that is to be covered, gaps between particles included; it
        decides in place of ``perlin_noise_threshold`` and the numbers of particles.
    reach : of the particles, see `reach_of`. With ``coverage`` particles lie up to twice as far
        (and the grid's jitter twice) beyond the image's edge, so that they reach into it as they
        do into its middle. Without, as published, as far as a turned outline's whole image is wide.
    arrangement : the options that ``find_positions`` takes.

    Returns
    -------
    uint16 (height, width): each particle its number from 1 on, gaps and background 0. The mask
    is label > 0.
    """
    rng = random_generator(seed, index)
    height, width = image_shape
    # Of an outline that is turned, and a pixel on either side for rounding.
    outline_extent = math.ceil(math.hypot(*(largest_scale * side for side in outline_shape))) + 2
    extent = outline_extent
    if coverage is not None and reach is not None:
        jitter = math.ceil(arrangement["grid_noise_factor"] * max(outline_shape))
        extent = min(2 * (reach + jitter) + 2, outline_extent)
    canvas_shape = (height + 3 * extent, width + 3 * extent)
    # Over the same canvas always: the noise is as high, and turns particles as much.
    noise = gradient_noise(
        rng, height + 3 * outline_extent, width + 3 * outline_extent, perlin_noise_frequency
    )
    start = (3 * outline_extent - 2 * extent) // 2
    noise = noise[start : start + height + 2 * extent, start : start + width + 2 * extent]
    half = extent // 2
    if coverage is not None:
        # All positions, to choose from; where they are random, so many that they suffice.
        enough = 8 * noise.size // max(_mean_area(library), 1)
        arrangement |= {
            "perlin_noise_threshold": 0.0,
            "min_no_of_particles": enough,
            "max_no_of_particles": enough,
        }
    positions = find_positions(rng, noise, outline_shape, **arrangement)
    groups = None
    if len(library) > 1:
        groups = _nearest_direction(noise[tuple(positions.T)])
        if coverage is not None:
            # What is covered are the places of the highest noise, which would have like directions.
            groups = (groups + rng.integers(len(library) - 1)) % (len(library) - 1)
    particles = _draw_particles(rng, library, len(positions), groups)
    top = left = extent + half

    def place(chosen):
        """Place those of ``chosen``, indices of positions, in their order."""
        some = [particles[index] for index in chosen.tolist()]
        labels = place_particles(canvas_shape, positions[chosen] + half, some, max_overlap)
        return number_consecutively(labels[top : top + height, left : left + width])

    row_by_row = np.arange(len(positions))
    if coverage is None:
        return place(row_by_row)
    if arrangement["use_perlin_noise"]:
        preference = noise[tuple(positions.T)]
    else:
        preference = rng.random(len(positions))
    # Row by row, as published, all lie below those of the next row. In a random order each may lie
    # on any other, but fewer find room: the denser order is for what that does not cover.
    for order in (rng.permutation(row_by_row), row_by_row):
        labels, suffices = _cover(place, order, preference, coverage)
        if suffices:
            break
    return labels


def _cover(place, order: np.ndarray, preference: np.ndarray, coverage: float):
    """Return ``place(chosen)`` for as many of the preferred positions as cover the share wanted,
    and whether all together suffice for that.

    ``order`` are the indices of all positions in the order in which they are placed.

    What a number of positions covers grows with it almost in proportion, so a few false positions
    find it (regula falsi; halving the excess of an end that stays, the Illinois way). The first is
    the share of all positions that is to be covered, doubled until it covers too much. The nearest
    of all tried is returned, of those with a particle unless nothing is to be covered.
    """
    ranks = np.argsort(np.argsort(-preference))[order]  # 0: the most preferred
    numbers, excesses = [0, len(ranks)], [-coverage, None]
    nearest, smallest = place(order[:0]), np.inf  # an empty image
    number, last_end = math.ceil(coverage * len(ranks)), None
    for _ in range(MOST_TRIES):
        labels = place(order[ranks < number])
        excess = float(foreground_of_labels(labels).mean()) - coverage
        # One particle may cover more than twice as much as is wanted; none shows nothing.
        if abs(excess) < smallest and (labels.any() or not coverage):
            nearest, smallest = labels, abs(excess)
        end = int(excess > 0)
        if smallest < COVERAGE_TOLERANCE:
            break
        if number == len(ranks) and not end:
            return nearest, False
        numbers[end], excesses[end] = number, excess
        if excesses[1] is None:
            number = min(2 * number, len(ranks))
            continue
        if end == last_end:
            excesses[1 - end] /= 2
        last_end = end
        if numbers[1] - numbers[0] <= 1:
            break
        share = excesses[0] / (excesses[0] - excesses[1])
        between = numbers[0] + share * (numbers[1] - numbers[0])
        number = int(np.clip(round(between), numbers[0] + 1, numbers[1] - 1))
    return nearest, True


def place_particles(
    canvas_shape: tuple[int, int],
    centres: np.ndarray,
    particles: list[Particle],
    max_overlap: float,
) -> np.ndarray:
    """Lay particles one over the other, leaving out those that would lie on others too much.

    A particle is left out if its core is empty, or if more than ``max_overlap`` of its core lies
    on earlier particles. Otherwise it clears its footprint and sets its core.

    Parameters
    ----------
    canvas_shape : (height, width) in pixels.
    centres : int (n, 2), row and column of each particle's centre.
    particles : n particles; each must lie inside the canvas.
    max_overlap : 0 to 1.

    Returns
    -------
    int32 canvas: 1 for the first particle placed, and so on; 0 where there is none.
    """
    canvas = np.zeros(canvas_shape, np.int32)
    number = 0
    for (row, column), particle in zip(centres.tolist(), particles, strict=True):
        core, footprint, top, left, area = particle
        if area == 0:
            continue
        top, left = top + row, left + column
        window = canvas[top : top + core.shape[0], left : left + core.shape[1]]
        covered = np.count_nonzero((window != 0) & core)
        if covered > max_overlap * area:
            continue
        number += 1
        window[footprint] = 0
        window[core] = number
    return canvas


def number_consecutively(labels: np.ndarray) -> np.ndarray:
    """Return labels (int, 0 = background) renumbered 1 to n in the same order, as uint16.

    Raises
    ------
    ValueError
        If there are more particles than uint16 can number.
    """
    present = np.bincount(labels.ravel()) > 0
    present[0] = False
    if np.count_nonzero(present) > LARGEST_LABEL:
        raise ValueError(
            f"A simulated mask of {labels.shape[0]} x {labels.shape[1]} pixels holds "
            f"{np.count_nonzero(present)} particles; a label map can number {LARGEST_LABEL}. "
            "Make the tiles smaller."
        )
    return (np.cumsum(present) * present).astype(np.uint16)[labels]


def _mean_area(library: list[list[Particle]]) -> int:
    areas = [particle.area for group in library for particle in group]
    return sum(areas) // max(len(areas), 1)


def _nearest_direction(noise: np.ndarray) -> np.ndarray:
    """Return the indices of the PERLIN_DIRECTIONS nearest to noise x 180 degrees."""
    return np.rint((noise + 1) / 2 * (len(PERLIN_DIRECTIONS) - 1)).astype(np.int64)


def _draw_particles(
    rng: np.random.Generator,
    library: list[list[Particle]],
    number: int,
    groups: np.ndarray | None,
) -> list[Particle]:
    """Return ``number`` random particles, from the group given for each, or from the only one."""
    chosen = rng.integers(0, len(library[0]), number).tolist()
    if groups is None:
        return [library[0][index] for index in chosen]
    return [library[group][index] for group, index in zip(groups.tolist(), chosen, strict=True)]


def foreground_of_labels(labels: np.ndarray) -> np.ndarray:
    """Return what a simulated label map (h, w) covers: bool, the gaps between its particles and
    the holes in its agglomerates included."""
    return close_and_fill((labels > 0).astype(np.uint8))


def close_and_fill(mask: np.ndarray) -> np.ndarray:
    """Return a mask, uint8 0 or 1 (h, w), as bool, with narrow gaps closed and holes filled."""
    rim = CLOSING.shape[0] // 2
    # What lies beyond the edge is unknown: mirrored, it hardly closes or opens gaps there.
    mirrored = cv2.copyMakeBorder(mask, rim, rim, rim, rim, cv2.BORDER_REFLECT)
    closed = cv2.morphologyEx(mirrored, cv2.MORPH_CLOSE, CLOSING)[rim:-rim, rim:-rim]
    return fill_from_corner(np.pad(closed, 1))[1:-1, 1:-1].astype(bool)
